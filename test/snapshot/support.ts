/** Images and machines for the tests of transfers and backups. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SnapshotChunk } from '../../src/node/types.ts';
import type { SnapshotSource } from '../../src/snapshot/source.ts';
import type { StoreImage } from '../../src/store/types.ts';
import { must } from '../../src/types/assert.ts';
import { term } from '../../src/types/ids.ts';
import { Bench, session } from '../machine/kit.ts';
import { MemoryStore } from '../store/memory-store.ts';
import { mark, ONE } from '../store/support.ts';

/** A machine with a bit of everything: `rounds` closed rounds, a running phase, a session with answers. */
export function benchWith(rounds: number): Bench {
  const bench = new Bench();
  const opened = bench.openSession();
  bench.createLoop();
  for (let i = 0; i < rounds; i++) bench.round();
  bench.begin('ANALYZE', { g: rounds + 1, session: session(opened, 1) });
  return bench;
}

export async function storeOf(bench: Bench): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.write(ONE, mark(bench.machine.appliedIndex), bench.machine.takeChanges());
  return store;
}

export async function imageOf(bench: Bench): Promise<StoreImage> {
  return must(await (await storeOf(bench)).image(ONE), 'an image');
}

/** Chunk `sequence` as a leader would send it. */
export async function chunkFrom(source: SnapshotSource, sequence: number, id = 1, inTerm = 1): Promise<SnapshotChunk> {
  const { data, last } = must(await source.chunk(sequence), `chunk ${sequence}`);
  return { transferId: id, term: term(inTerm), mark: source.mark, sequence, last, data };
}

export async function withFolder(action: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'quorate-snapshot-'));
  try {
    await action(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
