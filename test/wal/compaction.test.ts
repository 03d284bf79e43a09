/** R4 W6: the log behind an image goes, segment by segment, and freed segments are written again. */
import { describe, expect, it } from 'vitest';
import type { Entry, HardState, SnapshotMark } from '../../src/raft/types.ts';
import { type LogIndex, logIndex, type StreamId, term } from '../../src/types/ids.ts';
import { WAL_RECYCLED_SEGMENTS_MAX } from '../../src/types/limits.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../../src/wal/record.ts';
import type { Wal } from '../../src/wal/types.ts';
import { MemoryDisk } from './memory-disk.ts';
import {
  ALL_INDEXES,
  CONFIGURATION,
  entries,
  flush,
  hardState,
  OTHER_STREAM,
  open,
  openStarted,
  STREAM,
  show,
} from './support.ts';

const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };
const TEXT = 'some text that takes room in a segment, so that there are several of them';

function upTo(index: number, stream: StreamId = STREAM): ReadonlyMap<StreamId, LogIndex> {
  return new Map([[stream, logIndex(index)]]);
}

function mark(index: number, inTerm: number): SnapshotMark {
  return {
    index: logIndex(index),
    term: term(inTerm),
    configuration: { index: logIndex(0), configuration: CONFIGURATION },
  };
}

async function fill(wal: Wal, from: number, to: number, inTerm = 1): Promise<void> {
  for (let index = from; index <= to; index += 1) {
    await wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, inTerm, TEXT) });
  }
}

function segments(disk: MemoryDisk): string[] {
  return disk.paths().filter((path) => path.endsWith('.wal'));
}

describe('R4: compaction', () => {
  it('frees whole segments, oldest first, and a restart begins where the log begins now', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await fill(wal, 1, 300);
    const before = segments(disk).length;
    const first = (await wal.compact(upTo(200))).get(STREAM) ?? 0;
    expect(first).toBeGreaterThan(100);
    expect(first).toBeLessThanOrEqual(201);
    expect(segments(disk).length).toBeLessThan(before - 2);
    expect(show(await wal.read(STREAM, logIndex(first), ALL_INDEXES, 1 << 20))).toEqual(
      show(entries(first, 300, 1, TEXT)),
    );
    expect(await wal.read(STREAM, logIndex(first - 1), ALL_INDEXES, 1 << 20)).toEqual([]);
    await wal.close();
    const after = await open(disk, SMALL);
    expect(after.streams).toMatchObject([{ firstIndex: first, lastIndex: 300, baseTerm: 1, hardState: hardState(1) }]);
    expect(show(await after.read(STREAM, logIndex(first), ALL_INDEXES, 1 << 20))).toEqual(
      show(entries(first, 300, 1, TEXT)),
    );
    expect(await after.compact(upTo(200))).toEqual(upTo(first));
  });

  it('never frees the segment in use, nor what any stream still needs', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await wal.bootstrap(OTHER_STREAM, CONFIGURATION);
    await wal.append({ stream: OTHER_STREAM, hardState: hardState(1), entries: entries(1, 2, 1) });
    await fill(wal, 1, 100);
    expect(await wal.compact(upTo(100))).toEqual(
      new Map([
        [STREAM, 1],
        [OTHER_STREAM, 1],
      ]),
    );
    const first = await wal.compact(
      new Map([
        [STREAM, logIndex(100)],
        [OTHER_STREAM, logIndex(2)],
      ]),
    );
    expect(first.get(OTHER_STREAM)).toBe(3);
    expect(segments(disk).length).toBeGreaterThan(0);
    await fill(wal, 101, 120);
    await wal.close();
    expect((await open(disk, SMALL)).streams).toMatchObject([
      { lastIndex: 120 },
      { firstIndex: 3, lastIndex: 2, baseTerm: 1 },
    ]);
  });

  it('does not begin at a segment behind whose start older entries were replaced', async () => {
    for (let back = 1; back < 40; back += 3) {
      const disk = new MemoryDisk();
      const wal = await openStarted(disk, SMALL);
      await fill(wal, 1, 80);
      await wal.append({ stream: STREAM, hardState: hardState(2), entries: entries(80 - back, 80, 2, 'new') });
      await fill(wal, 81, 85, 2);
      const first = (await wal.compact(upTo(85))).get(STREAM) ?? 0;
      await wal.close();
      const after = await open(disk, SMALL);
      expect(after.streams).toMatchObject([{ firstIndex: first, lastIndex: 85 }]);
      expect(await after.read(STREAM, logIndex(first), ALL_INDEXES, 1 << 20)).toHaveLength(85 - first + 1);
    }
  });

  it('tells how many bytes hold what follows an entry', async () => {
    const wal = await openStarted(new MemoryDisk(), SMALL);
    await fill(wal, 1, 300);
    const bytes = [0, 100, 200, 299, 300].map((index) => wal.bytesAfter(STREAM, logIndex(index)));
    expect(bytes[0]).toBeGreaterThan(300 * 100);
    expect(bytes).toEqual([...bytes].sort((a, b) => b - a));
    expect(bytes[4]).toBe(0);
    expect(wal.bytesAfter(OTHER_STREAM, logIndex(0))).toBe(0);
  });

  it('lets reads under way end, with what they wanted or with nothing', async () => {
    const wal = await openStarted(new MemoryDisk(), SMALL);
    await fill(wal, 1, 200);
    const reads = [1, 50, 100, 150].map((from) => wal.read(STREAM, logIndex(from), ALL_INDEXES, 1 << 20));
    const first = (await wal.compact(upTo(120))).get(STREAM) ?? 0;
    const lengths = (await Promise.all(reads)).map((list) => list.length);
    expect(lengths.slice(0, 2)).toEqual([0, 0]);
    expect(lengths[3]).toBe(first > 150 ? 0 : 51);
  });
});

