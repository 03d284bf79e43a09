import { describe, expect, it } from 'vitest';
import { clusterId, memberId } from '../../src/types/ids.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  FORMAT_VERSION,
  FORMAT_VERSION_RECYCLED,
  SEGMENT_HEADER_BYTES,
} from '../../src/wal/record.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import { WalError, type WalEvent } from '../../src/wal/types.ts';
import { MemoryDisk } from './memory-disk.ts';
import {
  contents,
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

const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };
const FIRST = segmentPath(1);
const SECOND = segmentPath(2);
const THIRD = segmentPath(3);

/** Some acknowledged batches, one after the other, in one segment; a sync mark after each. */
async function smallLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const wal = await openStarted(disk, SMALL);
  await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 2, 1) });
  await wal.append({ stream: STREAM, hardState: hardState(2, 'a'), entries: entries(2, 3, 2) });
  await wal.append({ stream: STREAM, hardState: null, entries: entries(4, 4, 2) });
  await flush();
  return disk;
}

/** Three segments and more; not closed. */
async function longLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const wal = await openStarted(disk, SMALL);
  for (let index = 1; index <= 250; index += 1) {
    await wal.append({
      stream: STREAM,
      hardState: null,
      entries: entries(index, index, 1, 'some text that takes room'),
    });
  }
  await flush();
  return disk;
}

/** Opens a damaged copy; it must be refused as damaged, and nothing may be changed. */
async function expectCorrupt(disk: MemoryDisk, what: string): Promise<void> {
  const before = disk.paths().map((path) => Buffer.from(disk.bytes(path)));
  const error = await open(disk, SMALL).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error, what).toBeInstanceOf(WalError);
  expect((error as WalError).problem, what).toBe('corrupt');
  expect((error as WalError).message, what).toMatch(
    /damaged at offset \d+: .*Keep this folder.*Do not start the member with an empty/,
  );
  expect(disk.paths().map((path) => Buffer.from(disk.bytes(path)))).toEqual(before);
}

