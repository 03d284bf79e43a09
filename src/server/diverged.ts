/**
 * `diverged.json` in the data folder: the state of this member differed from that of a majority (R7). Started again, the
 * member would answer reads from wrong tables, and could win an election with them, until the next comparison.
 *
 * DV1 The file is durable before the member ends; from then on the folder is refused. Nothing ever removes it.
 */
import { z } from 'zod';
import type { DivergedError } from '../node/diverged.ts';
import type { Disk } from '../ports/disk.ts';
import type { IdentityNames } from './removed.ts';

export const DIVERGED_FILE = 'diverged.json';
const TEMPORARY = 'diverged.json.tmp';
const VERSION = 1;
/** Longer than anything that is written here. */
const BYTES_MAX = 4096;

const contentSchema = z.object({
  index: z.number().int().nonnegative(),
  hash: z.string(),
  majorityHash: z.string(),
  time: z.string(),
});

/** Resolves when it is durable. What was written first stays. `nowMs`: Unix time, milliseconds. */
export async function writeDiverged(disk: Disk, error: DivergedError, nowMs: number): Promise<void> {
  const files = await disk.list('');
  if (files.includes(DIVERGED_FILE)) return;
  const { index, hash, majorityHash } = error;
  const json = { version: VERSION, index, hash, majorityHash, time: new Date(nowMs).toISOString() };
  if (files.includes(TEMPORARY)) await disk.remove(TEMPORARY);
  const file = await disk.open(TEMPORARY, { create: true });
  try {
    await file.write(0, new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(TEMPORARY, DIVERGED_FILE);
  await disk.syncFolder('');
}

/** Rejects, with one sentence that says what to do, when the folder (the root of `disk`) is that of a member that differed. */
export async function refuseDiverged(disk: Disk, { clusterId, memberId }: IdentityNames): Promise<void> {
  if (!(await disk.list('')).includes(DIVERGED_FILE)) return;
  const folder = disk.locate?.('') ?? '';
  throw new Error(
    `the state of this member differed from that of a majority${await detailOf(disk)}, so its data folder ${folder} must ` +
      `not be used again: keep the folder for study, and replace member ${memberId} of cluster ${clusterId} with ` +
      '`quorate member replace` (docs/runbooks/diverged.md)',
  );
}

/** What the file says, for the message: that it is there is enough to refuse, whatever became of its content. */
async function detailOf(disk: Disk): Promise<string> {
  const file = await disk.open(DIVERGED_FILE, { create: false });
  try {
    const text = new TextDecoder().decode(await file.read(0, BYTES_MAX));
    const { index, hash, majorityHash, time } = contentSchema.parse(JSON.parse(text));
    return ` after entry ${index} (its hash ${hash}, theirs ${majorityHash}, found at ${time})`;
  } catch {
    return '';
  } finally {
    await file.close();
  }
}
