import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Disk } from '../../src/ports/disk.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import type { WalAppend, WalEvent } from '../../src/wal/types.ts';
import { MemoryDisk } from './memory-disk.ts';
import { contents, entries, hardState, open, openStarted, STREAM, show } from './support.ts';

const SEGMENT_BYTES = 8 * 1024;
const SMALL = { segmentBytes: SEGMENT_BYTES };
const LAST_SEGMENT = segmentPath(1);

/** Makes a log of some batches without closing it, and says where the last batch lies. */
interface Sample {
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
  const start = dataEnd(disk.bytes(LAST_SEGMENT));
  await wal.append(LAST);
  const bytes = disk.bytes(LAST_SEGMENT);
  return { bytes, start, end: dataEnd(bytes) };
}

/** End of the last record: records are padded to 8 bytes. */
function dataEnd(bytes: Uint8Array): number {
  return Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 8) * 8;
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
    const { bytes, start, end } = await sample();
    expect(end - start).toBeGreaterThan(100);
    for (let at = start; at < end; at += 1) {
      const disk = new MemoryDisk();
      const damaged = cut(bytes, at);
      disk.replace(LAST_SEGMENT, damaged);
      const whole = Buffer.from(bytes).equals(Buffer.from(damaged).subarray(0, bytes.length));
      const torn = await goesOn(disk, whole && damaged.length === bytes.length ? WITH_LAST : WITHOUT_LAST);
      const left = damaged.slice(start).some((byte) => byte !== 0);
      expect(torn).toHaveLength(left && !whole ? 1 : 0);
    }
  });

  describe('on the file system', () => {
    let root = '';
    beforeAll(async () => {
      root = await mkdtemp(join(tmpdir(), 'quorate-wal-'));
    });
    afterAll(() => rm(root, { recursive: true }));

    it.each(CUTS)('where %s', async (name, cut) => {
      const { bytes, start, end } = await sample();
      for (let at = start; at < end; at += 1) {
        const folder = join(root, `${name}-${at}`);
        const disk = new NodeDisk(folder);
        await disk.makeFolder('');
        const damaged = cut(bytes, at);
        await writeFile(join(folder, LAST_SEGMENT), damaged);
        const whole = Buffer.from(bytes).equals(damaged);
        await goesOn(disk, whole ? WITH_LAST : WITHOUT_LAST);
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
    const torn = bytes.slice();
    torn[start] = (torn[start] ?? 0) ^ 1;
    disk.replace(LAST_SEGMENT, torn);
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
    disk.before = (operation) => (operation === 'sync' ? new Promise(() => undefined) : undefined);
    void wal.append({ stream: STREAM, hardState: null, entries: entries(4, 20, 1, 'a batch in flight, long enough') });
    await until(() => disk.counts.write === 5);
    void wal.append({ stream: STREAM, hardState: null, entries: entries(21, 40, 1, 'another one, written after it') });
    await until(() => disk.counts.write === 6);
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
  while (!condition()) await flush();
}

function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
