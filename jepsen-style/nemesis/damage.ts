/** Files of a member that change while it is down: bits flip in its log or in its tables. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import type { Member } from '../cluster/member.ts';
import { eventually } from '../system/exec.ts';
import { replace } from './membership.ts';
import { draw, type Fault, minority, type Nemesis, type NemesisContext } from './types.ts';

const HEAL_MS = 60_000;
const FLIPS_MAX = 4;

interface Flip {
  readonly file: string;
  readonly at: number;
  readonly bit: number;
}

/** Files of the data folder that hold what was acknowledged, with their sizes. */
async function candidates(dataDir: string): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && /\.(?:wal|log|ldb|sst)$/.test(entry.name))
    // What was damaged before and moved aside is nobody's any more.
    .filter(({ parentPath }) => !parentPath.includes('damaged-'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const sized = await Promise.all(files.map(async (path) => ({ path, bytes: await usedBytes(path) })));
  return sized.filter(({ bytes }) => bytes > 64);
}

/** Up to the last byte that is not zero: segments are allocated before they are written. */
async function usedBytes(path: string): Promise<number> {
  const { size } = await stat(path);
  const handle = await open(path, 'r');
  try {
    const bytes = new Uint8Array(size);
    await handle.read(bytes, 0, size, 0);
    return bytes.findLastIndex((byte) => byte !== 0) + 1;
  } finally {
    await handle.close();
  }
}

/** `nth`: of the members that are damaged; each in a place of its own. */
async function flip(dataDir: string, fault: Fault, nth: number): Promise<readonly Flip[]> {
  const drawn = (index: number): number => draw(fault, index + nth);
  const all = await candidates(dataDir);
  const log = all.filter(({ path }) => path.endsWith('.wal'));
  // The log has few files, and the tables many: each is as likely.
  const files = log.length > 0 && drawn(0) < 0.5 ? log : all;
  const count = 1 + Math.floor(drawn(1) * FLIPS_MAX);
  const flips: Flip[] = [];
  for (let i = 0; i < count && files.length > 0; i += 1) {
    const file = files[Math.floor(drawn(2 + i) * files.length)];
    if (file === undefined) break;
    const at = Math.floor(drawn(5 + i) * file.bytes);
    const bit = Math.floor(drawn(3 + i) * 8);
    const handle = await open(file.path, 'r+');
    const [byte] = new Uint8Array((await handle.read(new Uint8Array(1), 0, 1, at)).buffer);
    await handle.write(Uint8Array.of((byte ?? 0) ^ (1 << bit)), 0, 1, at);
    await handle.close();
    flips.push({ file: file.path.slice(dataDir.length + 1), at, bit });
  }
  return flips;
}

/** It answers, and is neither at fault nor on the way. */
async function isWell(cluster: Cluster, member: Member): Promise<boolean> {
  const mine = (await cluster.statuses()).find(({ slot }) => slot === member.place.slot)?.status;
  const stream = mine?.streams[0];
  return mine !== undefined && mine.fault === null && stream !== undefined && !stream.recovering;
}

/**
 * Each finds the damage and mends it from the others, or says why it does not start; then a new one takes its place, as an operator
 * would have it. Both are as promised; what they may not do is to serve what was damaged, and histories tell that.
 */
async function mend(context: NemesisContext, members: readonly Member[]): Promise<void> {
  const { cluster, finding, log } = context;
  for (const member of members) {
    member.start();
    member.expectExit();
  }
  const over = async (member: Member): Promise<void> => {
    const done = (): Promise<boolean> | boolean => (member.running ? isWell(cluster, member) : true);
    if (!(await eventually(done, HEAL_MS, 300)))
      finding(`${member.id} is not well ${HEAL_MS / 1000} s after bits of its files flipped`);
    // Whoever is well has no leave to end any more.
    if (member.running) member.start();
  };
  await Promise.all(members.map(over));
  for (const member of members.filter(({ running }) => !running)) {
    log(`${member.id} does not start with its damage; a new member takes its place`);
    await replace(context, member.place.slot);
  }
}

export const DAMAGE: readonly Nemesis[] = [
  {
    name: 'corrupt',
    describe: 'up to four bits flip in the log or the tables of one or a minority, while they are down',
    needs: [],
    lengthMs: [500, 3_000],
    begin: async (context, fault) => {
      const { cluster, claimExclusive, release } = context;
      const slots = claimExclusive(fault.order, draw(fault, 7) < 0.5 ? 1 : minority(fault.order.length));
      const members = slots.map((slot) => cluster.member(slot));
      await Promise.all(members.map((member) => member.kill()));
      const flips = await Promise.all(members.map((member, nth) => flip(member.place.dataDir, fault, nth)));
      const end = async (): Promise<void> => {
        await mend(context, members);
        release(slots);
      };
      return { value: { members: slots, flips }, disabled: slots, end };
    },
  },
];
