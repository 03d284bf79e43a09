/** R9: a log that release 0.1 wrote opens, says the same, and goes on. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeSegmentHeader } from '../../src/wal/record.ts';
import { MemoryDisk } from './memory-disk.ts';
import { contents, entries, hardState, OTHER_STREAM, open, reopened, STREAM, show } from './support.ts';

const FOLDER = new URL('../compat/wal-v1', import.meta.url).pathname;
const SMALL = { segmentBytes: 8 * 1024, compressBytesMin: 512 };

interface Expected {
  readonly hardState: unknown;
  readonly configuration: unknown;
  readonly entries: readonly string[];
}

function golden(): MemoryDisk {
  const disk = new MemoryDisk();
  for (const name of readdirSync(join(FOLDER, 'wal'))) disk.replace(name, readFileSync(join(FOLDER, 'wal', name)));
  return disk;
}

describe('R9: format version 1', () => {
  it('is read as it was written', async () => {
    const disk = golden();
    expect(disk.paths().length).toBeGreaterThan(2);
    expect(disk.paths().every((path) => Buffer.from(disk.bytes(path)).readUInt32LE(8) === 1)).toBe(true);
    const expected = JSON.parse(readFileSync(join(FOLDER, 'expected.json'), 'utf8')) as Record<string, Expected>;
    const wal = await open(disk, SMALL);
    for (const stream of [STREAM, OTHER_STREAM]) {
      const found = await contents(wal, stream);
      const base64 = found?.entries.map((text) => Buffer.from(text).toString('base64'));
      expect({ ...found, entries: base64 }).toEqual(expected[String(stream)]);
    }
    await wal.close();
  });

  it('goes on, and its segments are written again as version 2', async () => {
    const disk = golden();
    const wal = await open(disk, SMALL);
    const { lastIndex = 0 } = wal.streams[0] ?? {};
    const upTo = new Map(wal.streams.map((s) => [s.stream, s.lastIndex] as const));
    await wal.append({ stream: STREAM, hardState: hardState(9), entries: [] });
    for (let index = lastIndex + 1; index <= lastIndex + 60; index += 1) {
      await wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, 9, 'x'.repeat(90)) });
    }
    await wal.compact(upTo);
    expect(disk.paths().some((path) => path.endsWith('.free'))).toBe(true);
    for (let index = lastIndex + 61; index <= lastIndex + 160; index += 1) {
      await wal.append({ stream: STREAM, hardState: null, entries: entries(index, index, 9, 'x'.repeat(90)) });
    }
    await wal.close();
    const versions = disk.paths().flatMap((path) => {
      const header = decodeSegmentHeader(disk.bytes(path));
      return path.endsWith('.wal') && header.kind === 'good' ? [header.header.recycled] : [];
    });
    expect(versions).toContain(true);
    const after = await reopened(disk, SMALL);
    expect(after?.entries.slice(-160)).toEqual(show(entries(lastIndex + 1, lastIndex + 160, 9, 'x'.repeat(90))));
  });
});
