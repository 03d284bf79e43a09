/** W4: every single bit of a small data folder, flipped in turn. None gives less data, or other data, without a word. */
import { describe, expect, it } from 'vitest';
import { folderDisk } from '../../src/storage/folder-disk.ts';
import type { Storage } from '../../src/storage/types.ts';
import { logIndex } from '../../src/types/ids.ts';
import { openHardStateCopy } from '../../src/wal/hard-state-copy.ts';
import { decodeSegmentHeader } from '../../src/wal/record.ts';
import { WalError } from '../../src/wal/types.ts';
import { openWal } from '../../src/wal/wal.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { CONFIGURATION, entries, entry, flipped, hardState, STREAM } from '../wal/support.ts';
import { closed, contents, LOG, type Machine, open, StoreFolder, storageOptions } from './support.ts';

const COPY = 'hard-state';

interface Original extends Machine {
  readonly says: string;
  readonly storedIndex: number;
}

async function says({ wal, recovering }: Storage): Promise<string> {
  return JSON.stringify([recovering, wal.streams, await contents(wal)]);
}

async function original(machine: Machine, storedIndex: number): Promise<Original> {
  machine.folder.set(storedIndex, 2);
  const storage = await open(machine);
  const text = await says(storage);
  await closed(storage);
  return { ...machine, says: text, storedIndex };
}

/** One segment with every kind of record: compressed entries, votes, a replaced tail, an image, a change of members. */
async function smallLog(): Promise<Original> {
  const machine = { disk: new MemoryDisk(), folder: new StoreFolder() };
  const { compressBytesMin: _, ...wal } = storageOptions(machine).wal;
  const { wal: log, store } = await open(machine, { wal: { ...wal, compressBytesMin: 512 } });
  await log.bootstrap(STREAM, CONFIGURATION);
  await log.append({ stream: STREAM, hardState: hardState(1, 'a'), entries: entries(1, 5, 1) });
  await log.append({ stream: STREAM, hardState: null, entries: [entry(6, 1, 'all work and no play '.repeat(60))] });
  await log.append({
    stream: STREAM,
    hardState: hardState(2),
    entries: [entry(6, 2, 'a,b,c', 'configuration'), ...entries(7, 9, 2)],
  });
  const mark = {
    index: logIndex(4),
    term: log.streams[0]?.baseTerm ?? hardState(1).term,
    configuration: { index: logIndex(0), configuration: CONFIGURATION },
  };
  await log.reset(STREAM, { ...mark, term: hardState(1).term }, true);
  for (let index = 10; index <= 15; index += 1) {
    await log.append({
      stream: STREAM,
      hardState: null,
      entries: entries(index, index, 2, `${index} takes room`.padEnd(200, `${index}`)),
    });
  }
  await log.append({ stream: STREAM, hardState: hardState(3, 'b'), entries: [] });
  await closed({ wal: log, store } as Storage);
  return original(machine, 8);
}

/** One segment in its second life, and what the first one left behind the end. */
async function recycledLog(): Promise<Original> {
  const machine = { disk: new MemoryDisk(), folder: new StoreFolder() };
  const { wal: log, store } = await open(machine);
  await log.bootstrap(STREAM, CONFIGURATION);
  await log.append({ stream: STREAM, hardState: hardState(2, 'a'), entries: [] });
  let index = 1;
  const recycled = (): boolean => {
    const headers = machine.disk
      .paths()
      .filter((path) => path.endsWith('.wal'))
      .map((path) => decodeSegmentHeader(machine.disk.bytes(path)));
    return headers.length === 1 && headers.every((header) => header.kind === 'good' && header.header.recycled);
  };
  for (; !recycled(); index += 1) {
    await log.append({ stream: STREAM, hardState: null, entries: entries(index, index, 2, 'x'.repeat(700)) });
    await log.compact(new Map([[STREAM, logIndex(index)]]));
  }
  await log.append({ stream: STREAM, hardState: hardState(3, 'b'), entries: [] });
  await closed({ wal: log, store } as Storage);
  return { ...machine, ...(await unopened(machine, index - 1)) };
}