describe('R4: reset and start', () => {
  it('start begins a stream behind an image', async () => {
    const disk = new MemoryDisk();
    const wal = await open(disk, SMALL);
    await wal.start(STREAM, hardState(7, 'b'), mark(500, 6));
    await wal.append({ stream: STREAM, hardState: null, entries: entries(501, 503, 7) });
    await wal.close();
    expect((await open(disk, SMALL)).streams).toMatchObject([
      { firstIndex: 501, lastIndex: 503, baseTerm: 6, hardState: hardState(7, 'b'), configurations: [{ index: 0 }] },
    ]);
  });

  it.each([
    ['all', false, 100, 1, 900],
    ['what the image covers', true, 100, 1, 60],
  ] as const)('reset drops %s, in order with appends', async (_, keep, last, inTerm, at) => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await fill(wal, 1, last);
    const next = keep ? last + 1 : at + 1;
    const reading = wal.read(STREAM, logIndex(1), ALL_INDEXES, 1 << 20);
    await Promise.all([
      wal.reset(STREAM, mark(at, inTerm), keep),
      wal.append({ stream: STREAM, hardState: null, entries: entries(next, next + 3, 1, 'after') }),
    ]);
    expect([0, last]).toContain((await reading).length);
    const expected = keep
      ? [...entries(at + 1, last, 1, TEXT), ...entries(next, next + 3, 1, 'after')]
      : entries(next, next + 3, 1, 'after');
    expect(show(await wal.read(STREAM, logIndex(at + 1), ALL_INDEXES, 1 << 20))).toEqual(show(expected));
    await fill(wal, next + 4, next + 100);
    await wal.compact(upTo(next + 90));
    await wal.close();
    const after = await open(disk, SMALL);
    const [stream] = after.streams;
    expect(stream).toMatchObject({ lastIndex: next + 100 });
    expect(await after.read(STREAM, stream?.firstIndex ?? logIndex(0), ALL_INDEXES, 1 << 20)).toHaveLength(
      next + 101 - (stream?.firstIndex ?? 0),
    );
  });

  it('reset keeps entries only behind one that is the mark’s', async () => {
    const wal = await openStarted(new MemoryDisk(), SMALL);
    await wal.append({ stream: STREAM, hardState: hardState(5), entries: entries(1, 10, 1) });
    await expect(wal.reset(STREAM, mark(5, 3), true)).rejects.toThrow(/term 1 here, not 3/);
    await expect(wal.reset(STREAM, mark(50, 3), true)).rejects.toThrow(/term null here/);
  });
});

