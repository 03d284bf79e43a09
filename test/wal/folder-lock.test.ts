import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockFolder } from '../../src/wal/folder-lock.ts';

/** Takes the lock, says so, and holds it for as long as it lives. */
const HOLDER = `
import { lockFolder } from './src/wal/folder-lock.ts';
lockFolder(process.argv[2]).then(
  () => { console.log('locked'); setInterval(() => undefined, 1_000_000); },
  (error) => { console.log(error.message); },
);
`;

let root = '';
let script = '';
const children: ChildProcess[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-lock-'));
  script = join(root, 'holder.cjs');
  await build({
    stdin: { contents: HOLDER, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    outfile: script,
    logLevel: 'error',
  });
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(root, { recursive: true });
});

/** Resolves with the child's first words. */
async function hold(folder: string): Promise<{ readonly child: ChildProcess; readonly says: string }> {
  const env = { ...process.env, NODE_PATH: join(process.cwd(), 'node_modules') };
  const child = spawn(process.execPath, [script, folder], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [words] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, says: words.toString().trim() };
}

describe('the lock of a data folder', () => {
  it('keeps a second process out, and goes with its holder, also after SIGKILL', async () => {
    const folder = join(root, 'data');
    const first = await hold(folder);
    expect(first.says).toBe('locked');
    const second = await hold(folder);
    expect(second.says).toContain(`the data folder ${folder} is in use by process ${first.child.pid} on `);
    expect(second.says).toContain('Stop that member first');
    await expect(lockFolder(folder)).rejects.toMatchObject({ problem: 'locked', file: folder });
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const lock = await lockFolder(folder);
    expect((await hold(folder)).says).toContain(`in use by process ${process.pid} on `);
    await lock.release();
    expect((await hold(folder)).says).toBe('locked');
  });

  it('keeps this process out too, and may be released twice', async () => {
    const folder = join(root, 'own');
    const lock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toMatchObject({ problem: 'locked' });
    await lock.release();
    await lock.release();
    await (await lockFolder(folder)).release();
  });

  it('says what is in the way', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(lockFolder(join(root, 'file'))).rejects.toThrow(`${join(root, 'file', 'lock')}`);
  });

  it.each([
    ['an empty CURRENT', async (folder: string) => truncate(join(folder, 'CURRENT'))],
    ['a CURRENT that names nothing', async (folder: string) => writeFile(join(folder, 'CURRENT'), 'MANIFEST-999999\n')],
    ['garbage in the manifest', async (folder: string) => overwrite(folder, /^MANIFEST/)],
    ['garbage in all that is there', async (folder: string) => overwrite(folder, /^(?!LOCK$)/)],
    ['nothing but CURRENT', async (folder: string) => removeAll(folder, /^(?!CURRENT$)/)],
  ])('is taken again after a power cut that left %s', async (name, damage) => {
    const data = join(root, `cut-${name.replaceAll(' ', '-')}`);
    await (await lockFolder(data)).release();
    const folder = join(data, 'lock');
    await damage(folder);
    const again = await lockFolder(data);
    // It is the same lock as before.
    expect((await hold(data)).says).toContain('is in use by process');
    await again.release();
    expect((await hold(data)).says).toBe('locked');
  });

  it('is left alone where it is held, whatever became of its files', async () => {
    const data = join(root, 'held');
    const first = await hold(data);
    expect(first.says).toBe('locked');
    await overwrite(join(data, 'lock'), /^(?!LOCK$|HOLDER$)/);
    await expect(lockFolder(data)).rejects.toMatchObject({ problem: 'locked' });
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    await (await lockFolder(data)).release();
  });
});

async function overwrite(folder: string, which: RegExp): Promise<void> {
  for (const name of await readdir(folder)) if (which.test(name)) await writeFile(join(folder, name), '\0garbage\0');
}

async function removeAll(folder: string, which: RegExp): Promise<void> {
  for (const name of await readdir(folder)) if (which.test(name)) await rm(join(folder, name));
}
