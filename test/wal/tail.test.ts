import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Disk } from '../../src/ports/disk.ts';
import { WAL_TORN_COPIES_MAX } from '../../src/types/limits.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import type { WalAppend, WalEvent } from '../../src/wal/types.ts';
import { openWal } from '../../src/wal/wal.ts';
import { failing, MemoryDisk } from './memory-disk.ts';
import {
  contents,
  entries,
  flipped,
  flush,
  hardState,
  ManualClock,
  open,
  openStarted,
  options,
  recordsEnd,
  reopened,
  STREAM,
  show,
  withoutMark,
} from './support.ts';

const SEGMENT_BYTES = 8 * 1024;
const SMALL = { segmentBytes: SEGMENT_BYTES };
const LAST_SEGMENT = segmentPath(1);

/** Makes a log of some batches without closing it, and says where the last batch lies. */
interface Sample {
  /** With a sync mark at its end. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

const BEFORE = entries(1, 6, 1, 'before');
const LAST: WalAppend = { stream: STREAM, hardState: hardState(2, 'b'), entries: entries(5, 9, 2, 'the last batch') };

async function sample(): Promise<Sample> {
  const disk = new MemoryDisk();
  const wal = await openStarted(disk, SMALL);
  await wal.append({ stream: STREAM, hardState: null, entries: BEFORE.slice(0, 3) });
  await wal.append({ stream: STREAM, hardState: null, entries: BEFORE.slice(3) });
  await flush();
  const start = recordsEnd(disk.bytes(LAST_SEGMENT));
  await wal.append(LAST);
  await flush();
  const bytes = disk.bytes(LAST_SEGMENT);
  return { bytes, start, end: recordsEnd(withoutMark(bytes)) };
}

/** All of the last batch is there; what follows it does not matter. */
function holdsLast({ bytes, end }: Sample, damaged: Uint8Array): boolean {
  return damaged.length >= end && Buffer.from(bytes).compare(damaged, 0, end, 0, end) === 0;
}

const WITHOUT_LAST = { hardState: hardState(1), entries: show(BEFORE) };
const WITH_LAST = {
  hardState: hardState(2, 'b'),
  entries: [...show(BEFORE.slice(0, 4)), ...show(entries(5, 9, 2, 'the last batch'))],
};

/** Opens, compares, appends, opens again and compares again. */
async function goesOn(disk: Disk, expected: typeof WITH_LAST): Promise<WalEvent[]> {
  const events: WalEvent[] = [];
  const wal = await open(disk, SMALL, events);
  expect(await contents(wal)).toMatchObject(expected);
  const next = entries(expected.entries.length + 1, expected.entries.length + 2, 3, 'after');
  await wal.append({ stream: STREAM, hardState: hardState(3), entries: next });
  await wal.close();
  const again = await open(disk, SMALL);
  expect(await contents(again)).toMatchObject({
    hardState: hardState(3),
    entries: [...expected.entries, ...show(next)],
  });
  await again.close();
  return events.filter(({ kind }) => kind === 'tornTail');
}

/** The two ways in which a tail can end early, at `at`. */
const CUTS: readonly [string, (bytes: Uint8Array, at: number) => Uint8Array][] = [
  ['the file ends', (bytes, at) => bytes.slice(0, at)],
  ['zeroes follow', (bytes, at) => bytes.slice().fill(0, at)],
];

describe('W4: a log cut at every byte of its last batch opens with exactly the batches before it', () => {
  it.each(CUTS)('in memory, where %s', async (_, cut) => {
    const whole = await sample();
    const { bytes, start, end } = whole;
    expect(end - start).toBeGreaterThan(100);
    for (let at = start; at < recordsEnd(bytes); at += 1) {
      const disk = new MemoryDisk();
      const damaged = cut(bytes, at);
      disk.replace(LAST_SEGMENT, damaged);
      const kept = holdsLast(whole, damaged);
      const torn = await goesOn(disk, kept ? WITH_LAST : WITHOUT_LAST);
      const intact = Buffer.from(bytes).equals(damaged);
      const left = damaged.slice(kept ? end : start).some((byte) => byte !== 0);
      expect(torn).toHaveLength(left && !intact ? 1 : 0);
    }
  });

  describe('on the file system', () => {
    let root = '';
    beforeAll(async () => {
      root = await mkdtemp(join(tmpdir(), 'quorate-wal-'));
    });
    afterAll(() => rm(root, { recursive: true }));

    it.each(CUTS)('where %s', async (name, cut) => {
      const whole = await sample();
      const { bytes, start, end } = whole;
      for (let at = start; at < end; at += 1) {
        const folder = join(root, `${name}-${at}`);
        const disk = new NodeDisk(folder);
        await disk.makeFolder('');
        const damaged = cut(bytes, at);
        await writeFile(join(folder, LAST_SEGMENT), damaged);
        await goesOn(disk, holdsLast(whole, damaged) ? WITH_LAST : WITHOUT_LAST);
        expect((await readFile(join(folder, LAST_SEGMENT))).length).toBe(damaged.length);
        await rm(folder, { recursive: true });
      }
    });
  });

  it('cuts whatever subset of its sectors was lost, also when the end is there and the middle is not', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { ...SMALL, compressBytesMin: 1 << 20 });
    await wal.append({ stream: STREAM, hardState: null, entries: BEFORE });
    const before = disk.bytes(LAST_SEGMENT);
    const long = entries(7, 60, 2, 'a batch that spans several sectors of the disk');
    await wal.append({ stream: STREAM, hardState: hardState(2), entries: long });
    const after = disk.bytes(LAST_SEGMENT);
    const sectors = changedSectors(before, after);
    expect(sectors.length).toBeGreaterThan(4);
    for (let subset = 0; subset < 2 ** sectors.length - 1; subset += 1) {
      const mixed = before.slice();
      for (const [i, sector] of sectors.entries()) {
        if ((subset & (2 ** i)) === 0) continue;
        mixed.set(after.subarray(sector * 512, sector * 512 + 512), sector * 512);
      }
      const crashed = new MemoryDisk();
      crashed.replace(LAST_SEGMENT, mixed);
      await goesOn(crashed, { hardState: hardState(1), entries: show(BEFORE) });
    }
  });

