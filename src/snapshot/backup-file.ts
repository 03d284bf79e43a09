/** A backup as a file: written whole or not at all, and checked while it is written. */
import { createReadStream } from 'node:fs';
import { type FileWriter, writeWholeFile } from '../files/whole-file.ts';
import { type BackupSummary, verifyBackup } from './backup.ts';

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
export function writeBackupFile(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<BackupSummary> {
  return writeWholeFile(path, 'backup', (file) => verifyBackup(written(bytes, file), onProgress));
}

async function* written(bytes: AsyncIterable<Uint8Array>, file: FileWriter): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of bytes) {
    await file.writeFile(piece);
    yield piece;
  }
}
