/** A file that has its name only when it is whole and on disk: exports, backups. */
import { link, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What is not complete yet has this at the end of its name. */
const PARTIAL = '.partial';

export interface FileWriter {
  writeFile(piece: Uint8Array): Promise<void>;
}

/**
 * Calls `write` with a new file, and gives it the name `path`, which must not exist, when that has resolved and all is synced.
 * Resolves with what `write` resolves with. Rejects with what it rejects with, or with an error of the file system (EEXIST, ENOSPC, …);
 * what was written until then is removed. `what` says in the error what was to be written.
 */
export async function writeWholeFile<Summary>(
  path: string,
  what: string,
  write: (file: FileWriter) => Promise<Summary>,
): Promise<Summary> {
  await refuseExisting(path, what);
  const partial = `${path}${PARTIAL}`;
  // Fails when somebody else is writing the same file.
  const file = await open(partial, 'wx');
  try {
    let summary: Summary;
    try {
      summary = await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike a rename this never replaces a file that has come up meanwhile.
    await link(partial, path);
    await syncFolder(dirname(path));
    return summary;
  } finally {
    await rm(partial, { force: true });
  }
}

/** Said before any work is done. */
async function refuseExisting(path: string, what: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return;
  throw Object.assign(new Error(`EEXIST: file already exists, ${what} to '${path}'`), { code: 'EEXIST', path });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