  it('zeroes what was torn, durably, before anything new is written', async () => {
    const { bytes, start } = await sample();
    const disk = new MemoryDisk();
    disk.replace(LAST_SEGMENT, flipped(withoutMark(bytes), start * 8));
    const wal = await open(disk, SMALL);
    disk.crash(() => false);
    expect(
      disk
        .bytes(LAST_SEGMENT)
        .slice(start)
        .every((byte) => byte === 0),
    ).toBe(true);
    expect(wal.streams[0]?.lastIndex).toBe(6);
  });

  it('keeps what was torn aside, durably, before it is zeroed', async () => {
    const { bytes, start } = await sample();
    const damaged = flipped(withoutMark(bytes), start * 8);
    const disk = new MemoryDisk();
    disk.replace(LAST_SEGMENT, damaged);
    const events: WalEvent[] = [];
    await open(disk, SMALL, events);
    disk.crash(() => false);
    const [copy] = disk.paths().filter((path) => path.startsWith('torn-'));
    expect(copy).toMatch(new RegExp(`^torn-000000000001-${start}-\\d+\\.bin$`));
    expect(Buffer.from(disk.bytes(copy ?? ''))).toEqual(
      Buffer.from(damaged.slice(start, damaged.findLastIndex((byte) => byte !== 0) + 1)),
    );
    expect(events).toMatchObject([{ kind: 'tornTail', file: LAST_SEGMENT, offset: start, copy }]);
    expect((await reopened(disk, SMALL))?.entries).toEqual(WITHOUT_LAST.entries);
    expect(disk.paths()).toContain(copy);
  });

