/** W4: a damaged log is looked at offline; every bad record is named, and the original stays as it is. */
import { describe, expect, it } from 'vitest';
import { dumpLog, newestHardStates, repairLog, verifyLog } from '../../src/wal/inspect.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import { MemoryDisk } from './memory-disk.ts';
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
  recordOffsets,
  STREAM,
  show,
  withoutMark,
} from './support.ts';

const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 1 << 20 };
const FIRST = segmentPath(1);
const SECOND = segmentPath(2);

async function closedLog(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const wal = await openStarted(disk, SMALL);
  for (let index = 1; index <= 120; index += 1) {
    await wal.append({
      stream: STREAM,
      hardState: null,
      entries: entries(index, index, 1, 'some text that takes room'),
    });
  }
  await wal.append({ stream: STREAM, hardState: hardState(2, 'b'), entries: [] });
  await wal.close();
  return disk;
}

function bytesOf(disk: MemoryDisk): Buffer[] {
  return disk.paths().map((path) => Buffer.from(disk.bytes(path)));
}

describe('quorate wal verify', () => {
  it('finds nothing in a sound log', async () => {
    const disk = await closedLog();
    const before = bytesOf(disk);
    const { sound, findings, segments, streams } = await verifyLog(disk, options());
    expect({ sound, findings }).toEqual({ sound: true, findings: [] });
    expect(segments.length).toBe(disk.paths().length);
    expect(segments[0]?.records).toBe(recordOffsets(disk.bytes(FIRST)).length);
    expect(streams).toMatchObject([{ lastIndex: 120, hardState: hardState(2, 'b') }]);
    expect(bytesOf(disk)).toEqual(before);
  });

  it('names every bad record, in every segment', async () => {
    const disk = await closedLog();
    const bad: [string, number][] = [];
    for (const [path, places] of [
      [FIRST, [7, 20, 31]],
      [SECOND, [9, 12]],
    ] as const) {
      const offsets = recordOffsets(disk.bytes(path));
      for (const place of places) {
        const offset = offsets[place] ?? 0;
        disk.replace(path, flipped(disk.bytes(path), (offset + 20) * 8));
        bad.push([path, offset]);
      }
    }
    const { sound, findings } = await verifyLog(disk, options());
    expect(sound).toBe(false);
    expect(findings.filter(({ kind }) => kind === 'record').map(({ file, offset }) => [file, offset])).toEqual(bad);
    expect(findings.every(({ message }) => message.length > 10)).toBe(true);
  });

  it('names a missing segment, a bad header, a segment of another member', async () => {
    const missing = await closedLog();
    missing.delete(SECOND);
    expect((await verifyLog(missing, options())).findings).toContainEqual(
      expect.objectContaining({ file: SECOND, kind: 'missing', bad: true }),
    );
    const stray = await closedLog();
    stray.replace(segmentPath(999_999_999_999), stray.bytes(FIRST));
    const gap = (await verifyLog(stray, options())).findings.filter(({ kind }) => kind === 'missing');
    expect(gap.length).toBeLessThan(100);
    expect(gap.at(-1)?.message).toMatch(/^this segment is missing, and the 9999999\d+ after it$/);
    const header = await closedLog();
    header.replace(SECOND, flipped(header.bytes(SECOND), 300));
    expect((await verifyLog(header, options())).findings).toContainEqual(
      expect.objectContaining({ file: SECOND, offset: 0, kind: 'header', bad: true }),
    );
    const { memberId } = await import('../../src/types/ids.ts');
    const other = await verifyLog(await closedLog(), { ...options(), memberId: memberId('z') });
    expect(other.sound).toBe(false);
    expect(other.findings).toContainEqual(expect.objectContaining({ kind: 'other', bad: true }));
  });

  it('says of a torn end that the next start cuts it, and of a lost one that it is damage', async () => {
    const disk = new MemoryDisk();
    const wal = await openStarted(disk, SMALL);
    await wal.append({ stream: STREAM, hardState: null, entries: entries(1, 9, 1) });
    await flush();
    const bytes = withoutMark(disk.bytes(FIRST));
    const last = recordOffsets(bytes).at(-1) ?? 0;
    disk.replace(FIRST, flipped(bytes, (last + 60) * 8));
    const torn = await verifyLog(disk, options());
    expect(torn.sound).toBe(true);
    expect(torn.findings).toMatchObject([{ file: FIRST, offset: last, kind: 'torn', bad: false }]);
  });
});

describe('quorate wal dump', () => {
  it('gives each record with what it says, also behind a bad one', async () => {
    const disk = await closedLog();
    const offsets = recordOffsets(disk.bytes(FIRST));
    disk.replace(FIRST, flipped(disk.bytes(FIRST), ((offsets[10] ?? 0) + 50) * 8));
    const all = [];
    for await (const record of dumpLog(disk)) all.push(record);
    const first = all.filter(({ file }) => file === FIRST);
    expect(first.map(({ offset }) => offset)).toEqual(offsets);
    expect(first.filter(({ type }) => type === null)).toHaveLength(1);
    expect(first[0]).toMatchObject({ type: 'segmentStart', stream: 0 });
    expect(first.flatMap(({ entries: list }) => show(list)).length).toBeGreaterThan(20);
    expect(all.findLast(({ hardState: state }) => state !== null)?.hardState).toEqual(hardState(2, 'b'));
    expect(await newestHardStates(disk)).toEqual(new Map([[STREAM, hardState(2, 'b')]]));
  });
});

describe('quorate wal repair', () => {
  it('writes what is intact up to the first bad place into another folder, and leaves the original', async () => {
    const disk = await closedLog();
    const offsets = recordOffsets(disk.bytes(SECOND));
    disk.replace(SECOND, flipped(disk.bytes(SECOND), ((offsets[20] ?? 0) + 50) * 8));
    const before = bytesOf(disk);
    const target = new MemoryDisk();
    const { problem, streams } = await repairLog(disk, target, new ManualClock(), options(SMALL));
    expect(problem).toMatchObject({ problem: 'corrupt', file: SECOND, offset: offsets[20] });
    expect(bytesOf(disk)).toEqual(before);
    const last = streams[0]?.lastIndex ?? 0;
    expect(last).toBeGreaterThan(60);
    const wal = await open(target, SMALL);
    expect((await contents(wal))?.entries).toEqual(show(entries(1, last, 1, 'some text that takes room')));
    await wal.close();
    expect((await verifyLog(target, options())).sound).toBe(true);
    await expect(repairLog(disk, target, new ManualClock(), options(SMALL))).rejects.toThrow(/is not empty/);
  });
});
