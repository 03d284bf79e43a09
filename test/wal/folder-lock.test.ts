import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
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
});
