import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeWholeFile } from '../../src/files/whole-file.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-files-'));
  path = join(folder, 'out');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const names = (): Promise<readonly string[]> => readdir(folder);

describe('a file that has its name only when it is whole', () => {
  it('is there when all of it was written, and not before', async () => {
    const summary = await writeWholeFile(path, 'test', async (file) => {
      await file.writeFile(Buffer.from('one'));
      expect(await names()).toEqual(['out.partial']);
      await file.writeFile(Buffer.from('two'));
      return 7;
    });
    expect(summary).toBe(7);
    expect(await names()).toEqual(['out']);
    expect(await readFile(path, 'utf8')).toBe('onetwo');
  });

  it('leaves nothing behind when the writer breaks off', async () => {
    const write = writeWholeFile(path, 'test', async (file) => {
      await file.writeFile(Buffer.from('one'));
      throw new Error('the source is gone');
    });
    await expect(write).rejects.toThrow('the source is gone');
    expect(await names()).toEqual([]);
  });

  it('never replaces a file: neither one that was there nor one that comes up meanwhile', async () => {
    await writeFile(path, 'before');
    let asked = false;
    const first = writeWholeFile(path, 'test', async () => {
      asked = true;
    });
    await expect(first).rejects.toMatchObject({
      code: 'EEXIST',
      message: expect.stringContaining(`test to '${path}'`),
    });
    expect(asked).toBe(false);
    await rm(path);
    const second = writeWholeFile(path, 'test', () => writeFile(path, 'meanwhile'));
    await expect(second).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(path, 'utf8')).toBe('meanwhile');
    expect(await names()).toEqual(['out']);
  });

  it('is written by one at a time', async () => {
    const inner = writeWholeFile(path, 'test', () => writeWholeFile(path, 'test', () => Promise.resolve()));
    await expect(inner).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await names()).toEqual([]);
  });
});