describe('W4: damage before acknowledged data is never cut', () => {
  it('a flip of any bit before the last sync mark is found', async () => {
    const disk = await smallLog();
    const bytes = disk.bytes(FIRST);
    const mark = recordOffsets(bytes).at(-1) ?? 0;
    expect(mark).toBeGreaterThan(SEGMENT_HEADER_BYTES + 400);
    for (let bit = 0; bit < mark * 8; bit += 1) {
      const copy = new MemoryDisk();
      copy.replace(FIRST, flipped(bytes, bit));
      const outcome = await open(copy, SMALL).catch((error: unknown) => error);
      if (!(outcome instanceof WalError) || outcome.problem !== 'corrupt') expect.fail(`bit ${bit}: ${outcome}`);
    }
  });

  it('a flip in a last batch whose mark is gone looks torn, and never gives wrong data', async () => {
    const disk = await smallLog();
    const bytes = withoutMark(disk.bytes(FIRST));
    const from = recordOffsets(bytes).at(-1) ?? 0;
    const expected = { hardState: hardState(2, 'a'), entries: show([...entries(1, 1, 1), ...entries(2, 3, 2)]) };
    for (let bit = from * 8; bit < (recordOffsets(disk.bytes(FIRST)).at(-1) ?? 0) * 8; bit += 1) {
      const copy = new MemoryDisk();
      copy.replace(FIRST, flipped(bytes, bit));
      expect(await reopened(copy, SMALL)).toMatchObject(expected);
    }
  });

  it('a zeroed stretch between good records is found', async () => {
    const disk = await smallLog();
    const bytes = disk.bytes(FIRST);
    const offsets = recordOffsets(bytes);
    for (const [i, offset] of offsets.slice(0, -1).entries()) {
      const copy = new MemoryDisk();
      copy.replace(FIRST, bytes.slice().fill(0, offset, offsets[i + 1]));
      await expectCorrupt(copy, `record ${i}`);
    }
  });

  it('a bad record in a segment that is not the last is found, also at its very end', async () => {
    const disk = await longLog();
    const offsets = recordOffsets(disk.bytes(FIRST));
    for (const offset of [...offsets.slice(0, 6), ...offsets.slice(-6)]) {
      const copy = disk.copy();
      const damaged = disk.bytes(FIRST);
      damaged[offset + 9] = (damaged[offset + 9] ?? 0) ^ 4;
      copy.replace(FIRST, damaged);
      await expectCorrupt(copy, `offset ${offset}`);
    }
  });

  it('the end of a segment that is not the last can not be cut or zeroed', async () => {
    const disk = await longLog();
    const bytes = disk.bytes(FIRST);
    const last = recordOffsets(bytes).at(-1) ?? 0;
    for (const damaged of [bytes.slice(0, last), bytes.slice().fill(0, last), bytes.slice(0, SEGMENT_HEADER_BYTES)]) {
      const copy = disk.copy();
      copy.replace(FIRST, damaged);
      await expectCorrupt(copy, `${damaged.length} bytes`);
    }
  });

  it('the end of the last segment in use is found missing as far as the segment prepared behind it can tell', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await wal.append({ stream: STREAM, hardState: null, entries: [entry(1, 1, 'x'.repeat(5_000))] });
    await wal.append({ stream: STREAM, hardState: null, entries: [entry(2, 1, 'y')] });
    await flush();
    expect(disk.paths()).toEqual([FIRST, SECOND]);
    const bytes = disk.bytes(FIRST);
    const large = recordOffsets(bytes).find((offset, i, all) => (all[i + 1] ?? 0) - offset > 5_000) ?? 0;
    for (const damaged of [bytes.slice().fill(0, large), bytes.slice(0, large), bytes.slice(0, large + 1_000)]) {
      const copy = disk.copy();
      copy.replace(FIRST, damaged);
      await expectCorrupt(copy, `${damaged.length} bytes`);
    }
  });

  it('a segment that became shorter is reported', async () => {
    const disk = await smallLog();
    const bytes = disk.bytes(FIRST);
    const found: WalEvent[] = [];
    const mark = recordOffsets(bytes).at(-1) ?? 0;
    disk.replace(FIRST, bytes.slice(0, mark + 48));
    expect((await open(disk, SMALL, found)).streams[0]?.lastIndex).toBe(4);
    disk.replace(FIRST, bytes.slice(0, mark));
    expect((await open(disk, SMALL, found)).streams[0]?.lastIndex).toBe(4);
    const event = { kind: 'shortFile', file: FIRST, preparedBytes: SMALL.segmentBytes };
    expect(found).toEqual([
      { ...event, bytes: mark + 48 },
      { ...event, bytes: mark },
    ]);
  });

  it('a missing segment is found', async () => {
    const disk = await longLog();
    for (const path of [SECOND, THIRD]) {
      const copy = disk.copy();
      copy.delete(path);
      await expectCorrupt(copy, path);
    }
  });

  it('a missing first segment shows as a log that begins later, for the tables to judge', async () => {
    const disk = await longLog();
    disk.delete(FIRST);
    const [stream] = (await open(disk, SMALL)).streams;
    expect(stream?.firstIndex).toBeGreaterThan(20);
    expect(stream?.lastIndex).toBe(250);
  });

  it('the oldest segment that is left after compaction can not be empty', async () => {
    const disk = await longLog();
    for (const path of disk.paths().slice(0, -1)) disk.delete(path);
    await expectCorrupt(disk, 'only the spare is left');
  });

  it('an empty segment before others is found', async () => {
    const disk = await longLog();
    disk.replace(SECOND, disk.bytes(SECOND).fill(0, SEGMENT_HEADER_BYTES));
    await expectCorrupt(disk, 'empty');
  });

  it('an empty segment before an empty one is found: the next is prepared only when this one is in use', async () => {
    const disk = await longLog();
    const spare = disk.paths().at(-1) ?? '';
    const inUse = disk.paths().at(-2) ?? '';
    expect(recordOffsets(disk.bytes(spare))).toEqual([]);
    disk.replace(inUse, disk.bytes(inUse).fill(0, SEGMENT_HEADER_BYTES));
    await expectCorrupt(disk, 'empty');
  });

  it('a bad end is found when the next segment was begun, even if that beginning was torn', async () => {
    const disk = await longLog();
    for (const path of disk.paths().slice(2)) disk.delete(path);
    const first = disk.bytes(FIRST);
    const last = recordOffsets(first).at(-1) ?? 0;
    first[last + 20] = (first[last + 20] ?? 0) ^ 1;
    disk.replace(FIRST, first);
    disk.replace(SECOND, disk.bytes(SECOND).fill(0, SEGMENT_HEADER_BYTES + 40));
    await expectCorrupt(disk, 'begun');
  });

  it('a lost end is found even if the next segment says the same', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await wal.append({ stream: STREAM, hardState: null, entries: [entry(1, 1, 'x'.repeat(6_000))] });
    await wal.append({ stream: STREAM, hardState: hardState(2, 'b'), entries: [] });
    await wal.append({ stream: STREAM, hardState: null, entries: [entry(2, 2, 'y'.repeat(3_000))] });
    await flush();
    const bytes = disk.bytes(FIRST);
    expect(recordOffsets(disk.bytes(SECOND))).not.toEqual([]);
    disk.replace(FIRST, bytes.slice().fill(0, recordOffsets(bytes).at(-1)));
    await expectCorrupt(disk, 'the last record, a hard state, is gone');
  });

  it('segments that changed places are found', async () => {
    const disk = await longLog();
    const second = disk.bytes(SECOND);
    disk.replace(SECOND, disk.bytes(THIRD));
    disk.replace(THIRD, second);
    await expectCorrupt(disk, 'swapped');
  });
});

