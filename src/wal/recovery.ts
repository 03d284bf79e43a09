/** Opens the segments of a folder, replays them, and settles the tail before anything new may be written (W4). */
import type { Clock } from '../ports/clock.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import { must } from '../types/assert.ts';
import type { StreamId } from '../types/ids.ts';
import { corrupt, newerVersion } from './failure.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './record.ts';
import type { SegmentLink } from './record-body.ts';
import { BeginsTooEarly, Replay } from './replay.ts';
import { type Scan, scanSegment } from './scan.ts';
import { isTemporary, LOG_FOLDER, labelOf, newSegment, type Segment, segmentPath, segmentSequence } from './segment.ts';
import { SegmentPool } from './segment-pool.ts';
import type { StreamState } from './stream-state.ts';
import { encodeSyncMark, SYNC_MARK_BYTES } from './sync-mark.ts';
import { keepTorn } from './torn-copy.ts';
import { type HardStateCopy, WalError, type WalIdentity, type WalOptions } from './types.ts';

const WRITE_BYTES = 1024 * 1024;

/** Where the writer goes on. */
export interface WritePosition {
  readonly segment: Segment;
  readonly file: DiskFile;
  readonly end: number;
  /** Equals `end`, but for a sync mark that was just written. */
  readonly durable: number;
  readonly chain: number;
  /** Nothing but the header is in it: the start records come first. */
  readonly empty: boolean;
  /** End and chain of the segment before it. */
  readonly link: SegmentLink;
  /** The last record is a sync mark. */
  readonly marked: boolean;
}

export interface RecoveredLog {
  readonly streams: Map<StreamId, StreamState>;
  /** By sequence; the last one is being written. */
  readonly segments: Segment[];
  /** Prepared ahead; its sequence follows. */
  readonly spare: Segment | null;
  readonly position: WritePosition;
  readonly pool: SegmentPool;
}

/** Rejects with WalError or with the disk's error; changes nothing on the disk before all of it was found sound. */
export async function recover(disk: Disk, clock: Clock, options: WalOptions): Promise<RecoveredLog> {
  await disk.makeFolder(LOG_FOLDER);
  const names = await disk.list(LOG_FOLDER);
  const sequences = sequencesOf(disk, names);
  refuseLostEnd(disk, sequences, options.hardStateCopy);
  const segments: Segment[] = [];
  for (const sequence of sequences) segments.push(await readHeader(disk, options, sequence));
  const { replay, scans, begin } = await replayAll(disk, segments, options);
  for (const name of names) if (isTemporary(name)) await disk.remove(name);
  // A segment may have got its name, and the folder lost power before it was told to keep it.
  await disk.syncFolder(LOG_FOLDER);
  const pool = new SegmentPool(disk, options, options.segmentBytes);
  await pool.adopt(names);
  for (const segment of segments.splice(0, begin)) await pool.release(segment);
  if (segments.length === 0) {
    const plan = { sequence: 1, createdMs: Math.floor(clock.wallMs()), previousDurable: 0 };
    segments.push(await pool.create({ ...plan, preparedBytes: options.segmentBytes }));
  }
  const activeAt = Math.max(
    0,
    scans.findLastIndex((scan) => scan.batches > 0),
  );
  const spare = segments[activeAt + 1] ?? null;
  const settle: Settle = (file, segment, scan) => settleTail(disk, clock, options, file, segment, scan);
  if (spare !== null) {
    const file = await disk.open(spare.path, { create: false });
    await settle(file, spare, must(scans[activeAt + 1], 'it was scanned')).finally(() => file.close());
  }
  const position = await settleActive(disk, segments, scans, activeAt, settle);
  for (const { label, size, preparedBytes } of segments) {
    if (size < preparedBytes) options.observe?.({ kind: 'shortFile', file: label, bytes: size, preparedBytes });
  }
  return { streams: replay.streams, segments: segments.slice(0, activeAt + 1), spare, position, pool };
}

/** What a log says, up to its first bad place. */
export interface ReadLog {
  readonly streams: ReadonlyMap<StreamId, StreamState>;
  readonly segments: readonly Segment[];
  /** Why a member does not start on it; null: it does. */
  readonly problem: WalError | null;
}

