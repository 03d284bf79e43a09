/** Errors of the log: each says which file and offset, and what to do. */
import { DiskError } from '../ports/disk.ts';
import { WalError } from './types.ts';

/**
 * What must not be advised here: a member that comes back with less than it acknowledged (an empty folder, an older
 * copy) may vote again in a term it voted in, and a majority may no longer hold what was committed.
 */
const ADVICE_CORRUPT =
  'The log is not used as it is. Keep this folder; if the device failed, move the data to a sound disk. `quorate wal ' +
  'verify` names every bad record. Do not start the member with an empty folder or an older copy of this one: it would ' +
  'have forgotten votes and entries that others count on. If it can not recover from its peers, replace it: ' +
  '`quorate member replace`.';

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
  io: 'The disk failed: check it, and move the data folder to a sound disk if need be, before the member is started again.',
  not_found:
    'A file of the log was removed while the member was running: put that very file back. Do not start the member ' +
    'with an empty folder or an older copy of this one: it would have forgotten votes and entries that others count on.',
  exists: 'A file of that name is in the way: another process may be using the folder.',
};

/** What the disk said, as an error of the log. An error of the log stays as it is. */
export function deviceFailure(error: unknown, file: string, offset: number): WalError {
  if (error instanceof WalError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const advice = error instanceof DiskError ? ` ${DEVICE_ADVICE[error.code]}` : '';
  return new WalError('device', file, offset, `${file}: ${reason}.${advice}`, error);
}
