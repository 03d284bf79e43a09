/** Errors of the file system that say what to do. */
import { UsageError } from './exit-codes.ts';

const WHY: Readonly<Record<string, string>> = {
  EEXIST: 'it is there already; choose another name, or remove it',
  ENOENT: 'there is no such file or folder',
  EACCES: 'it may not be read or written',
  EISDIR: 'it is a folder; give the name of a file',
  ENOTDIR: 'a part of the path is no folder',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};

/** `error` itself where it is none of these. */
export function fileProblem(file: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const text = typeof code === 'string' ? WHY[code] : undefined;
  return text === undefined ? error : new UsageError(`${file}: ${text}`, { cause: error });
}
