/**
 * One process for each data folder. The lock is the one that LevelDB takes on its own folder: fcntl on a file (LockFileEx
 * on Windows). The kernel drops it with the process, so a SIGKILL leaves nothing stale, and it holds between containers
 * that share a volume. An abstract socket would not (one name space for each container), nor would a file with a
 * process id (ids of another container mean nothing here).
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Level } from 'level';
import { diskError, makeDurableFolder } from './node-disk.ts';
import { WalError } from './types.ts';

const LOCK_FOLDER = 'lock';
/** Says who holds the lock, for messages only. */
const HOLDER_FILE = 'HOLDER';
/** The file that is locked. It is never removed: whoever made another one would have another lock. */
const LOCK_FILE = 'LOCK';
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
  let problem = await openProblem(database);
  if (problem !== null && problem !== LOCKED && errnoOf(problem) === problem) {
    // What LevelDB keeps there is worth nothing, and after a power cut it may be in pieces (chaos, seed 304).
    await clear(folder);
    problem = await openProblem(database);
  }
  if (problem === LOCKED) throw await heldBy(resolve(path), holder);
  if (problem !== null) throw diskError(errnoOf(problem), 'lock', folder);
  try {
    await writeFile(holder, `process ${process.pid} on ${hostname()}`);
  } catch (error) {
    await database.close();
    throw diskError(error, 'write', holder);
  }
  return { release: () => database.close() };
}

const LOCKED = 'LEVEL_LOCKED';

/** null: it is open. LOCKED: another process has it. Else what LevelDB said. */
async function openProblem(database: Level): Promise<unknown> {
  try {
    await database.open();
    return null;
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return cause?.code === LOCKED ? LOCKED : (cause ?? error);
  }
}

/** Whoever is here was not kept out by the lock, so nobody uses what is removed; or has it open since, and needs none of it. */
async function clear(folder: string): Promise<void> {
  try {
    const files = (await readdir(folder)).filter((name) => name !== LOCK_FILE && name !== HOLDER_FILE);
    for (const name of files) await rm(join(folder, name), { recursive: true, force: true });
  } catch (error) {
    throw diskError(error, 'remove', folder);
  }
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
