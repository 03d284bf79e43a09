/**
 * Torn bytes are kept aside before they are zeroed (W4: never destroy the original): should they have been acknowledged
 * after all, they can still be read. `torn-<segment>-<offset>-<ms since the epoch>.bin` holds what the segment held from
 * that offset on. Nothing reads these files; the oldest go when there are too many.
 */
import type { Disk, DiskFile } from '../ports/disk.ts';
import { WAL_TORN_COPIES_MAX, WAL_TORN_COPY_BYTES_MAX } from '../types/limits.ts';
import { LOG_FOLDER, labelOf, removeIfThere, type Segment } from './segment.ts';

const CHUNK_BYTES = 1024 * 1024;

function copyPath(segment: Segment, offset: number, ms: number): string {
  return `torn-${segment.path.slice(0, segment.path.indexOf('.'))}-${offset}-${ms}.bin`;
}

/** When the copy of that name was made, or null when it is no copy. */
function copyMs(name: string): number | null {
  const match = /^torn-\d{12}-\d+-(\d+)\.bin$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/**
 * Copies [from, to) of the segment, at most {@link WAL_TORN_COPY_BYTES_MAX} of it, durably. Answers what messages call
 * the copy. Rejects with the disk's error; then the segment must be left as it is.
 */
export async function keepTorn(
  disk: Disk,
  file: DiskFile,
  segment: Segment,
  from: number,
  to: number,
  nowMs: number,
): Promise<string> {
  const known = (await disk.list(LOG_FOLDER)).flatMap((name) => {
    const ms = copyMs(name);
    return ms === null ? [] : [{ name, ms }];
  });
  known.sort((a, b) => a.ms - b.ms);
  for (const { name } of known.slice(0, Math.max(0, known.length - WAL_TORN_COPIES_MAX + 1))) {
    await removeIfThere(disk, name);
  }
  let ms = nowMs;
  while (known.some(({ name }) => name === copyPath(segment, from, ms))) ms += 1;
  const path = copyPath(segment, from, ms);
  const copy = await disk.open(path, { create: true });
  try {
    const end = Math.min(to, from + WAL_TORN_COPY_BYTES_MAX);
    for (let offset = from; offset < end; offset += CHUNK_BYTES) {
      await copy.write(offset - from, await file.read(offset, Math.min(CHUNK_BYTES, end - offset)));
    }
    await copy.sync();
  } finally {
    await copy.close();
  }
  await disk.syncFolder(LOG_FOLDER);
  return labelOf(disk, path);
}
