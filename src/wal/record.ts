/**
 * Bytes of the log: segment headers and records. Pure; every byte is explained in `FORMAT.md`.
 *
 * A record's CRC is seeded with the segment's tag and the record's own offset, so that a record is recognised only
 * in the segment and at the place it was written for; the chain value binds it to the record before it.
 */
import crc32 from 'crc-32';
import { assert } from '../types/assert.ts';
import type { ClusterId, MemberId } from '../types/ids.ts';
import { WAL_RECORD_BYTES_MAX } from '../types/limits.ts';

/** Of segments that are made new; recycled ones have version 2. */
export const FORMAT_VERSION = 1;
export const FORMAT_VERSION_RECYCLED = 2;
/** One sector, so that a header is old or new and never half. The same in every version. */
export const SEGMENT_HEADER_BYTES = 512;
export const RECORD_HEADER_BYTES = 48;
const RECORD_ALIGN_BYTES = 8;

const MAGIC = 'QUORWAL\n';
const HEADER_CRC_AT = SEGMENT_HEADER_BYTES - 4;
const NAME_BYTES_MAX = 64;
const HEADER_FLAGS_AT = 12;
const HEADER_FLAG_RECYCLED = 1;
const CLUSTER_AT = 32;
const MEMBER_AT = CLUSTER_AT + 1 + NAME_BYTES_MAX;
const PREPARED_AT = 168;
const PREVIOUS_DURABLE_AT = 176;
const HIGH = 2 ** 32;

/** What a record is about. Numbers are part of the format and never used again. */
export const RECORD_TYPE = {
  entries: 1,
  hardState: 2,
  snapshotMark: 3,
  truncation: 4,
  membership: 5,
  segmentStart: 6,
  position: 7,
  syncMark: 8,
} as const;
export type RecordType = (typeof RECORD_TYPE)[keyof typeof RECORD_TYPE];

export const FLAG_LZ4 = 1;
export const FLAG_LAST_OF_BATCH = 2;
/** Some entry of the batch is a configuration: recovery has to look inside. */
export const FLAG_CONFIGURATION = 4;

export interface SegmentHeader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** From 1, without gaps. */
  readonly sequence: number;
  /** Wall time of creation; keeps two lives of one sequence number apart. */
  readonly createdMs: number;
  /** Size of the file when it was prepared; it never becomes smaller. */
  readonly preparedBytes: number;
  /** Everything in the segment before, below this offset, was durable when this one was prepared; 0 in the first. */
  readonly previousDurable: number;
  /** The file held another segment before, and still holds its bytes. Format version 2. */
  readonly recycled: boolean;
}

/** A record before it has a place. */
export interface RecordDraft {
  readonly type: RecordType;
  readonly flags: number;
  readonly stream: number;
  readonly term: number;
  readonly firstIndex: number;
  /** Entries in the body; 0 for other types. */
  readonly count: number;
  /** Length of the body before compression; 0 unless compressed. */
  readonly rawLength: number;
  readonly body: Uint8Array;
}