/** Reads a log as start-up does, and changes nothing. Rejects with the disk's error. */
export async function readLog(
  disk: Disk,
  options: WalIdentity & Pick<WalOptions, 'decodeConfiguration'>,
): Promise<ReadLog> {
  let replay = new Replay(options.decodeConfiguration);
  const segments: Segment[] = [];
  let problem: WalError | null = null;
  const attempt = async (step: () => Promise<unknown>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof WalError) || error.problem === 'device') throw error;
      problem ??= error;
    }
  };
  const names = await disk.list(LOG_FOLDER);
  const sequences = names.flatMap((name) => segmentSequence(name) ?? []).sort((a, b) => a - b);
  const first = sequences[0] ?? 1;
  const whole = sequences.filter((sequence, i) => sequence === first + i);
  await attempt(async () => {
    for (const sequence of whole) segments.push(await readHeader(disk, options, sequence));
  });
  await attempt(async () => {
    for (;;) {
      try {
        await scanAll(disk, segments, replay);
        return;
      } catch (error) {
        if (!(error instanceof BeginsTooEarly)) throw error;
        if (segments.length === 1) throw error.problem;
        segments.shift();
        replay = new Replay(options.decodeConfiguration);
      }
    }
  });
  await attempt(async () => sequencesOf(disk, names));
  return { streams: replay.streams, segments, problem };
}

/** Sequence numbers in the folder: without a gap. The oldest may be gone: their entries were not needed any more. */
function sequencesOf(disk: Disk, names: readonly string[]): readonly number[] {
  const sequences = names.flatMap((name) => segmentSequence(name) ?? []).sort((a, b) => a - b);
  const first = sequences[0] ?? 1;
  for (const [i, sequence] of sequences.entries()) {
    if (sequence !== first + i) throw corrupt(labelOf(disk, segmentPath(first + i)), 0, 'this segment is missing');
  }
  return sequences;
}

/** Lost files at the end leave no trace in the log itself. */
function refuseLostEnd(disk: Disk, sequences: readonly number[], copy: HardStateCopy | undefined): void {
  const entered = copy?.recovered.kind === 'sound' ? copy.recovered.segment : 0;
  if ((sequences.at(-1) ?? 0) >= entered) return;
  throw corrupt(labelOf(disk, segmentPath(entered)), 0, 'this segment is missing; the log had gone on in it');
}

async function readHeader(disk: Disk, identity: WalIdentity, sequence: number): Promise<Segment> {
  const path = segmentPath(sequence);
  const label = labelOf(disk, path);
  const file = await disk.open(path, { create: false });
  try {
    const outcome = decodeSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES));
    if (outcome.kind === 'bad') throw corrupt(label, 0, outcome.reason);
    if (outcome.kind === 'version') throw newerVersion(label, 0, `format version ${outcome.version}`);
    const { header, tag } = outcome;
    refuseForeign(label, header, identity);
    if (header.sequence !== sequence) throw corrupt(label, 0, `it is segment ${header.sequence} under another name`);
    return newSegment({ ...header, path, label, tag, size: await file.size() });
  } finally {
    await file.close();
  }
}

function refuseForeign(path: string, found: WalIdentity, expected: WalIdentity): void {
  if (found.clusterId === expected.clusterId && found.memberId === expected.memberId) return;
  throw new WalError(
    'foreign',
    path,
    0,
    `${path} belongs to member ${found.memberId} of cluster ${found.clusterId}, but this is member ` +
      `${expected.memberId} of cluster ${expected.clusterId}. Set the data folder of this member, or an empty one if ` +
      'this member has never run.',
  );
}

interface Replayed {
  readonly replay: Replay;
  readonly scans: readonly Scan[];
  /** Place among the segments where the log begins. */
  readonly begin: number;
}

async function replayAll(
  disk: Disk,
  segments: readonly Segment[],
  options: Pick<WalOptions, 'decodeConfiguration'>,
): Promise<Replayed> {
  for (let begin = 0; ; begin += 1) {
    const replay = new Replay(options.decodeConfiguration);
    try {
      return { replay, scans: await scanAll(disk, segments.slice(begin), replay), begin };
    } catch (error) {
      if (!(error instanceof BeginsTooEarly)) throw error;
      if (begin + 1 >= segments.length) throw error.problem;
    }
  }
}

