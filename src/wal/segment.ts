/** Segment files: their names, how one is prepared, and what is known of each in memory. */
import type { Disk } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import { assert } from '../types/assert.ts';
import type { LogIndex, StreamId } from '../types/ids.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './record.ts';
import type { WalIdentity } from './types.ts';

/** A segment that is to be prepared. */
export type SegmentPlan = Pick<SegmentHeader, 'sequence' | 'createdMs' | 'preparedBytes' | 'previousDurable'>;

/** The disk's root holds the segments and nothing else. */
export const LOG_FOLDER = '';
const SUFFIX = '.wal';
const TEMPORARY_SUFFIX = '.tmp';
export const FREE_SUFFIX = '.free';
const SEQUENCE_DIGITS = 12;

/** One segment. What compaction needs to know of it: see `compaction.ts`. */
export interface Segment {
  readonly sequence: number;
  readonly path: string;
  /** What messages call it. */
  readonly label: string;
  /** CRC of its header: the seed of its records' CRCs. */
  readonly tag: number;
  /** Size of the file, bytes: as prepared, larger when one batch needed it; smaller only if something else cut it. */
  size: number;
  /** Size that it was prepared with. */
  readonly preparedBytes: number;
  /** What the segment before it held durably at least, as an offset in that one. */
  readonly previousDurable: number;
  /** Format version 2: what lies behind its records may be left from an earlier life of the file. */
  readonly recycled: boolean;
  /** Next index of each stream where the segment begins; null until its first batch is durable. */
  starts: ReadonlyMap<StreamId, LogIndex> | null;
  /** First index of each stream if the log began here: as in `starts`, but for resets since. */
  readonly bases: Map<StreamId, LogIndex>;
  /** Lowest index from which a record in it replaces entries, by stream. */
  readonly floors: Map<StreamId, number>;
}

/** What is known of a segment before its records are. */
export function newSegment(
  found: Pick<
    Segment,
    'sequence' | 'path' | 'label' | 'tag' | 'size' | 'preparedBytes' | 'previousDurable' | 'recycled'
  >,
): Segment {
  const { sequence, path, label, tag, size, preparedBytes, previousDurable, recycled } = found;
  const known = { sequence, path, label, tag, size, preparedBytes, previousDurable, recycled };
  return { ...known, starts: null, bases: new Map(), floors: new Map() };
}

/** The first batch of the segment is durable. */
export function noteStarts(segment: Segment, starts: ReadonlyMap<StreamId, LogIndex>): void {
  segment.starts = starts;
  for (const [stream, next] of starts) segment.bases.set(stream, next);
}

export function segmentPath(sequence: number): string {
  return `${String(sequence).padStart(SEQUENCE_DIGITS, '0')}${SUFFIX}`;
}

export function temporaryPath(sequence: number): string {
  return segmentPath(sequence) + TEMPORARY_SUFFIX;
}

/** Holds nothing that is needed; to be written again. */
export function isFree(name: string): boolean {
  return name.endsWith(SUFFIX + FREE_SUFFIX);
}

export function labelOf(disk: Disk, path: string): string {
  return disk.locate?.(path) ?? path;
}

/** Sequence number of a segment's name, or null for any other name. */
export function segmentSequence(name: string): number | null {
  const match = /^(\d{12})\.wal$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Left behind by a crash while a segment was being prepared; holds nothing. */
export function isTemporary(name: string): boolean {
  return name.endsWith(SUFFIX + TEMPORARY_SUFFIX);
}

/**
 * Prepares an empty segment: preallocated and with its header under a temporary name, made durable, and only then
 * given its name, so that a segment that can be seen is whole. Rejects with the disk's error and leaves no file.
 */
export async function createSegment(disk: Disk, identity: WalIdentity, plan: SegmentPlan): Promise<Segment> {
  const { sequence, preparedBytes } = plan;
  assert(preparedBytes > SEGMENT_HEADER_BYTES, 'a segment has room for records');
  const path = segmentPath(sequence);
  const temporary = temporaryPath(sequence);
  const { clusterId, memberId } = identity;
  const { bytes, tag } = encodeSegmentHeader({ clusterId, memberId, ...plan, recycled: false });
  await removeIfThere(disk, temporary);
  const file = await disk.open(temporary, { create: true });
  try {
    await file.allocate(preparedBytes);
    await file.write(0, bytes);
    await file.sync();
    await file.close();
  } catch (error) {
    await abandon(disk, temporary, file);
    throw error;
  }
  await disk.rename(temporary, path);
  await disk.syncFolder(LOG_FOLDER);
  const label = labelOf(disk, path);
  return newSegment({ ...plan, path, label, tag, size: preparedBytes, recycled: false });
}

export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'not_found') throw error;
  }
}

/** Gives the space back. What went wrong is reported by the caller; a second failure adds nothing to it. */
async function abandon(disk: Disk, path: string, file: { close(): Promise<void> }): Promise<void> {
  try {
    await file.close();
    await disk.remove(path);
  } catch {
    // Removed at the next start.
  }
}
