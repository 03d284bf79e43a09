import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskError } from '../../src/ports/disk.ts';
import { diskError, NodeDisk } from '../../src/wal/node-disk.ts';
import { segmentPath } from '../../src/wal/segment.ts';
import { contents, entries, hardState, open, openStarted, reopened, STREAM, show } from './support.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-disk-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

async function failure(operation: Promise<unknown>): Promise<DiskError> {
  return operation.then(
    () => expect.fail('it did not fail'),
    (error: DiskError) => error,
  );
}

describe('NodeDisk', () => {
  it('makes folders, files, names, and reads back what it wrote', async () => {
    const disk = new NodeDisk(join(root, 'a/b'));
    expect(await disk.list('')).toEqual([]);
    await disk.makeFolder('c/d');
    await disk.makeFolder('c/d');
    const file = await disk.open('c/z', { create: true });
    await file.write(3, new Uint8Array([1, 2, 3]));
    await file.sync();
    expect(await file.size()).toBe(6);
    expect([...(await file.read(2, 100))]).toEqual([0, 1, 2, 3]);
    expect(await file.read(6, 10)).toHaveLength(0);
    await file.truncate(4);
    expect(await file.size()).toBe(4);
    await file.close();
    await disk.rename('c/z', 'c/Z');
    await disk.syncFolder('c');
    expect(await disk.list('c')).toEqual(['Z', 'd']);
    await disk.remove('c/Z');
    expect(await disk.list('c')).toEqual(['d']);
  });

  it('allocates real blocks, and keeps what is there', async () => {
    const disk = new NodeDisk(root);
    const file = await disk.open('allocated', { create: true });
    await file.write(0, new Uint8Array([7]));
    const size = 5 * 1024 * 1024 + 123;
    await file.allocate(size);
    await file.allocate(10);
    await file.sync();
    expect(await file.size()).toBe(size);
    expect([...(await file.read(0, 3))]).toEqual([7, 0, 0]);
    await file.close();
    expect((await stat(join(root, 'allocated'))).blocks * 512).toBeGreaterThanOrEqual(size);
  });

  it('says what is wrong, with the whole path', async () => {
    const disk = new NodeDisk(root);
    expect(await failure(disk.open('none', { create: false }))).toMatchObject({
      code: 'not_found',
      message: expect.stringContaining(join(root, 'none')),
    });
    await writeFile(join(root, 'there'), '');
    expect(await failure(disk.open('there', { create: true }))).toMatchObject({ code: 'exists' });
    expect(await failure(disk.makeFolder('there/below'))).toMatchObject({ code: 'io' });
    // Takes nothing, and says that it is not there: node's own recursion goes round for ever.
    if (process.platform === 'linux') {
      expect(await failure(new NodeDisk('/proc/none/below').makeFolder(''))).toMatchObject({ code: 'not_found' });
    }
    expect(await failure(disk.remove('none'))).toMatchObject({ code: 'not_found' });
  });

  // Not through chmod: root may do anything.
  it.each([
    ['EACCES', 'permission', `user ${userInfo().username} (uid ${userInfo().uid}) has no permission; give that user`],
    ['EPERM', 'permission', 'read and write access to /data'],
    ['EROFS', 'read_only', 'mounted read-only'],
    ['EDQUOT', 'no_space', 'no space is left'],
    ['EIO', 'io', '(EIO)'],
  ])('%s is %s, and the message says who and where', (code, expected, words) => {
    const error = diskError(Object.assign(new Error(code), { code }), 'open', '/data/file');
    expect(error).toMatchObject({ code: expected, path: '/data/file' });
    expect(error.message).toContain('cannot open /data/file: ');
    expect(error.message).toContain(words);
  });

  it('gives a full disk its own code', async () => {
    const full = new NodeDisk('/dev');
    const file = await full.open('full', { create: false });
    expect(await failure(file.write(0, new Uint8Array(10)))).toMatchObject({
      code: 'no_space',
      message: expect.stringContaining('/dev/full'),
    });
    await file.close();
  });
});

describe('the log on the real disk', () => {
  it('goes over segments and restarts', async () => {
    const disk = new NodeDisk(join(root, 'log'));
    const small = { segmentBytes: 8 * 1024 };
    const wal = await openStarted(disk, small);
    const all = entries(1, 300, 1, 'on the real disk, over some segments');
    await Promise.all(all.map((one) => wal.append({ stream: STREAM, hardState: null, entries: [one] })));
    await wal.append({ stream: STREAM, hardState: hardState(3, 'c'), entries: entries(250, 260, 3, 'new') });
    await wal.close();
    const expected = {
      hardState: hardState(3, 'c'),
      entries: [...show(all.slice(0, 249)), ...show(entries(250, 260, 3, 'new'))],
    };
    expect(await reopened(disk, small)).toMatchObject(expected);
    expect((await disk.list('')).length).toBeGreaterThan(3);
    expect((await stat(join(root, 'log', segmentPath(1)))).size).toBe(8 * 1024);
    const again = await open(disk, small);
    expect(await contents(again)).toMatchObject(expected);
    await again.close();
  });

  it('says which file is damaged', async () => {
    const folder = join(root, 'damaged');
    const disk = new NodeDisk(folder);
    const wal = await openStarted(disk);
    await wal.close();
    const path = join(folder, segmentPath(1));
    const bytes = await readFile(path);
    bytes.writeUInt8(1, 100);
    await writeFile(path, bytes);
    await expect(open(disk)).rejects.toThrow(`${path} is damaged at offset 0: the CRC of its header is wrong`);
  });
});
