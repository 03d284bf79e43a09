/** What the demo proves at its end, from sources that do not depend on the agents' good will. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type PhaseRef,
  type QuorateClient,
  QuorateError,
  type QuorateReason,
  type WatchEvent,
} from '../client/client.ts';
import { archivePath, forEachParallel, hashOfArchive, sha256 } from './archive.ts';
import type { FoundFile } from './walk.ts';

const PARALLEL = 8;
const POLL_MS = 50;

/** Who recorded each sub-step of a phase run: the attempt that the cluster has on record. */
export async function recordedBy(client: QuorateClient, ref: PhaseRef): Promise<ReadonlyMap<string, number>> {
  const attempts = new Map<string, number>();
  for await (const { id, attempt } of client.listSubSteps(ref)) attempts.set(id, attempt);
  return attempts;
}

/** Which file on disk each archive is: writing it anew, by whatever way, changes this. */
export async function fingerprints(outFolder: string, paths: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const marks = new Map<string, string>();
  await forEachParallel([...paths], PARALLEL, async (path) => {
    const { ino, mtimeMs, size } = await stat(archivePath(outFolder, path));
    marks.set(path, `${ino} ${mtimeMs} ${size}`);
  });
  return marks;
}

/** Number of files whose archive, read back, holds exactly what the file holds. */
export async function countVerified(folder: string, outFolder: string, files: readonly FoundFile[]): Promise<number> {
  let verified = 0;
  await forEachParallel(files, PARALLEL, async ({ path }) => {
    const wanted = sha256(await readFile(join(folder, path)));
    const held = await hashOfArchive(outFolder, path).catch(() => null);
    if (held === wanted) verified += 1;
  });
  return verified;
}

/** Waits until all members have applied the same entries to the same state. Resolves with the index, or null. */
export async function waitForEqualState(
  client: QuorateClient,
  members: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number | null> {
  const endMs = performance.now() + timeoutMs;
  while (performance.now() < endMs && !signal.aborted) {
    const statuses = await client.status({ deadlineMs: 1_000 });
    const streams = statuses.flatMap((one) => ('status' in one ? one.status.streams.slice(0, 1) : []));
    const states = new Set(streams.map((stream) => `${stream.appliedIndex} ${stream.stateHash}`));
    if (streams.length === members && states.size === 1) return streams[0]?.appliedIndex ?? null;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return null;
}

/** The events of a loop up to a revision, read anew from the history. */
export async function readHistory(
  client: QuorateClient,
  loop: string,
  from: number,
  through: number,
): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = [];
  const controller = new AbortController();
  const onRevision = (revision: number): void => {
    if (revision >= through) controller.abort();
  };
  for await (const event of client.watch({ fromRevision: from, loop, signal: controller.signal, onRevision })) {
    if (event.revision <= through) events.push(event);
  }
  return events;
}

/** The reason of a refusal. A call that is carried out, or fails in another way, is no refusal. */
export async function refusalOf(call: Promise<unknown>): Promise<QuorateReason | 'ACCEPTED'> {
  try {
    await call;
    return 'ACCEPTED';
  } catch (error) {
    if (error instanceof QuorateError) return error.reason;
    throw error;
  }
}