describe('W6: recycled segments', () => {
  /** A log that has gone through its segments twice. */
  async function recycled(): Promise<{ disk: MemoryDisk; wal: Wal; last: number }> {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await fill(wal, 1, 250);
    await wal.compact(upTo(250));
    await fill(wal, 251, 400);
    await flush();
    return { disk, wal, last: 400 };
  }

  it('are not zeroed: no more is written than the entries take', async () => {
    const { disk, wal } = await recycled();
    await wal.compact(upTo(400));
    await fill(wal, 401, 410);
    const { allocate } = disk.counts;
    await fill(wal, 411, 460);
    expect(disk.counts.allocate).toBe(allocate);
    expect(disk.paths().filter((path) => path.endsWith('.free')).length).toBeLessThanOrEqual(WAL_RECYCLED_SEGMENTS_MAX);
  });

  it('hold the bytes of their earlier life, which are no records, and open with what was appended', async () => {
    const { disk, last } = await recycled();
    const headers = segments(disk).map((path) => decodeSegmentHeader(disk.bytes(path)));
    expect(headers.some((header) => header.kind === 'good' && header.header.recycled)).toBe(true);
    const stale = segments(disk).some((path) =>
      /several of them (1?\d?\d|2[0-4]\d)\D/.test(Buffer.from(disk.bytes(path)).toString('latin1')),
    );
    expect(stale).toBe(true);
    disk.kill();
    const after = await open(disk.copy(), SMALL);
    expect(after.streams).toMatchObject([{ lastIndex: last }]);
    expect((await open(disk, SMALL)).streams).toMatchObject([{ lastIndex: last }]);
  });

  it('are zeroed behind the end on open, so that stale records of this life can not come alive', async () => {
    const { disk } = await recycled();
    const path = segments(disk).at(-1) ?? '';
    const header = decodeSegmentHeader(disk.bytes(path));
    expect(header.kind === 'good' && header.header.recycled).toBe(true);
    await (await open(disk, SMALL)).close();
    const bytes = disk.bytes(path);
    const file = Buffer.from(bytes);
    let at = SEGMENT_HEADER_BYTES;
    while (at + 48 <= file.length && file.readUInt32LE(at + 4) !== 0)
      at += Math.ceil(file.readUInt32LE(at + 4) / 8) * 8;
    expect(bytes.slice(at).every((byte) => byte === 0)).toBe(true);
  });

  it('cut at every byte of the last batch open with the batches before it, and every flip before is damage', async () => {
    const { disk, wal, last } = await recycled();
    const path =
      segments(disk).find((name) => {
        const bytes = Buffer.from(disk.bytes(name));
        return bytes.includes(`${TEXT} ${last}`);
      }) ?? '';
    const before = disk.bytes(path);
    await fill(wal, last + 1, last + 1);
    await flush();
    const after = disk.bytes(path);
    const changed = [...after.keys()].filter((i) => after[i] !== before[i]);
    const [start = 0, end = 0] = [changed[0], changed.at(-1)];
    expect(end - start).toBeGreaterThan(100);
    for (let at = start; at <= end; at += 3) {
      const mixed = after.slice();
      mixed.set(before.subarray(at), at);
      const torn = disk.copy();
      torn.replace(path, mixed);
      const [stream] = (await open(torn, SMALL)).streams;
      expect([last, last + 1]).toContain(stream?.lastIndex);
    }
    for (let at = SEGMENT_HEADER_BYTES; at < start - 48; at += 7) {
      const flipped = after.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 16;
      const copy = disk.copy();
      copy.replace(path, flipped);
      await expect(open(copy, SMALL)).rejects.toMatchObject({ problem: 'corrupt' });
    }
  });
});

// ---------------------------------------------------------------------------------------------- crash points

/** What the log must say after some prefix of the script: entries by index, and the least first index. */
interface Expected {
  readonly hardState: HardState;
  /** Entries that are needed. Older ones may be there too, and are as `all` says. */
  readonly needed: readonly Entry[];
  readonly last: number;
}