/** A record that was found intact. */
export interface ScannedRecord {
  readonly offset: number;
  /** Where the next record starts. */
  readonly end: number;
  readonly crc: number;
  readonly chain: number;
  /** Everything below this offset of the segment was durable when the record was written. */
  readonly durable: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly term: number;
  readonly firstIndex: number;
  readonly count: number;
  readonly rawLength: number;
  /** The bytes that hold the body, and where it is in them. */
  readonly buffer: Buffer;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

export function alignRecord(length: number): number {
  return Math.ceil(length / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES;
}

/** Bytes that a draft takes in the segment, padding included. */
export function recordBytes(draft: RecordDraft): number {
  return alignRecord(RECORD_HEADER_BYTES + draft.body.length);
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checksum(bytes: Buffer, seed: number): number {
  return crc32.buf(bytes, seed | 0) >>> 0;
}

function writeU64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `not a safe integer: ${value}`);
  target.writeUInt32LE(value % HIGH, at);
  target.writeUInt32LE(Math.floor(value / HIGH), at + 4);
}

/** NaN-free: values beyond 2^53 − 1 come back unsafe and are refused by the caller. */
function readU64(source: Buffer, at: number): number {
  return source.readUInt32LE(at + 4) * HIGH + source.readUInt32LE(at);
}

// ---------------------------------------------------------------------------------------------- segment header

function writeName(target: Buffer, name: string, at: number): void {
  const length = target.write(name, at + 1, NAME_BYTES_MAX, 'latin1');
  assert(length === name.length, `a name has at most ${NAME_BYTES_MAX} characters: ${name}`);
  target.writeUInt8(length, at);
}

function readName(source: Buffer, at: number): string {
  const length = Math.min(source.readUInt8(at), NAME_BYTES_MAX);
  return source.toString('latin1', at + 1, at + 1 + length);
}

export function encodeSegmentHeader(header: SegmentHeader): { readonly bytes: Buffer; readonly tag: number } {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeUInt32LE(header.recycled ? FORMAT_VERSION_RECYCLED : FORMAT_VERSION, 8);
  bytes.writeUInt32LE(header.recycled ? HEADER_FLAG_RECYCLED : 0, HEADER_FLAGS_AT);
  writeU64(bytes, header.sequence, 16);
  writeU64(bytes, header.createdMs, 24);
  writeName(bytes, header.clusterId, CLUSTER_AT);
  writeName(bytes, header.memberId, MEMBER_AT);
  writeU64(bytes, header.preparedBytes, PREPARED_AT);
  bytes.writeUInt32LE(header.previousDurable, PREVIOUS_DURABLE_AT);
  const tag = checksum(bytes.subarray(0, HEADER_CRC_AT), 0);
  bytes.writeUInt32LE(tag, HEADER_CRC_AT);
  return { bytes, tag };
}

export type HeaderOutcome =
  | { readonly kind: 'good'; readonly header: SegmentHeader; readonly tag: number }
  | { readonly kind: 'bad'; readonly reason: string }
  | { readonly kind: 'version'; readonly version: number };

/** The place of magic, version and CRC is the same in every version: damage and a newer version are told apart. */
export function decodeSegmentHeader(source: Uint8Array): HeaderOutcome {
  if (source.length < SEGMENT_HEADER_BYTES) return { kind: 'bad', reason: 'the file is shorter than a header' };
  const bytes = asBuffer(source).subarray(0, SEGMENT_HEADER_BYTES);
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return { kind: 'bad', reason: 'it is no log segment' };
  const tag = checksum(bytes.subarray(0, HEADER_CRC_AT), 0);
  if (tag !== bytes.readUInt32LE(HEADER_CRC_AT)) return { kind: 'bad', reason: 'the CRC of its header is wrong' };
  const version = bytes.readUInt32LE(8);
  const flags = bytes.readUInt32LE(HEADER_FLAGS_AT);
  if (version !== FORMAT_VERSION && version !== FORMAT_VERSION_RECYCLED) return { kind: 'version', version };
  if ((flags & ~HEADER_FLAG_RECYCLED) !== 0) return { kind: 'version', version };
  const header: SegmentHeader = {
    clusterId: readName(bytes, CLUSTER_AT) as ClusterId,
    memberId: readName(bytes, MEMBER_AT) as MemberId,
    sequence: readU64(bytes, 16),
    createdMs: readU64(bytes, 24),
    preparedBytes: readU64(bytes, PREPARED_AT),
    previousDurable: bytes.readUInt32LE(PREVIOUS_DURABLE_AT),
    recycled: (flags & HEADER_FLAG_RECYCLED) !== 0,
  };
  return { kind: 'good', header, tag };
}

// ---------------------------------------------------------------------------------------------- records

/** Where a record goes, and what it follows. */
export interface RecordPlace {
  readonly tag: number;
  /** In the segment. */
  readonly offset: number;
  readonly chain: number;
  readonly durable: number;
}

/** Writes the record at `at` of `target` (zeroed, large enough) and returns its CRC: the next one's chain value. */
export function encodeRecord(
  target: Buffer,
  at: number,
  place: RecordPlace,
  draft: RecordDraft,
  lastOfBatch: boolean,
): number {
  const length = RECORD_HEADER_BYTES + draft.body.length;
  assert(length <= WAL_RECORD_BYTES_MAX, `a record of ${length} bytes exceeds ${WAL_RECORD_BYTES_MAX}`);
  assert(place.offset % RECORD_ALIGN_BYTES === 0, 'records are aligned');
  target.writeUInt32LE(length, at + 4);
  target.writeUInt32LE(place.chain, at + 8);
  target.writeUInt32LE(place.durable, at + 12);
  target.writeUInt8(draft.type, at + 16);
  target.writeUInt8(draft.flags | (lastOfBatch ? FLAG_LAST_OF_BATCH : 0), at + 17);
  target.writeUInt32LE(draft.stream, at + 20);
  writeU64(target, draft.term, at + 24);
  writeU64(target, draft.firstIndex, at + 32);
  target.writeUInt32LE(draft.count, at + 40);
  target.writeUInt32LE(draft.rawLength, at + 44);
  target.set(draft.body, at + RECORD_HEADER_BYTES);
  const crc = checksum(target.subarray(at + 4, at + alignRecord(length)), place.tag ^ place.offset);
  target.writeUInt32LE(crc, at);
  return crc;
}

/** Length with padding that the header at `at` claims; 0 when there is none, null when it is impossible. */
export function claimedBytes(source: Buffer, at: number, roomBytes: number): number | null {
  const length = source.readUInt32LE(at + 4);
  if (length === 0) return 0;
  if (length < RECORD_HEADER_BYTES || length > WAL_RECORD_BYTES_MAX) return null;
  const padded = alignRecord(length);
  return padded > roomBytes ? null : padded;
}

/**
 * The record at `at` of `source`, which holds offset `offset` of the segment and all bytes that the header claims;
 * null when its CRC does not fit this segment and this place.
 */
export function decodeRecord(source: Buffer, at: number, tag: number, offset: number): ScannedRecord | null {
  const length = source.readUInt32LE(at + 4);
  const padded = alignRecord(length);
  const crc = source.readUInt32LE(at);
  if (checksum(source.subarray(at + 4, at + padded), tag ^ offset) !== crc) return null;
  return {
    offset,
    end: offset + padded,
    crc,
    chain: source.readUInt32LE(at + 8),
    durable: source.readUInt32LE(at + 12),
    type: source[at + 16] ?? 0,
    flags: source[at + 17] ?? 0,
    stream: source.readUInt32LE(at + 20),
    term: readU64(source, at + 24),
    firstIndex: readU64(source, at + 32),
    count: source.readUInt32LE(at + 40),
    rawLength: source.readUInt32LE(at + 44),
    buffer: source,
    bodyStart: at + RECORD_HEADER_BYTES,
    bodyEnd: at + length,
  };
}
