/** The files below a folder. */
import { lstat, readdir, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { SUB_STEP_ID_LENGTH_MAX, SUB_STEPS_MAX } from '../types/limits.ts';

/** An archive is made in memory. */
export const FILE_BYTES_MAX = 512 * 1024 * 1024;

export interface FoundFile {
  /** Relative to the folder, with `/` as separator. Names the sub-step. */
  readonly path: string;
  readonly bytes: number;
}

export interface Walk {
  /** Sorted by path. */
  readonly files: readonly FoundFile[];
  /** What is no regular file, or has a name that is no text: links, sockets, devices. */
  readonly skipped: number;
  readonly bytes: number;
}

/** Rejects, with a message that says what to do, when something can not be archived. */
export async function walkFolder(folder: string): Promise<Walk> {
  await checkFolder(folder);
  const files: FoundFile[] = [];
  let skipped = 0;
  const visit = async (relative: string): Promise<void> => {
    const entries = await readdir(join(folder, relative), { withFileTypes: true });
    for (const entry of entries) {
      const path = posix.join(relative, entry.name);
      if (entry.isDirectory()) {
        await visit(path);
      } else if (!entry.isFile() || entry.name.includes('\uFFFD')) {
        skipped += 1;
      } else {
        const { size } = await lstat(join(folder, path));
        check(path, size);
        files.push({ path, bytes: size });
        if (files.length > SUB_STEPS_MAX) {
          throw new Error(
            `${folder} holds more than ${SUB_STEPS_MAX} files, the limit of one phase; choose a part of it`,
          );
        }
      }
    }
  };
  await visit('');
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, skipped, bytes: files.reduce((sum, file) => sum + file.bytes, 0) };
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such folder' : `it can not be read (${error.code})`;
    throw new Error(`${folder}: ${why}; choose another one with --dir`, { cause: error });
  });
  if (!found.isDirectory()) throw new Error(`${folder} is no folder; choose one with --dir`);
}

function check(path: string, bytes: number): void {
  if (path.length > SUB_STEP_ID_LENGTH_MAX) {
    throw new Error(
      `the path ${path.slice(0, 60)}… is longer than ${SUB_STEP_ID_LENGTH_MAX} characters; choose another folder`,
    );
  }
  if (bytes > FILE_BYTES_MAX) {
    throw new Error(
      `${path} is larger than ${FILE_BYTES_MAX / 1024 / 1024} MiB, the limit of the demo; choose another folder`,
    );
  }
}
