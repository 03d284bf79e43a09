/** A backup as a file: written whole or not at all, and checked while it is written. */
import { createReadStream } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type BackupSummary, verifyBackup } from './backup.ts';

/** What is not complete yet has this at the end of its name. */
const PARTIAL = '.partial';
const READ_BYTES = 256 * 1024;

/** The bytes of the file at `path`; for `verifyBackup` and `BackupReader.open`. */
export function backupFileBytes(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: READ_BYTES });
}

/**
 * Writes the bytes to `path`, which must not exist, durably. They are verified on the way: a file that appears under its name is
 * whole and sound. Rejects with `BackupError`, an error of the file system (EEXIST, ENOSPC, …), or with what `bytes` throws; what
 * was written until then is removed.
 */
export async function writeBackupFile(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<BackupSummary> {
  await refuseExisting(path);
  const partial = `${path}${PARTIAL}`;
  // Fails when another backup to the same file is under way.
  const file = await open(partial, 'wx');
  try {
    let summary: BackupSummary;
    try {
      summary = await verifyBackup(written(bytes, file), onProgress);
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
async function refuseExisting(path: string): Promise<void> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  });
  if (file === null) return;
  await file.close();
  throw Object.assign(new Error(`EEXIST: file already exists, backup to '${path}'`), { code: 'EEXIST', path });
}

async function* written(
  bytes: AsyncIterable<Uint8Array>,
  file: { writeFile(piece: Uint8Array): Promise<void> },
): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of bytes) {
    await file.writeFile(piece);
    yield piece;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
