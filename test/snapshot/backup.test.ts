import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startLoading } from '../../src/machine/machine.ts';
import { restoreRows } from '../../src/machine/restore.ts';
import type { StoredRow } from '../../src/machine/types.ts';
import { BackupReader, backupBytes, verifyBackup } from '../../src/snapshot/backup.ts';
import type { BackupOrigin } from '../../src/snapshot/backup-fields.ts';
import { backupFileBytes, writeBackupFile } from '../../src/snapshot/backup-file.ts';
import { BackupError } from '../../src/snapshot/frame.ts';
import type { StoreImage } from '../../src/store/types.ts';
import { clusterId, logIndex, memberId } from '../../src/types/ids.ts';
import { mark, ONE } from '../store/support.ts';
import { benchWith, imageOf, withFolder } from './support.ts';

const ORIGIN: BackupOrigin = {
  clusterId: clusterId('golden'),
  memberId: memberId('a'),
  stream: ONE,
  createdAtMs: 1_700_000_000_000,
  version: '0.2.0',
};

async function bytesOf(image: StoreImage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of backupBytes(image, ORIGIN)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** In pieces of `size` bytes. */
async function* pieces(bytes: Buffer, size = bytes.length): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function rowsOf(bytes: AsyncIterable<Uint8Array>): Promise<readonly StoredRow[]> {
  const rows: StoredRow[] = [];
  const reader = await BackupReader.open(bytes);
  for await (const page of reader.rows()) rows.push(...page);
  expect(reader.summary.rows).toBe(rows.length);
  return rows;
}

async function refusal(bytes: Buffer): Promise<BackupError> {
  const error = await verifyBackup(pieces(bytes)).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BackupError);
  return error as BackupError;
}

describe('U5: a backup', () => {
  it('holds the whole state, and says where and when it was made', async () => {
    const bench = benchWith(3);
    const bytes = await bytesOf(await imageOf(bench));
    for (const size of [1, 7, 1_000, bytes.length]) {
      const seen: number[] = [];
      const summary = await verifyBackup(pieces(bytes, size), (at) => seen.push(at));
      expect(summary.header).toEqual({ ...ORIGIN, mark: mark(bench.machine.appliedIndex) });
      expect(summary).toMatchObject({ stateHash: bench.machine.stateHash(), fileBytes: bytes.length });
      expect(seen.length).toBeGreaterThan(0);
      expect(seen).toEqual([...seen].sort((x, y) => x - y));
    }
    const rows = await rowsOf(pieces(bytes));
    const loader = startLoading();
    loader.add(rows);
    expect(loader.finish(bench.machine.appliedIndex).stateHash()).toBe(bench.machine.stateHash());
    const newIndex = logIndex(bench.machine.appliedIndex + 1_000_000_000);
    const restored = startLoading();
    restored.add(restoreRows(rows, newIndex));
    expect(restored.finish(newIndex).loops(null, 10)).toEqual(bench.machine.loops(null, 10));
  });

  it('with any single bit flipped is refused, and says at which byte', async () => {
    const bytes = await bytesOf(await imageOf(benchWith(1)));
    let refused = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const error = await refusal(flipped);
      expect(error.offset).toBeLessThanOrEqual(bytes.length);
      expect(error.message).toContain(`byte ${error.offset}`);
      refused += 1;
    }
    console.info(`backup: ${refused} of ${bytes.length * 8} single-bit flips refused`);
    expect(refused).toBe(bytes.length * 8);
  }, 60_000);

  it('that ends early, anywhere, or goes on after its end is refused', async () => {
    const bytes = await bytesOf(await imageOf(benchWith(1)));
    for (let length = 0; length < bytes.length; length++) {
      expect((await refusal(bytes.subarray(0, length))).message).toMatch(/ends in the middle|does not begin/);
    }
    expect((await refusal(Buffer.concat([bytes, Buffer.alloc(1)]))).message).toContain('after its end');
    expect((await refusal(Buffer.concat([bytes, bytes]))).message).toContain('after its end');
  });

  it('whose frames were exchanged, repeated or left out is refused', async () => {
    const bytes = await bytesOf({ ...(await imageOf(benchWith(1))) });
    const frames: Buffer[] = [];
    for (let at = 12; at < bytes.length; ) {
      const end = at + 12 + bytes.readUInt32LE(at + 4);
      frames.push(bytes.subarray(at, end));
      at = end;
    }
    const [header, chunk, trailer] = frames;
    if (header === undefined || chunk === undefined || trailer === undefined) throw new Error('three frames');
    const start = bytes.subarray(0, 12);
    for (const order of [
      [header, trailer],
      [header, chunk, chunk, trailer],
      [chunk, header, trailer],
      [header, chunk, header],
    ]) {
      await refusal(Buffer.concat([start, ...order]));
    }
  });

  it('of a newer format is refused as that', async () => {
    const bytes = await bytesOf(await imageOf(benchWith(1)));
    bytes.writeUInt32LE(2, 8);
    expect(await refusal(bytes)).toMatchObject({ problem: 'version', offset: 8 });
  });

  it('is not made of a store that lost a row: there is no trailer', async () => {
    const image = await imageOf(benchWith(1));
    const damaged: StoreImage = {
      mark: image.mark,
      read: async (after, bytesMax) => {
        const { rows, next } = await image.read(after, bytesMax);
        return { rows: rows.slice(1), next };
      },
      close: () => image.close(),
    };
    await expect(bytesOf(damaged)).rejects.toThrow('Back up from another member');
    // S4: nor of one that says another entry than its rows do.
    const mislabelled: StoreImage = { ...damaged, mark: mark(image.mark.index + 1), read: image.read };
    await expect(bytesOf(mislabelled)).rejects.toThrow('not those of its index');
  });
});

