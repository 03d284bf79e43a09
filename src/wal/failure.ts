/** Errors of the log: each says which file and offset, and what to do. */
import { DiskError } from '../ports/disk.ts';
import { WalError } from './types.ts';

const ADVICE_CORRUPT =
  'The member does not start on a damaged log. Keep this folder for inspection; replace the member by one with an ' +
  'empty data folder, or restore a backup.';

export function corrupt(file: string, offset: number, reason: string): WalError {
  return new WalError('corrupt', file, offset, `${file} is damaged at offset ${offset}: ${reason}. ${ADVICE_CORRUPT}`);
}

export function newerVersion(file: string, offset: number, what: string): WalError {
  return new WalError(
    'version',
    file,
    offset,
    `${file} (offset ${offset}) has ${what}, which this version does not know. ` +
      'Start the version of quorate that wrote it, or a later one.',
  );
}

const DEVICE_ADVICE: Readonly<Record<DiskError['code'], string>> = {
  no_space: 'The disk is full: free space or move the data folder to a larger disk, then start the member again.',
  permission: 'Give the user that runs the member read and write access to the data folder.',
  read_only: 'The file system is read-only: check the disk (it may have been remounted after errors), then remount it.',
  io: 'The disk failed: check it before the member is started again. What was acknowledged is on a majority.',
  not_found: 'A file of the log was removed while the member was running: restore it or replace the member.',
  exists: 'A file of that name is in the way: another process may be using the folder.',
};

/** What the disk said, as an error of the log. An error of the log stays as it is. */
export function deviceFailure(error: unknown, file: string, offset: number): WalError {
  if (error instanceof WalError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const advice = error instanceof DiskError ? ` ${DEVICE_ADVICE[error.code]}` : '';
  return new WalError('device', file, offset, `${file}: ${reason}.${advice}`, error);
}
