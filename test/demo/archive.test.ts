import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decompressFrameSync } from 'lz4-napi';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  archivePath,
  forEachParallel,
  hashOfArchive,
  sha256,
  syncFolders,
  writeArchive,
} from '../../src/demo/archive.ts';
import { countVerified } from '../../src/demo/checks.ts';
import { SAMPLE_FILES, writeSample } from '../../src/demo/sample.ts';
import { walkFolder } from '../../src/demo/walk.ts';

let folder: string;
let out: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-archive-test-'));
  out = mkdtempSync(join(tmpdir(), 'quorate-archive-out-'));
});
afterEach(() => {
  for (const one of [folder, out]) rmSync(one, { recursive: true, force: true });
});

describe('demo: walking', () => {
  test('finds files of every depth and kind of name, sorted; skips what is no file', async () => {
    mkdirSync(join(folder, 'b/c'), { recursive: true });
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'b/c/ä ö\n"x".txt'), '12345');
    writeFileSync(join(folder, 'a'), '');
    symlinkSync(folder, join(folder, 'loop'));
    writeFileSync(Buffer.from(`${folder}/no-text-\xff`, 'latin1'), 'x');
    expect(await walkFolder(folder)).toEqual({
      files: [
        { path: 'a', bytes: 0 },
        { path: 'b/c/ä ö\n"x".txt', bytes: 5 },
      ],
      skipped: 2,
      bytes: 5,
    });
  });

  test('says so when there is no such folder', async () => {
    await expect(walkFolder(join(folder, 'nothing'))).rejects.toThrow(
      'there is no such folder; choose another one with --dir',
    );
  });
});

describe('demo: archiving', () => {
  test.each<[string, Uint8Array]>([
    ['empty', new Uint8Array()],
    ['zeroes', new Uint8Array(300_000)],
    ['text', Buffer.from('quorum '.repeat(10_000))],
    ['noise', Uint8Array.from({ length: 100_000 }, (_, i) => (i * i * 7919) % 251)],
  ])('an lz4 frame holds what the file held: %s', async (name, content) => {
    writeFileSync(join(folder, name), content);
    const bytes = await writeArchive(folder, out, name, sha256(content));
    await syncFolders(out, [name]);
    const frame = readFileSync(archivePath(out, name));
    expect(frame.byteLength).toBe(bytes);
    // The magic number of the lz4 frame format, version 1.4 and later.
    expect(frame.readUInt32LE(0)).toBe(0x184d2204);
    expect(Buffer.compare(decompressFrameSync(frame), content)).toBe(0);
    expect(await hashOfArchive(out, name)).toBe(sha256(content));
    expect(readdirSync(out)).toEqual([`${name}.lz4`]);
  });

  test('a file that changed since it was planned is not archived', async () => {
    writeFileSync(join(folder, 'a'), 'new');
    await expect(writeArchive(folder, out, 'a', sha256(Buffer.from('old')))).rejects.toThrow('a was changed');
    expect(readdirSync(out)).toEqual([]);
  });

  test('the check at the end sees a wrong, a damaged and a missing archive', async () => {
    for (const name of ['good', 'wrong', 'damaged', 'missing'])
      writeFileSync(join(folder, name), `${name} ${'x'.repeat(999)}`);
    for (const name of ['good', 'wrong', 'damaged']) {
      await writeArchive(folder, out, name, sha256(readFileSync(join(folder, name))));
    }
    writeFileSync(archivePath(out, 'wrong'), readFileSync(archivePath(out, 'good')));
    const damaged = readFileSync(archivePath(out, 'damaged'));
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    writeFileSync(archivePath(out, 'damaged'), damaged);
    expect(await countVerified(folder, out, (await walkFolder(folder)).files)).toBe(1);
  });

  test('work runs side by side up to the limit, and stops at the first failure', async () => {
    let running = 0;
    let most = 0;
    await forEachParallel(Array.from({ length: 20 }), 3, async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    });
    expect(most).toBe(3);
    const done: number[] = [];
    const work = async (n: number): Promise<void> => {
      if (n === 3) throw new Error('three');
      done.push(n);
    };
    await expect(forEachParallel([1, 2, 3, 4, 5], 1, work)).rejects.toThrow('three');
    expect(done).toEqual([1, 2]);
  });
});

describe('demo: sample', () => {
  test('is the same each time, of several kinds', async () => {
    await writeSample(folder, new AbortController().signal);
    await writeSample(out, new AbortController().signal);
    const { files, skipped } = await walkFolder(folder);
    expect({ files: files.length, skipped }).toEqual({ files: SAMPLE_FILES, skipped: 0 });
    expect(new Set(files.map((file) => file.path.split('.').at(-1))).size).toBe(8);
    expect(execFileSync('diff', ['-r', folder, out], { encoding: 'utf8' })).toBe('');
  });
});
