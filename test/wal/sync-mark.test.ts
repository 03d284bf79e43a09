/** W4: what is acknowledged is soon proven durable on the disk, so that damage to it is not taken for a torn write. */
import { describe, expect, it } from 'vitest';
import { segmentPath } from '../../src/wal/segment.ts';
import type { Wal, WalEvent } from '../../src/wal/types.ts';
import { failing, MemoryDisk } from './memory-disk.ts';
import {
  entries,
  entry,
  flipped,
  flush,
  hardState,
  open,
  openStarted,
  recordOffsets,
  reopened,
  STREAM,
  show,
  withoutMark,
} from './support.ts';

const FIRST = segmentPath(1);
const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };

function append(wal: Wal, index: number): Promise<void> {
  return wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, 1) });
}

/** Operations of one kind wait until they are let go, the oldest first. */
function hold(disk: MemoryDisk, held: 'write' | 'sync'): { release: () => void; waiting: () => number } {
  const waiters: (() => void)[] = [];
  disk.before = (operation) => (operation === held ? new Promise<void>((resolve) => waiters.push(resolve)) : undefined);
  return { release: () => waiters.shift()?.(), waiting: () => waiters.length };
}

/** What a start says to the log when one bit of the record at `offset` has flipped. */
async function outcomeOfFlip(disk: MemoryDisk, offset: number): Promise<unknown> {
  const damaged = new MemoryDisk();
  for (const path of disk.paths()) damaged.replace(path, disk.bytes(path));
  damaged.replace(FIRST, flipped(disk.bytes(FIRST), (offset + 20) * 8));
  return open(damaged, SMALL).then(
    () => 'opened',
    (error: { problem?: string }) => error.problem,
  );
}

/**
 * G1 is being synced while G2 to G20 are written behind it, all with the same durable offset; then one more sync
 * answers them all. Gives the offset of G1.
 */
async function twentyGroups(disk: MemoryDisk): Promise<{ wal: Wal; first: number }> {
  const wal = await openStarted(disk, { compressBytesMin: 1 << 20 });
  const first = recordOffsets(disk.bytes(FIRST)).length;
  const { release, waiting } = hold(disk, 'sync');
  const one = wal.append({ stream: STREAM, hardState: hardState(1, 'b'), entries: entries(1, 3, 1) });
  await flush();
  const rest: Promise<void>[] = [];
  for (let index = 4; index <= 22; index += 1) {
    rest.push(append(wal, index));
    await flush();
  }
  expect(waiting()).toBe(1);
  release();
  await one;
  await flush();
  expect(waiting()).toBe(1);
  release();
  await Promise.all(rest);
  return { wal, first: recordOffsets(disk.bytes(FIRST))[first] ?? 0 };
}

