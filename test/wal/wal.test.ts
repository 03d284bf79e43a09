import { describe, expect, it } from 'vitest';
import type { Configuration } from '../../src/raft/types.ts';
import { InvariantError } from '../../src/types/assert.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';
import { MemoryDisk } from './memory-disk.ts';
import {
  ALL_INDEXES,
  CONFIGURATION,
  contents,
  entries,
  entry,
  hardState,
  OTHER_STREAM,
  open,
  openStarted,
  reopened,
  STREAM,
  show,
} from './support.ts';

describe('W1 W2: what is appended is there after a restart', () => {
  it('starts empty, and stays empty without a stream', async () => {
    const disk = new MemoryDisk();
    const wal = await open(disk);
    expect(wal.streams).toEqual([]);
    await wal.close();
    expect((await open(disk)).streams).toEqual([]);
  });

  it('keeps the configuration that a stream was started with', async () => {
    const disk = new MemoryDisk();
    const wal = await open(disk);
    await wal.bootstrap(STREAM, CONFIGURATION);
    await wal.close();
    expect(await reopened(disk)).toEqual({ hardState: hardState(0), configuration: CONFIGURATION, entries: [] });
  });

  it('keeps entries of every kind, the newest hard state, and terms', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const noop = { ...entry(1, 1, '', 'noop') };
    await wal.append({ stream: STREAM, hardState: hardState(1, 'b'), entries: [noop, entry(2, 1, 'x')] });
    await wal.append({ stream: STREAM, hardState: hardState(4), entries: [entry(3, 2, 'y'), entry(4, 4, 'z')] });
    await wal.close();
    const after = await open(disk);
    expect(after.streams).toEqual([
      {
        stream: STREAM,
        hardState: hardState(4),
        configurations: [{ index: 0, configuration: CONFIGURATION }],
        baseTerm: 0,
        firstIndex: 1,
        lastIndex: 4,
        spans: [
          { firstIndex: 1, term: 1 },
          { firstIndex: 3, term: 2 },
          { firstIndex: 4, term: 4 },
        ],
      },
    ]);
    expect((await contents(after))?.entries).toEqual(['1/1 noop ', '2/1 command x', '3/2 command y', '4/4 command z']);
  });

  it('replaces the tail, and a restart replays the replacement', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 10, 1, 'old') });
    await wal.append({ stream: STREAM, hardState: hardState(3), entries: entries(6, 7, 3, 'new') });
    await wal.append({ stream: STREAM, hardState: null, entries: entries(8, 8, 3, 'new') });
    const expected = [...show(entries(1, 5, 1, 'old')), ...show(entries(6, 8, 3, 'new'))];
    expect(show(await wal.read(STREAM, logIndex(1), ALL_INDEXES, 1 << 20))).toEqual(expected);
    await wal.close();
    expect((await reopened(disk))?.entries).toEqual(expected);
  });

  it('keeps streams apart (R8)', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await wal.bootstrap(OTHER_STREAM, { ...CONFIGURATION, learners: [] });
    await Promise.all([
      wal.append({ stream: STREAM, hardState: null, entries: entries(1, 3, 1, 'one') }),
      wal.append({ stream: OTHER_STREAM, hardState: hardState(7, 'c'), entries: entries(1, 2, 7, 'two') }),
      wal.append({ stream: STREAM, hardState: null, entries: entries(4, 4, 1, 'one') }),
    ]);
    await wal.close();
    const after = await open(disk);
    expect(after.streams.map(({ stream }) => stream)).toEqual([STREAM, OTHER_STREAM]);
    expect((await contents(after))?.entries).toEqual(show(entries(1, 4, 1, 'one')));
    expect(await contents(after, OTHER_STREAM)).toEqual({
      hardState: hardState(7, 'c'),
      configuration: { ...CONFIGURATION, learners: [] },
      entries: show(entries(1, 2, 7, 'two')),
    });
  });

  it('compresses what pays and only that', async () => {
    const random = Array.from({ length: 4096 }, (_, i) => Math.imul(i + 1, 2_654_435_761) >>> 24);
    const noise = { ...entry(2, 1, ''), payload: Uint8Array.from(random) };
    const text = entry(1, 1, 'all work and no play '.repeat(500));
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    const start = disk.bytesWritten;
    await wal.append({ stream: STREAM, hardState: null, entries: [text] });
    expect(disk.bytesWritten - start).toBeLessThan(text.payload.length / 8);
    const before = disk.bytesWritten;
    await wal.append({ stream: STREAM, hardState: null, entries: [noise] });
    expect(disk.bytesWritten - before).toBeGreaterThan(0);
    await wal.close();
    const after = await open(disk);
    const read = await after.read(STREAM, logIndex(1), ALL_INDEXES, 1 << 20);
    expect(read.map(({ payload }) => Buffer.from(payload))).toEqual([text, noise].map((e) => Buffer.from(e.payload)));
  });

  it('takes a batch larger than a segment, and one of many records', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { segmentBytes: 8 * 1024, compressBytesMin: 1 << 30 });
    const big = entry(1, 1, 'x'.repeat(100_000));
    await wal.append({ stream: STREAM, hardState: null, entries: [big] });
    const many = Array.from({ length: 3 }, (_, i) => entry(2 + i, 1, 'y'.repeat(700_000)));
    await wal.append({ stream: STREAM, hardState: null, entries: many });
    await wal.close();
    expect((await reopened(disk, { segmentBytes: 8 * 1024 }))?.entries).toEqual(show([big, ...many]));
  });

  it('follows the configuration entries, and forgets those that are replaced', async () => {
    const decodeConfiguration = (payload: Uint8Array): Configuration => ({
      voters: Buffer.from(payload).toString().split(',').map(memberId),
      votersOutgoing: [],
      learners: [],
    });
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { decodeConfiguration });
    const kept = entry(1, 1, 'a,b', 'configuration');
    await wal.append({ stream: STREAM, hardState: null, entries: [kept, entry(2, 1, 'a', 'configuration')] });
    await wal.append({ stream: STREAM, hardState: hardState(2), entries: [entry(2, 2, 'x')] });
    await wal.close();
    const after = await open(disk, { decodeConfiguration });
    expect(after.streams[0]?.configurations.at(-1)?.configuration.voters).toEqual(['a', 'b']);
    await expect(open(disk)).rejects.toMatchObject({ problem: 'version' });
  });
});

