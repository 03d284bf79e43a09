/**
 * Walks one segment, and tells a torn tail from damage (W4).
 *
 * Every record says how far its segment was durable when it was written (`durable`). A crash can only touch what was
 * not durable yet, so a bad place is torn unless something written later says that this very place was durable:
 * then it is damage. See FORMAT.md, "Torn tail or damage".
 */
import type { DiskFile } from '../ports/disk.ts';
import { corrupt } from './failure.ts';
import {
  asBuffer,
  claimedBytes,
  decodeRecord,
  FLAG_LAST_OF_BATCH,
  RECORD_HEADER_BYTES,
  RECORD_TYPE,
  type ScannedRecord,
  SEGMENT_HEADER_BYTES,
} from './record.ts';
import type { Segment } from './segment.ts';

const CHUNK_BYTES = 8 * 1024 * 1024;
const SCAN_STEP_BYTES = 8;
const ZEROES = Buffer.alloc(64 * 1024);
/** Types of versions to come included. */
const RECORD_TYPE_MAX = 63;

/** A segment file seen through large reads. */
export class SegmentWindow {
  readonly size: number;
  readonly #file: DiskFile;
  buffer: Buffer = Buffer.alloc(0);
  /** Offset in the segment of the buffer's first byte. */
  base = 0;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  holds(offset: number, length: number): boolean {
    return offset >= this.base && offset + length <= this.base + this.buffer.length;
  }

  /** Afterwards `buffer` starts at `offset` and holds `length` bytes or more, but nothing past the end of the file. */
  async load(offset: number, length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, CHUNK_BYTES), this.size - offset);
    this.buffer = asBuffer(await this.#file.read(offset, wanted));
    this.base = offset;
  }
}

export interface Scan {
  /** End of the last whole batch: the next one goes here. */
  readonly end: number;
  /** Chain value for the next record. */
  readonly chain: number;
  /** Proven to have been durable before the crash. */
  readonly durable: number;
  /** One past the last byte that is not zero, or `end`. */
  readonly dirtyEnd: number;
  /** Behind `end` lies what this life of the file wrote there, for all that can be told. */
  readonly torn: boolean;
  readonly batches: number;
  /** The last record says that all before it is durable: the log was closed. */
  readonly marked: boolean;
}

interface Walk {
  end: number;
  chain: number;
  durable: number;
  batches: number;
  marked: boolean;
  /** Where the walk stopped: at `end`, or inside a batch that is not whole; and the chain value wanted there. */
  stop: number;
  stopChain: number;
}

/** Hands each whole batch to `apply`, in order. Throws WalError `corrupt` on anything but a torn tail. */
export async function scanSegment(
  file: DiskFile,
  segment: Pick<Segment, 'label' | 'tag' | 'size' | 'recycled'>,
  apply: (batch: readonly ScannedRecord[]) => void,
): Promise<Scan> {
  const { label, tag, size, recycled } = segment;
  const window = new SegmentWindow(file, size);
  const walk = await walkRecords(window, label, tag, apply);
  const dirtyEnd = await lastNonZero(window, walk.end);
  const written = dirtyEnd > walk.end && (await writtenBehind(window, label, tag, walk, dirtyEnd));
  const torn = recycled ? written : dirtyEnd > walk.end;
  const { end, chain, durable, batches, marked } = walk;
  return { end, chain, durable, dirtyEnd, torn, batches, marked };
}

async function walkRecords(
  window: SegmentWindow,
  path: string,
  tag: number,
  apply: (batch: readonly ScannedRecord[]) => void,
): Promise<Walk> {
  const start = SEGMENT_HEADER_BYTES;
  const walk: Walk = { end: start, chain: tag, durable: start, batches: 0, marked: false, stop: start, stopChain: tag };
  let batch: ScannedRecord[] = [];
  let chain = tag;
  while (walk.stop + RECORD_HEADER_BYTES <= window.size) {
    const record = await recordAt(window, tag, walk.stop);
    if (record === null) break;
    // The CRC holds here and nowhere else, so this was written here, but after something that is gone.
    if (record.chain !== chain) throw corrupt(path, walk.stop, 'the record does not continue the one before it');
    if (record.durable < walk.durable || record.durable > walk.end) {
      throw corrupt(path, walk.stop, `the record claims that ${record.durable} bytes were durable`);
    }
    chain = record.crc;
    walk.stop = record.end;
    walk.stopChain = chain;
    batch.push(record);
    if ((record.flags & FLAG_LAST_OF_BATCH) === 0) continue;
    apply(batch);
    walk.end = record.end;
    walk.chain = chain;
    walk.durable = record.durable;
    walk.batches += 1;
    walk.marked = record.type === RECORD_TYPE.syncMark;
    batch = [];
  }
  return walk;
}

