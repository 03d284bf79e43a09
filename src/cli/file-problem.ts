/** Errors of the file system that say what to do. */
import { UsageError } from './exit-codes.ts';

const WHY: Readonly<Record<string, string>> = {
  EEXIST: 'it is there already; choose another name, or remove it',
  ENOENT: 'there is no such file or folder',
  EACCES: 'it may not be read or written',
  EISDIR: 'it is a folder; give the name of a file',
  ENOTDIR: 'a part of the path is no folder',
  EROFS: 'the file system is read-only',
};

/** No wrong usage: the same command may do tomorrow. */
const TROUBLE: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of its file system is used up',
  EIO: 'the disk failed: check it',
};

/** The same for a file that is to be made, under another name first. */
export function newFileProblem(file: string, error: unknown): unknown {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new UsageError(`${file}: there is no such folder; make it first`, { cause: error });
  if (code === 'EEXIST' && path?.endsWith('.partial') === true && !file.endsWith('.partial')) {
    const what = 'it is being written by another process, or one that wrote it was killed: remove it if there is none';
    return new UsageError(`${file}.partial: ${what}`, { cause: error });
  }
  return fileProblem(file, error);
}

/** `error` itself where it is none of these. */
export function fileProblem(file: string, error: unknown): unknown {
  if (error instanceof Error && error.name === 'BackupError') {
    return new Error(`${file}: ${error.message}`, { cause: error });
  }
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const text = typeof code === 'string' ? WHY[code] : undefined;
  if (text !== undefined) return new UsageError(`${file}: ${text}`, { cause: error });
  const trouble = typeof code === 'string' ? TROUBLE[code] : undefined;
  return trouble === undefined ? error : new Error(`${file}: ${trouble}`, { cause: error });
}