/** A run through everything: appends, votes, a replaced tail, compaction, reset both ways, recycled segments. */
async function script(wal: Wal, done: (expected: Expected) => void): Promise<void> {
  let log: Entry[] = [];
  let state = hardState(1);
  const says = (from: number): Expected => ({
    hardState: state,
    needed: log.filter(({ index }) => index >= from),
    last: log.at(-1)?.index ?? from - 1,
  });
  let needed = 1;
  const put = async (more: Entry[]): Promise<void> => {
    log = [...log.filter(({ index }) => index < (more[0]?.index ?? 0)), ...more];
    const expected = says(needed);
    await wal.append({ stream: STREAM, hardState: state, entries: more });
    done(expected);
  };
  const compact = async (to: number): Promise<void> => {
    needed = to + 1;
    await wal.compact(upTo(to));
    done(says(needed));
  };
  await wal.bootstrap(STREAM, CONFIGURATION);
  const chunk = (from: number, count: number, inTerm: number): Entry[] =>
    entries(from, from + count - 1, inTerm, TEXT.repeat(5));
  for (let from = 1; from <= 60; from += 12) await put(chunk(from, 12, 1));
  await compact(40);
  state = hardState(2, 'b');
  await put(chunk(55, 12, 2));
  for (let from = 67; from <= 90; from += 12) await put(chunk(from, 12, 2));
  await compact(88);
  needed = 86;
  log = log.filter(({ index }) => index > 85);
  await wal.reset(STREAM, mark(88, 2), true);
  needed = 89;
  done(says(needed));
  for (let from = 91; from <= 114; from += 12) await put(chunk(from, 12, 2));
  log = [];
  needed = 201;
  const expected = { hardState: state, needed: [], last: 200 };
  await wal.reset(STREAM, mark(200, 2), false);
  done(expected);
  for (let from = 201; from <= 248; from += 12) await put(chunk(from, 12, 2));
  await compact(240);
  for (let from = 249; from <= 272; from += 12) await put(chunk(from, 12, 2));
}

describe('R4 W4 W6: a crash at each disk operation of appends, compaction, reset and reuse', () => {
  async function operations(): Promise<{ count: number; steps: Expected[] }> {
    const disk = new MemoryDisk();
    let count = 0;
    disk.before = () => {
      count += 1;
    };
    const steps: Expected[] = [];
    const wal = await open(disk, SMALL);
    await script(wal, (expected) => steps.push(expected));
    return { count, steps };
  }

  /** What the reopened log says, if it is what `expected` wants. */
  async function fits(wal: Wal, expected: Expected | undefined): Promise<boolean> {
    const [stream] = wal.streams;
    if (expected === undefined || stream === undefined) return stream === undefined && expected === undefined;
    if (stream.lastIndex !== expected.last || stream.hardState.term !== expected.hardState.term) return false;
    const first = expected.needed[0]?.index ?? expected.last + 1;
    if (stream.firstIndex > first) return false;
    const found = await wal.read(STREAM, logIndex(Math.max(first, stream.firstIndex)), ALL_INDEXES, 1 << 24);
    return JSON.stringify(show(found)) === JSON.stringify(show(expected.needed));
  }

  it('leaves a log that says what was acknowledged, or what was under way', async () => {
    const { count, steps } = await operations();
    expect(count).toBeGreaterThan(150);
    let cases = 0;
    for (let point = 1; point <= count; point += 1) {
      for (const keep of ['none', 'all', 'some'] as const) {
        const disk = new MemoryDisk();
        let left = point;
        disk.before = () => {
          left -= 1;
          return left <= 0 ? new Promise<void>(() => undefined) : undefined;
        };
        let acknowledged = 0;
        void open(disk.process(), SMALL).then((wal) => script(wal, () => (acknowledged += 1)));
        for (let turn = 0; left > 0 && turn < 5_000; turn += 1) await flush();
        for (let turn = 0; turn < 3; turn += 1) await flush();
        let serial = point;
        disk.before = () => undefined;
        disk.crash(() => {
          serial = (Math.imul(serial, 1_664_525) + 1_013_904_223) >>> 0;
          return keep === 'all' || (keep === 'some' && serial >>> 31 === 1);
        });
        const wal = await open(disk, SMALL);
        // Compaction and reset at an index that was acknowledged take effect at once or not at all.
        const candidates = [steps[acknowledged - 1], steps[acknowledged]];
        const matches = await Promise.all(candidates.map((expected) => fits(wal, expected)));
        const fresh = acknowledged === 0 && (wal.streams[0]?.lastIndex ?? 0) === 0;
        if (!fresh && !matches.includes(true)) {
          expect.fail(`operation ${point}, kept ${keep}: after ${acknowledged} steps ${JSON.stringify(wal.streams)}`);
        }
        await wal.close();
        cases += 1;
      }
    }
    console.info(`crash points of the log: ${count}, cases: ${cases}`);
  }, 120_000);
});