/** The intact record at `offset`, or null. Awaits only when the window has to move. */
function recordAt(
  window: SegmentWindow,
  tag: number,
  offset: number,
): ScannedRecord | null | Promise<ScannedRecord | null> {
  if (!window.holds(offset, RECORD_HEADER_BYTES)) return loadAndDecode(window, tag, offset, RECORD_HEADER_BYTES);
  const at = offset - window.base;
  const claimed = claimedBytes(window.buffer, at, window.size - offset);
  if (claimed === null || claimed === 0) return null;
  if (!window.holds(offset, claimed)) return loadAndDecode(window, tag, offset, claimed);
  return decodeRecord(window.buffer, at, tag, offset);
}

async function loadAndDecode(
  window: SegmentWindow,
  tag: number,
  offset: number,
  length: number,
): Promise<ScannedRecord | null> {
  await window.load(offset, length);
  // The file may have become shorter under us; what can not be read is not there.
  return window.holds(offset, length) ? recordAt(window, tag, offset) : null;
}

async function lastNonZero(window: SegmentWindow, from: number): Promise<number> {
  let last = from;
  for (let offset = from; offset < window.size; ) {
    if (!window.holds(offset, 1)) await window.load(offset, 1);
    const rest = window.buffer.subarray(offset - window.base);
    if (rest.length === 0) break;
    const found = lastNonZeroIn(rest);
    if (found > 0) last = offset + found;
    offset += rest.length;
  }
  return last;
}

/** Length of `bytes` without trailing zeroes. */
function lastNonZeroIn(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0) {
    const length = Math.min(end, ZEROES.length);
    if (bytes.compare(ZEROES, 0, length, end - length, end) !== 0) break;
    end -= length;
  }
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/**
 * Throws when a later record proves that what is bad or missing at the end of the walk was durable once. Answers whether
 * something there was written in this life of the file: an intact record, or the head of one that follows the last.
 */
async function writtenBehind(
  window: SegmentWindow,
  path: string,
  tag: number,
  walk: Walk,
  dirtyEnd: number,
): Promise<boolean> {
  let written = walk.stop > walk.end || (await headFollows(window, walk));
  const from = walk.end + SCAN_STEP_BYTES;
  for (let offset = from; offset + RECORD_HEADER_BYTES <= window.size && offset < dirtyEnd; offset += SCAN_STEP_BYTES) {
    if (!window.holds(offset, RECORD_HEADER_BYTES)) await window.load(offset, RECORD_HEADER_BYTES);
    if (!resemblesRecord(window, offset)) continue;
    const record = await recordAt(window, tag, offset);
    if (record === null) continue;
    written = true;
    if (record.durable <= walk.end) continue;
    throw corrupt(
      path,
      walk.stop,
      `the record there is not intact, but the one at offset ${offset} was written after it had become durable`,
    );
  }
  return written;
}

/** Quick and without CRC: nothing in the head of the record is impossible at `offset`. */
function resemblesRecord(window: SegmentWindow, offset: number): boolean {
  const at = offset - window.base;
  const { buffer } = window;
  const type = buffer[at + 16] ?? 0;
  if (type < 1 || type > RECORD_TYPE_MAX || buffer.readUInt16LE(at + 18) !== 0) return false;
  const durable = buffer.readUInt32LE(at + 12);
  const claimed = claimedBytes(buffer, at, window.size - offset);
  return durable >= SEGMENT_HEADER_BYTES && durable <= offset && claimed !== null && claimed !== 0;
}

/** Where the walk stopped stands the head of a record that was to follow, although the record is not intact. */
async function headFollows(window: SegmentWindow, walk: Walk): Promise<boolean> {
  const offset = walk.stop;
  if (offset + RECORD_HEADER_BYTES > window.size) return false;
  if (!window.holds(offset, RECORD_HEADER_BYTES)) await window.load(offset, RECORD_HEADER_BYTES);
  if (!window.holds(offset, RECORD_HEADER_BYTES)) return false;
  const at = offset - window.base;
  return window.buffer.readUInt32LE(at + 8) === walk.stopChain;
}