describe('U5: a backup file', () => {
  const exists = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    );

  it('appears under its name when it is whole, and never replaces another', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'file.backup');
      const bytes = await bytesOf(await imageOf(benchWith(1)));
      const summary = await writeBackupFile(path, pieces(bytes, 100));
      expect(await readFile(path)).toEqual(bytes);
      expect(await verifyBackup(backupFileBytes(path))).toEqual(summary);
      await expect(writeBackupFile(path, pieces(bytes))).rejects.toMatchObject({ code: 'EEXIST' });
      expect(await readdir(folder)).toEqual(['file.backup']);
    }));

  it('leaves nothing when it cannot be finished, and does not touch one that is under way', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'file.backup');
      const bytes = await bytesOf(await imageOf(benchWith(1)));
      const cut = bytes.subarray(0, bytes.length - 3);
      await expect(writeBackupFile(path, pieces(cut, 100))).rejects.toBeInstanceOf(BackupError);
      async function* broken(): AsyncGenerator<Uint8Array, void, void> {
        yield* pieces(cut, 100);
        throw new Error('connection lost');
      }
      await expect(writeBackupFile(path, broken())).rejects.toThrow('connection lost');
      expect(await readdir(folder)).toEqual([]);
      await writeFile(`${path}.partial`, 'of another');
      await expect(writeBackupFile(path, pieces(bytes))).rejects.toMatchObject({ code: 'EEXIST' });
      expect(await readFile(`${path}.partial`, 'utf8')).toBe('of another');
      expect(await exists(path)).toBe(false);
    }));
});

describe('R9: a backup of format 1', () => {
  it('is read', async () => {
    const golden = join(import.meta.dirname, '../compat/backup');
    const expected: unknown = JSON.parse(await readFile(join(golden, 'v1.json'), 'utf8'));
    const path = join(golden, 'v1.backup');
    expect(JSON.parse(JSON.stringify(await verifyBackup(backupFileBytes(path))))).toEqual(expected);
    const loader = startLoading();
    loader.add(await rowsOf(backupFileBytes(path)));
    const machine = loader.finish(logIndex((expected as { header: { mark: { index: number } } }).header.mark.index));
    expect(machine.stateHash()).toBe((expected as { stateHash: string }).stateHash);
    expect(machine.featureLevel()).toEqual({ level: 2, used: 2, pinned: false });
    expect(machine.members()).toHaveLength(1);
  });
});