describe('D4: a record is accepted only where it was written', () => {
  it('not at another place of its segment', async () => {
    const disk = await smallLog();
    const bytes = disk.bytes(FIRST);
    const offsets = recordOffsets(bytes);
    const [from, to] = [offsets.at(-3) ?? 0, offsets.at(-1) ?? 0];
    const record = bytes.slice(from, to);
    // A second copy behind the end, as a misdirected write would leave it: not part of the log, and not in its way.
    const end =
      to + (Buffer.from(bytes).readUInt32LE(to + 4) + 7 - ((Buffer.from(bytes).readUInt32LE(to + 4) + 7) % 8));
    const copy = new MemoryDisk();
    const appended = bytes.slice();
    appended.set(record, end);
    copy.replace(FIRST, appended);
    expect((await reopened(copy, SMALL))?.entries).toEqual((await reopened(disk, SMALL))?.entries);
  });

  it('not in a recycled segment: what an earlier life of the file holds is not part of the log', async () => {
    const old = await smallLog();
    const { tag, bytes } = encodeSegmentHeader({
      clusterId: clusterId('cluster'),
      memberId: memberId('a'),
      sequence: 1,
      createdMs: 1,
      preparedBytes: SMALL.segmentBytes,
      previousDurable: 0,
      recycled: false,
    });
    const recycled = old.bytes(FIRST);
    const header = decodeSegmentHeader(recycled);
    expect(header.kind === 'good' && header.tag !== tag).toBe(true);
    recycled.set(bytes);
    const disk = new MemoryDisk();
    disk.replace(FIRST, recycled);
    const wal = await open(disk, SMALL);
    expect(await contents(wal)).toBeNull();
  });

  it('not after another record than the one it followed', async () => {
    const a = await smallLog();
    const wal = await open(a.copy(), SMALL);
    await wal.close();
    // Same header, same place, same length, other content before: only the chain can tell.
    const b = new MemoryDisk();
    const other = await openStarted(b, SMALL);
    await other.append({ stream: STREAM, hardState: null, entries: entries(1, 2, 1, 'other') });
    await other.append({ stream: STREAM, hardState: hardState(2, 'a'), entries: entries(2, 3, 2) });
    const offsets = recordOffsets(b.bytes(FIRST));
    expect(recordOffsets(a.bytes(FIRST)).slice(0, 8)).toEqual(offsets.slice(0, 8));
    const mixed = a.bytes(FIRST);
    const cut = offsets.at(-3) ?? 0;
    mixed.set(b.bytes(FIRST).subarray(cut), cut);
    const disk = new MemoryDisk();
    disk.replace(FIRST, mixed);
    await expectCorrupt(disk, 'chain');
  });
});

describe('identity and version', () => {
  it('refuses the log of another cluster or member', async () => {
    const disk = await smallLog();
    await expect(open(disk, { clusterId: clusterId('other') })).rejects.toMatchObject({
      problem: 'foreign',
      file: FIRST,
    });
    const error = open(disk, { memberId: memberId('b') });
    await expect(error).rejects.toThrow(/belongs to member a of cluster cluster, but this is member b/);
  });

  it('refuses a newer version, and does not take damage for one', async () => {
    const disk = await smallLog();
    const bytes = disk.bytes(FIRST);
    const { bytes: header } = encodeSegmentHeader({
      clusterId: clusterId('cluster'),
      memberId: memberId('a'),
      sequence: 1,
      createdMs: 1,
      preparedBytes: SMALL.segmentBytes,
      previousDurable: 0,
      recycled: false,
    });
    expect(header.readUInt32LE(8)).toBe(FORMAT_VERSION);
    header.writeUInt32LE(FORMAT_VERSION_RECYCLED + 1, 8);
    const crc = await import('crc-32');
    header.writeUInt32LE(crc.default.buf(header.subarray(0, 508), 0) >>> 0, 508);
    bytes.set(header);
    disk.replace(FIRST, bytes);
    await expect(open(disk, SMALL)).rejects.toMatchObject({ problem: 'version' });
  });

  it('ignores files that are not its own, and removes what a crash left half prepared', async () => {
    const disk = await smallLog();
    disk.replace('notes.txt', new Uint8Array([1]));
    disk.replace(`${SECOND}.tmp`, new Uint8Array(100));
    expect((await reopened(disk, SMALL))?.entries).toHaveLength(4);
    expect(disk.paths()).toEqual([FIRST, 'notes.txt']);
  });
});
