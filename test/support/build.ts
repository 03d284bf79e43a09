/** Builds `dist/` once for all tests that start the command line as a process (vitest globalSetup, or called directly). */
import { execFile } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Entry of the command line as users get it. */
export const cliPath = join(root, 'dist', 'cli', 'main.js');
const stamp = join(root, 'dist', '.built');
const lock = join(root, '.cache', 'build.lock');
/** A build takes seconds; a lock older than this belongs to a process that was killed. */
const LOCK_STALE_MS = 120_000;

function newestSource(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((newest, entry) => Math.max(newest, statSync(join(entry.parentPath, entry.name)).mtimeMs), 0);
}

function isFresh(): boolean {
  return existsSync(stamp) && existsSync(cliPath) && statSync(stamp).mtimeMs > newestSource(join(root, 'src'));
}

function tryLock(): boolean {
  mkdirSync(join(root, '.cache'), { recursive: true });
  try {
    closeSync(openSync(lock, 'wx'));
    return true;
  } catch {
    const ageMs = existsSync(lock) ? Date.now() - statSync(lock).mtimeMs : 0;
    if (ageMs > LOCK_STALE_MS) rmSync(lock, { force: true });
    return false;
  }
}

/** Makes `dist/` newer than every source; test files that run side by side share one build. Returns the entry's path. */
export async function buildCli(): Promise<string> {
  while (!isFresh()) {
    if (!tryLock()) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      continue;
    }
    try {
      if (isFresh()) break;
      const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
      const startedAt = new Date();
      await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root });
      writeFileSync(stamp, `${startedAt.toISOString()}\n`);
    } finally {
      rmSync(lock, { force: true });
    }
  }
  return cliPath;
}

/** As vitest globalSetup. */
export async function setup(): Promise<void> {
  await buildCli();
}
