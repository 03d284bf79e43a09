/**
 * One process for each data folder. The lock is the one that LevelDB takes on its own folder: fcntl on a file (LockFileEx
 * on Windows). The kernel drops it with the process, so a SIGKILL leaves nothing stale, and it holds between containers
 * that share a volume. An abstract socket would not (one name space for each container), nor would a file with a
 * process id (ids of another container mean nothing here).
 */
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Level } from 'level';
import { diskError, makeDurableFolder } from './node-disk.ts';
import { WalError } from './types.ts';

const LOCK_FOLDER = 'lock';
/** Says who holds the lock, for messages only. */
const HOLDER_FILE = 'HOLDER';
/** The database behind the lock stays empty: the least memory that LevelDB takes. */
const SMALL = { cacheSize: 64 * 1024, writeBufferSize: 64 * 1024 };

export interface FolderLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/**
 * Takes the data folder for this process, and makes it if it is not there. Rejects with WalError `locked` when another
 * process (or this one) has it, and with DiskError when the folder can not be used.
 */
export async function lockFolder(path: string): Promise<FolderLock> {
  const folder = join(resolve(path), LOCK_FOLDER);
  await makeDurableFolder(folder);
  const holder = join(folder, HOLDER_FILE);
  const database = new Level(folder, SMALL);
  try {
    await database.open();
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause;
    throw cause?.code === 'LEVEL_LOCKED'
      ? await heldBy(resolve(path), holder)
      : diskError(errnoOf(cause), 'lock', folder);
  }
  try {
    await writeFile(holder, `process ${process.pid} on ${hostname()}`);
  } catch (error) {
    await database.close();
    throw diskError(error, 'write', holder);
  }
  return { release: () => database.close() };
}

/** LevelDB passes on what the operating system said as text only. */
const ERRNO_TEXTS = [
  ['No space left', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['Permission denied', 'EACCES'],
  ['Read-only file system', 'EROFS'],
] as const;

function errnoOf(cause: unknown): unknown {
  const text = cause instanceof Error ? cause.message : '';
  const known = ERRNO_TEXTS.find(([said]) => text.includes(said));
  return known === undefined ? cause : { code: known[1], cause };
}

async function heldBy(path: string, holder: string): Promise<WalError> {
  const who = await readFile(holder, 'utf8').catch(() => 'another process');
  return new WalError(
    'locked',
    path,
    0,
    `the data folder ${path} is in use by ${who}. Stop that member first, or give this one a data folder of its own.`,
  );
}
