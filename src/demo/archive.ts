/** The work itself: one lz4 frame for each file. Readable with `lz4 -d`. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { compressFrame, decompressFrame } from 'lz4-napi';

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function archivePath(outFolder: string, path: string): string {
  return join(outFolder, `${path}.lz4`);
}

/**
 * Compresses one file. The archive appears under its name only when it is whole and on disk; its folder is still to be
 * synced ({@link syncFolders}). Resolves with the archive's size. Rejects when the file is no longer what it was.
 */
export async function writeArchive(folder: string, outFolder: string, path: string, hash: string): Promise<number> {
  const content = await readFile(join(folder, path));
  if (sha256(content) !== hash) throw new Error(`${path} was changed while it was being archived; run the demo again`);
  const frame = await compressFrame(content, { contentChecksum: true });
  const target = archivePath(outFolder, path);
  await mkdir(dirname(target), { recursive: true });
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(frame);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return frame.byteLength;
}

/** Makes the names in the folders of these files durable. */
export async function syncFolders(outFolder: string, paths: readonly string[]): Promise<void> {
  const folders = new Set(paths.map((path) => dirname(archivePath(outFolder, path))));
  await Promise.all(
    [...folders].map(async (name) => {
      const folder = await open(name, 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    }),
  );
}

/** SHA-256 of what the archive holds. Rejects when it can not be read back. */
export async function hashOfArchive(outFolder: string, path: string): Promise<string> {
  const frame = await readFile(archivePath(outFolder, path));
  return sha256(await decompressFrame(frame));
}

/** Runs `work` over all items, at most `limit` at a time. The first failure ends it, after what is running. */
export async function forEachParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const item = items[next++] as T;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