/** What it says, without opening it: that zeroes what the first life left. */
async function unopened(machine: Machine, storedIndex: number): Promise<Original> {
  machine.folder.set(storedIndex, 2);
  const copy = await original({ disk: machine.disk.copy(), folder: machine.folder.copy() }, storedIndex);
  return { ...machine, says: copy.says, storedIndex };
}

interface Tally {
  refused: number;
  recovering: number;
  equal: number;
}

async function outcome(found: Original, path: string, bytes: Uint8Array): Promise<keyof Tally> {
  const disk = found.disk.copy();
  disk.replace(path, bytes);
  const machine = { disk, folder: found.folder.copy() };
  let storage: Storage;
  try {
    storage = await open(machine);
  } catch (error) {
    const clean =
      error instanceof WalError && error.file !== '' && /offset \d+|newer|does not know|belongs to/.test(error.message);
    if (!clean) throw error;
    return 'refused';
  }
  if (!storage.recovering) {
    expect(await says(storage)).toBe(found.says);
    return 'equal';
  }
  const { storedIndex } = found;
  expect(storage.wal.streams).toMatchObject([
    { hardState: hardState(3, 'b'), firstIndex: storedIndex + 1, lastIndex: storedIndex },
  ]);
  expect(storage.report.problem?.file).toBeTruthy();
  return 'recovering';
}

/** The log alone: refused with file and offset, or the same. Cheaper than the whole folder, so that every bit can be tried. */
async function logOutcome(found: Original, path: string, bytes: Uint8Array, wanted: string): Promise<keyof Tally> {
  const disk = found.disk.copy();
  disk.replace(path, bytes);
  const { wal, clock } = storageOptions({ disk, folder: found.folder });
  const hardStateCopy = await openHardStateCopy(disk, wal);
  if (path === COPY && hardStateCopy.recovered.kind === 'damaged') {
    expect(hardStateCopy.recovered.file).toBe(COPY);
    return 'recovering';
  }
  try {
    const log = await openWal(folderDisk(disk, LOG), clock, { ...wal, hardStateCopy });
    expect(JSON.stringify([log.streams, await contents(log)])).toBe(wanted);
    return 'equal';
  } catch (error) {
    if (!(error instanceof WalError) || error.problem !== 'corrupt' || !/damaged at offset \d+/.test(error.message))
      throw error;
    return 'refused';
  }
}

/** Every so many bits the whole folder is opened. */
const STORAGE_EVERY_BITS = 45;

describe('W4 D1 D4 D5 D6: every bit of a closed data folder', () => {
  it.each([
    ['a log with every kind of record', smallLog, 1],
    ['a log in a recycled segment, every fifth bit', recycledLog, 5],
  ] as const)(
    '%s',
    async (name, make, step) => {
      const found = await make();
      const [, streams, content] = JSON.parse(found.says) as unknown[];
      const wanted = JSON.stringify([streams, content]);
      const tally: Tally = { refused: 0, recovering: 0, equal: 0 };
      const whole: Tally = { refused: 0, recovering: 0, equal: 0 };
      const files = found.disk.paths().filter((path) => /\.wal$|hard-state$/.test(path));
      for (const path of files) {
        const bytes = found.disk.bytes(path);
        for (let bit = 0; bit < bytes.length * 8; bit += step) {
          try {
            tally[await logOutcome(found, path, flipped(bytes, bit), wanted)] += 1;
            if (bit % STORAGE_EVERY_BITS === 0) whole[await outcome(found, path, flipped(bytes, bit))] += 1;
          } catch (error) {
            expect.fail(`bit ${bit & 7} of byte ${bit >> 3} of ${path}: ${error}`);
          }
        }
      }
      const total = tally.refused + tally.recovering + tally.equal;
      console.info(`${name}: ${total} bits of ${files.length} files: ${JSON.stringify({ log: tally, folder: whole })}`);
      expect(total).toBe(files.reduce((sum, path) => sum + Math.ceil((found.disk.bytes(path).length * 8) / step), 0));
      expect(tally.refused * step).toBeGreaterThan(5_000);
      expect(whole.recovering).toBeGreaterThan(100);
    },
    240_000,
  );
});