describe('segments', () => {
  it('go on in new files, and every one says what the log led to', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { segmentBytes: 8 * 1024 });
    const all = entries(1, 400, 1, 'a longer text, so that some segments are needed for it');
    for (const one of all) await wal.append({ stream: STREAM, hardState: null, entries: [one] });
    await wal.append({ stream: STREAM, hardState: hardState(9, 'c'), entries: [] });
    await wal.close();
    const segments = disk.paths();
    expect(segments.length).toBeGreaterThan(5);
    expect(segments.every((path) => /^\d{12}\.wal$/.test(path))).toBe(true);
    expect(await reopened(disk, { segmentBytes: 8 * 1024 })).toEqual({
      hardState: hardState(9, 'c'),
      configuration: CONFIGURATION,
      entries: show(all),
    });
  });

  it('are prepared before they are needed', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, { segmentBytes: 8 * 1024 });
    await wal.append({ stream: STREAM, hardState: null, entries: [entry(1, 1, 'x')] });
    expect(disk.paths()).toHaveLength(1);
    const half = Array.from({ length: 10 }, (_, i) => entry(2 + i, 1, String(i).repeat(400)));
    for (const one of half) await wal.append({ stream: STREAM, hardState: null, entries: [one] });
    await wal.close();
    expect(disk.paths()).toHaveLength(2);
    expect((await reopened(disk))?.entries).toHaveLength(11);
  });
});