async function scanAll(disk: Disk, segments: readonly Segment[], replay: Replay): Promise<readonly Scan[]> {
  const scans: Scan[] = [];
  for (const [i, segment] of segments.entries()) {
    const before = scans[i - 1];
    const oldest = before === undefined && segment.sequence > 1;
    replay.enter(segment, oldest ? null : { previousEnd: before?.end ?? 0, previousChain: before?.chain ?? 0 });
    const file = await disk.open(segment.path, { create: false });
    try {
      const scan = await scanSegment(file, segment, (batch) => replay.batch(batch));
      refuseBrokenEnd(segments[i - 1], before, segment, scan);
      scans.push(scan);
    } finally {
      await file.close();
    }
  }
  return scans;
}

/** A segment is written to only after all of the one before it was durable, and prepared only after something was. */
function refuseBrokenEnd(previous: Segment | undefined, before: Scan | undefined, next: Segment, scan: Scan): void {
  if (previous === undefined || before === undefined) {
    const begun = next.sequence === 1 || scan.batches > 0;
    if (!begun) throw corrupt(next.label, scan.end, 'it is the oldest segment, and its beginning is not intact');
    return;
  }
  if (before.batches === 0) throw corrupt(previous.label, before.end, `it is empty, but ${next.label} follows it`);
  if (before.end < next.previousDurable) {
    const proof = `${next.label} was prepared when ${next.previousDurable} bytes of it were durable`;
    throw corrupt(previous.label, before.end, `its records end here, but ${proof}`);
  }
  if ((scan.batches > 0 || scan.torn) && before.torn) {
    throw corrupt(previous.label, before.end, `its end is not intact, but ${next.label} was written after it`);
  }
}

async function settleActive(
  disk: Disk,
  segments: readonly Segment[],
  scans: readonly Scan[],
  activeAt: number,
  settle: Settle,
): Promise<WritePosition> {
  const segment = must(segments[activeAt], 'a log has a segment');
  const scan = scans[activeAt];
  const before = scans[activeAt - 1];
  const link: SegmentLink = { previousEnd: before?.end ?? 0, previousChain: before?.chain ?? 0 };
  const file = await disk.open(segment.path, { create: false });
  const start = { segment, file, link };
  if (scan !== undefined) await settle(file, segment, scan);
  if (scan === undefined || scan.batches === 0) {
    const end = SEGMENT_HEADER_BYTES;
    return { ...start, end, durable: end, chain: segment.tag, empty: true, marked: false };
  }
  const { end } = scan;
  if (scan.marked || end + SYNC_MARK_BYTES > segment.size) {
    return { ...start, end, durable: end, chain: scan.chain, empty: false, marked: scan.marked };
  }
  const mark = encodeSyncMark(segment.tag, end, scan.chain);
  await file.write(end, mark.bytes);
  return { ...start, end: end + SYNC_MARK_BYTES, durable: end, chain: mark.chain, empty: false, marked: true };
}

type Settle = (file: DiskFile, segment: Segment, scan: Scan) => Promise<void>;

/**
 * Makes the tail what was read. Torn bytes are kept aside and become zeroes, so that they can not come back to life behind a later
 * record. In a recycled segment they can not always be told from what an earlier life of the file left: there all becomes
 * zeroes, and is kept aside unless a sync mark says that nothing was under way. What is kept but not proven durable is written once more before the sync: after a failed fsync the page
 * cache may hold it as clean although the disk does not, and a sync alone would write nothing.
 */
async function settleTail(
  disk: Disk,
  clock: Clock,
  options: WalOptions,
  file: DiskFile,
  segment: Segment,
  scan: Scan,
): Promise<void> {
  const { end, durable, dirtyEnd, torn, batches, marked } = scan;
  const nowMs = Math.floor(clock.wallMs());
  const suspect = torn || (dirtyEnd > end && batches > 0 && !marked);
  const copy = suspect ? await keepTorn(disk, file, segment, end, dirtyEnd, nowMs) : null;
  for (let offset = durable; offset < dirtyEnd; offset += WRITE_BYTES) {
    const bytes = new Uint8Array(Math.min(WRITE_BYTES, dirtyEnd - offset));
    if (offset < end) bytes.set(await file.read(offset, Math.min(bytes.length, end - offset)));
    await file.write(offset, bytes);
  }
  await file.sync();
  if (copy === null || !torn) return;
  options.observe?.({ kind: 'tornTail', file: segment.label, offset: end, bytes: dirtyEnd - end, copy });
}
