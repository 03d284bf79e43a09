/**
 * Looks at the data folder before anything in it is opened, so that a folder that cannot be used is refused in one
 * sentence and stays as it is. What goes wrong later (a disk that fills up) is the log's and the store's to say.
 */
import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { DiskError } from '../ports/disk.ts';
import { type FolderLock, lockFolder } from '../wal/folder-lock.ts';

/** What a member keeps in its data folder. */
const FOLDERS = ['lock', 'wal', 'store'] as const;

/**
 * Takes the data folder for this process, once it was found usable; makes it if it is not there. `path` is absolute.
 * Rejects with an error whose message says what to do.
 */
export async function takeDataFolder(path: string): Promise<FolderLock> {
  await checkDataFolder(path);
  try {
    return await lockFolder(path);
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'no_space') throw error;
    throw new Error(`${error.message}: free space, or move the data folder to a larger disk`, { cause: error });
  }
}

async function checkDataFolder(path: string): Promise<void> {
  if (!(await isFolder(path))) {
    await checkParent(path);
    return;
  }
  for (const name of ['.', ...FOLDERS]) {
    const folder = join(path, name);
    if (!(await isFolder(folder))) continue;
    await checkAccess(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (entry.isFile()) await checkAccess(join(folder, entry.name), constants.R_OK | constants.W_OK);
    }
  }
}

/** The nearest folder above that exists: the new one is made in it. */
async function checkParent(path: string): Promise<void> {
  let parent = dirname(path);
  while (!(await isFolder(parent)) && dirname(parent) !== parent) parent = dirname(parent);
  await checkAccess(parent, constants.W_OK | constants.X_OK);
}

/** False when there is nothing; rejects when there is something else. */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // A file above it is found when the way up comes to it.
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw unusable(path, error);
  }
  throw new Error(`${path} is a file where a folder is needed: move it away, or choose another data folder`);
}

async function checkAccess(path: string, mode: number): Promise<void> {
  try {
    await access(path, mode);
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'EACCES' || code === 'EPERM') {
    const message = `${userName()} has no permission for ${path}: give that user read and write access to it, or choose another data folder`;
    return new Error(message, { cause: error });
  }
  if (code === 'EROFS') {
    const message = `${path} is on a file system that is mounted read-only: remount it, or choose another data folder`;
    return new Error(message, { cause: error });
  }
  return new Error(`cannot use ${path} (${code}): check it, or choose another data folder`, { cause: error });
}

function userName(): string {
  try {
    const { username, uid } = userInfo();
    return `user ${username} (uid ${uid})`;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