  it('does not touch what is torn while it can not be kept aside', async () => {
    const { bytes, start } = await sample();
    const damaged = flipped(withoutMark(bytes), start * 8);
    const disk = new MemoryDisk();
    disk.replace(LAST_SEGMENT, damaged);
    disk.before = failing('write', 'no_space');
    await expect(open(disk, SMALL)).rejects.toMatchObject({ problem: 'device' });
    expect(Buffer.from(disk.bytes(LAST_SEGMENT))).toEqual(Buffer.from(damaged));
    disk.before = () => undefined;
    expect((await reopened(disk, SMALL))?.entries).toEqual(WITHOUT_LAST.entries);
  });

  it('keeps only so many copies, the newest', async () => {
    const { bytes, start } = await sample();
    const disk = new MemoryDisk();
    const made: string[] = [];
    for (let time = 1; time <= WAL_TORN_COPIES_MAX + 2; time += 1) {
      disk.replace(LAST_SEGMENT, flipped(withoutMark(bytes), start * 8));
      const clock = new ManualClock();
      // Two of them in the same millisecond.
      clock.nowMs += Math.max(time, 2);
      const observe = (event: WalEvent) => event.kind === 'tornTail' && made.push(event.copy);
      const wal = await openWal(disk, clock, options({ ...SMALL, observe }));
      await wal.close();
    }
    expect(new Set(made).size).toBe(WAL_TORN_COPIES_MAX + 2);
    const kept = made.slice(-WAL_TORN_COPIES_MAX).sort();
    expect(disk.paths().filter((path) => path.startsWith('torn-'))).toEqual(kept);
  });

  it('drops a batch whose last record is missing as a whole, hard state and all', async () => {
    const { bytes, start } = await sample();
    const view = Buffer.from(bytes);
    const hardStateLength = Math.ceil(view.readUInt32LE(start + 4) / 8) * 8;
    const disk = new MemoryDisk();
    disk.replace(LAST_SEGMENT, bytes.slice().fill(0, start + hardStateLength));
    await goesOn(disk, WITHOUT_LAST);
  });
});

function changedSectors(a: Uint8Array, b: Uint8Array): number[] {
  const sectors = Array.from({ length: b.length / 512 }, (_, sector) => sector);
  const part = (bytes: Uint8Array, sector: number): Buffer =>
    Buffer.from(bytes.subarray(sector * 512, sector * 512 + 512));
  return sectors.filter((sector) => !part(a, sector).equals(part(b, sector)));
}

describe('W4: two groups in flight', () => {
  /** Batch A is being synced and batch B was written meanwhile when the power fails. */
  async function twoInFlight(): Promise<MemoryDisk> {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 3, 1) });
    await flush();
    const { write } = disk.counts;
    disk.before = (operation) => (operation === 'sync' ? new Promise(() => undefined) : undefined);
    void wal.append({ stream: STREAM, hardState: null, entries: entries(4, 20, 1, 'a batch in flight, long enough') });
    await until(() => disk.counts.write === write + 1);
    void wal.append({ stream: STREAM, hardState: null, entries: entries(21, 40, 1, 'another one, written after it') });
    await until(() => disk.counts.write === write + 2);
    await flush();
    disk.before = () => undefined;
    return disk;
  }

  it('may be lost in any combination, but never the second without the first', async () => {
    const probe = await twoInFlight();
    const dirty: string[] = [];
    probe.crash((what) => {
      dirty.push(what);
      return true;
    });
    expect(dirty.length).toBeGreaterThan(2);
    for (let subset = 0; subset < 2 ** dirty.length; subset += 1) {
      const disk = await twoInFlight();
      disk.crash((what) => (subset & (2 ** dirty.indexOf(what))) !== 0);
      const wal = await open(disk, SMALL);
      expect([3, 20, 40]).toContain(wal.streams[0]?.lastIndex);
      await wal.close();
    }
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn += 1) {
    if (turn > 10_000) throw new Error('the condition never held');
    await flush();
  }
}