describe('read', () => {
  it('gives a range, cut at bytesMax but never empty', async () => {
    const wal = await openStarted(new MemoryDisk());
    const all = Array.from({ length: 20 }, (_, i) => entry(i + 1, 1, 'x'.repeat(100)));
    await wal.append({ stream: STREAM, hardState: null, entries: all.slice(0, 7) });
    await wal.append({ stream: STREAM, hardState: null, entries: all.slice(7) });
    const indexes = async (from: number, to: number, bytesMax: number): Promise<number[]> =>
      (await wal.read(STREAM, logIndex(from), logIndex(to), bytesMax)).map(({ index }) => index);
    expect(await indexes(5, 9, 10_000)).toEqual([5, 6, 7, 8, 9]);
    expect(await indexes(5, 9, 300)).toEqual([5, 6, 7]);
    expect(await indexes(5, 9, 0)).toEqual([5]);
    expect(await indexes(20, 90, 10_000)).toEqual([20]);
    expect(await indexes(21, 90, 10_000)).toEqual([]);
    expect(await wal.read(OTHER_STREAM, logIndex(1), logIndex(1), 1)).toEqual([]);
  });

  it('gives nothing of what is being replaced', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 10, 1) });
    const running = wal.read(STREAM, logIndex(4), logIndex(8), 10_000);
    const untouched = wal.read(STREAM, logIndex(1), logIndex(5), 10_000);
    const replaced = wal.append({ stream: STREAM, hardState: hardState(2), entries: entries(6, 6, 2) });
    expect(await wal.read(STREAM, logIndex(6), logIndex(6), 10_000)).toEqual([]);
    expect(await running).toEqual([]);
    expect(await untouched).toHaveLength(5);
    await replaced;
    expect(show(await wal.read(STREAM, logIndex(6), logIndex(9), 10_000))).toEqual(show(entries(6, 6, 2)));
  });

  it('rejects when a record went bad since it was written', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 3, 1, 'needle') });
    await wal.close();
    const after = await open(disk);
    const path = disk.paths()[0] ?? '';
    const at = Buffer.from(disk.bytes(path)).indexOf('needle 2');
    const file = await disk.open(path, { create: false });
    await file.write(at, new TextEncoder().encode('N'));
    const reading = after.read(STREAM, logIndex(1), logIndex(1), 1_000);
    await expect(reading).rejects.toMatchObject({ problem: 'corrupt', file: path });
  });
});

describe('bugs of the caller are refused before they are durable', () => {
  const cases: readonly [string, Parameters<Awaited<ReturnType<typeof open>>['append']>[0]][] = [
    ['a gap', { stream: STREAM, hardState: null, entries: entries(12, 12, 1) }],
    ['an older term', { stream: STREAM, hardState: hardState(5), entries: [entry(11, 5, 'x'), entry(12, 4, 'y')] }],
    ['a term that goes back', { stream: STREAM, hardState: hardState(0), entries: [] }],
    ['a changed vote', { stream: STREAM, hardState: hardState(1, 'c'), entries: [] }],
    ['an entry of a term to come', { stream: STREAM, hardState: null, entries: entries(11, 11, 2) }],
    ['index 0', { stream: STREAM, hardState: null, entries: entries(0, 0, 1) }],
    ['an unknown stream', { stream: OTHER_STREAM, hardState: null, entries: entries(1, 1, 1) }],
    [
      'a configuration nobody can decode',
      { stream: STREAM, hardState: null, entries: [entry(11, 1, 'x', 'configuration')] },
    ],
  ];
  it.each(cases)('%s', async (_, append) => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk);
    await wal.append({ stream: STREAM, hardState: hardState(1, 'b'), entries: entries(1, 10, 1) });
    await expect(wal.append(append)).rejects.toBeInstanceOf(InvariantError);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(11, 11, 1) });
    await wal.close();
    expect((await reopened(disk))?.entries).toEqual(show(entries(1, 11, 1)));
  });
});