describe('W4: the sync mark', () => {
  it('makes one flipped bit in an acknowledged group that others follow damage, also when nothing follows', async () => {
    const disk = new MemoryDisk();
    const { first } = await twentyGroups(disk);
    await flush();
    expect(await outcomeOfFlip(disk, first)).toBe('corrupt');
  });

  it('is not needed when a group follows: it says the same', async () => {
    const disk = new MemoryDisk();
    const { wal, first } = await twentyGroups(disk);
    const unanswered = append(wal, 23);
    await flush();
    const offsets = recordOffsets(disk.bytes(FIRST));
    const mark = offsets.at(-2) ?? 0;
    const between = disk.copy();
    between.replace(FIRST, disk.bytes(FIRST).fill(0, mark, offsets.at(-1)));
    expect(await outcomeOfFlip(between, first)).toBe('corrupt');
    disk.crash(() => false);
    void unanswered;
  });

  it('proves the last group too; without it that group looks torn', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await append(wal, 1);
    await flush();
    const last = recordOffsets(disk.bytes(FIRST)).at(-2) ?? 0;
    expect(await outcomeOfFlip(disk, last)).toBe('corrupt');
    const unmarked = disk.copy();
    unmarked.replace(FIRST, withoutMark(disk.bytes(FIRST)));
    expect(await outcomeOfFlip(unmarked, last)).toBe('opened');
  });

  it('is one write after a group and nothing more: no sync, no further mark', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { write, sync } = disk.counts;
    await append(wal, 1);
    for (let turn = 0; turn < 100; turn += 1) await flush();
    expect(disk.counts.write - write).toBe(2);
    expect(disk.counts.sync - sync).toBe(1);
  });

  it('is left out while more is waiting', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const { write } = disk.counts;
    const { release } = hold(disk, 'sync');
    const all = [append(wal, 1)];
    for (let index = 2; index <= 10; index += 1) {
      await flush();
      all.push(append(wal, index));
      await flush();
      release();
    }
    await flush();
    release();
    await Promise.all(all);
    await flush();
    expect(disk.counts.write - write).toBe(11);
  });

  it('does not hold up the write of the next group, and no sync counts it as written before it is', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    let mark: () => void = () => undefined;
    let writes = 0;
    disk.before = (operation) => {
      if (operation !== 'write') return undefined;
      writes += 1;
      return writes === 2 ? new Promise<void>((resolve) => (mark = resolve)) : undefined;
    };
    await append(wal, 1);
    await flush();
    const { sync } = disk.counts;
    const second = append(wal, 2);
    await flush();
    expect(writes).toBe(3);
    expect(disk.counts.sync).toBe(sync);
    mark();
    await second;
    expect(disk.counts.sync).toBe(sync + 1);
    disk.crash(() => false);
    expect((await reopened(disk))?.entries).toEqual(show(entries(1, 2, 1)));
  });

  it('may be lost with the power: all that was acknowledged is there, and nothing counts as torn', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await append(wal, 1);
    await flush();
    disk.crash(() => false);
    const events: WalEvent[] = [];
    const after = await open(disk, {}, events);
    expect(after.streams[0]?.lastIndex).toBe(1);
    expect(events).toEqual([]);
  });

  it('is written at open when a crash took it, and once', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await append(wal, 1);
    await flush();
    const marked = disk.bytes(FIRST);
    disk.replace(FIRST, withoutMark(marked));
    for (let start = 0; start < 3; start += 1) {
      await open(disk, SMALL);
      disk.kill();
      expect(Buffer.from(disk.bytes(FIRST))).toEqual(Buffer.from(marked));
    }
  });

  it('is durable when the log is closed', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await append(wal, 1);
    await wal.close();
    disk.crash(() => false);
    expect(await outcomeOfFlip(disk, recordOffsets(disk.bytes(FIRST)).at(-2) ?? 0)).toBe('corrupt');
  });

  it('is durable before the next segment is written to, whatever the power takes', async () => {
    for (let last = 20; last <= 60; last += 1) {
      const disk = new MemoryDisk();
      const wal = await openStarted(disk, SMALL);
      for (let index = 1; index <= last; index += 1) {
        await append(wal, index);
        await flush();
      }
      const big = wal.append({ stream: STREAM, hardState: null, entries: [entry(last + 1, 1, 'x'.repeat(5_000))] });
      await big;
      disk.crash((what) => what.startsWith('name'));
      expect((await reopened(disk, SMALL))?.entries, `${last}`).toHaveLength(last + 1);
    }
  });

  it('has room behind a batch that fills its segment', async () => {
    const disk = new MemoryDisk();
    const wal = await open(disk, SMALL);
    await wal.bootstrap(STREAM, { voters: [], votersOutgoing: [], learners: [] });
    await wal.append({ stream: STREAM, hardState: hardState(1), entries: [entry(1, 1, 'x'.repeat(20_000))] });
    await flush();
    const grown = segmentPath(2);
    const bytes = disk.bytes(grown);
    expect(withoutMark(bytes)).toHaveLength(bytes.length);
    expect(recordOffsets(bytes).at(-1)).toBe(bytes.length - 48);
  });

  it('that can not be written fails the log (WR3)', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    disk.before = failing('write', 'io', 2);
    await append(wal, 1);
    await flush();
    await expect(append(wal, 2)).rejects.toMatchObject({ problem: 'device' });
    await wal.close();
    disk.before = () => undefined;
    expect((await reopened(disk))?.entries).toEqual(show(entries(1, 1, 1)));
  });
});
