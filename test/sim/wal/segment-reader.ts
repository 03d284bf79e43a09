/**
 * A small reader of the log's format (src/wal/FORMAT.md), written for the oracles and sharing no code with the log.
 * It knows only what it needs: votes, terms and entries of one stream, batch by batch, until the first byte that is
 * no record.
 */
import crc32 from 'crc-32';
import { uncompressSync } from 'lz4-napi';
import type { EntryKind } from '../../../src/raft/types.ts';
import type { Group } from '../cluster/quorum.ts';
import { type Base, type Tag, tagOf } from '../cluster/tracked-log.ts';
import type { NamedFiles } from './durable-view.ts';

const HEADER_BYTES = 512;
const RECORD_HEADER_BYTES = 48;
const KINDS: readonly EntryKind[] = ['noop', 'command', 'configuration'];
const ENTRIES = 1;
const HARD_STATE = 2;
const SNAPSHOT_MARK = 3;
const TRUNCATION = 4;
const MEMBERSHIP = 5;
const SEGMENT_START = 6;
const POSITION = 7;
const LZ4 = 1;
const LAST_OF_BATCH = 2;

export interface SegmentSink {
  /** What a segment says of the configuration when it begins, and then, where the log goes on. */
  membership(index: number, group: Group): void;
  position(index: number, term: number): void;
  /** A state covers everything up to `base`; what follows stays if `keepEntries`. */
  reset(base: Base, keepEntries: boolean): void;
  hardState(term: number, votedFor: string | null): void;
  /** Replaces what the log holds from `firstIndex` on. */
  entries(firstIndex: number, tags: readonly Tag[]): void;
}

/** Where reading stopped. */
export interface SegmentCursor {
  /** Segments with a lower sequence are passed over. */
  readonly from: number;
  /** '' before the first segment. */
  path: string;
  sequence: number;
  tag: number;
  offset: number;
  /** CRC of the last record. */
  chain: number;
  /** Records of a batch whose end has not been seen. */
  pending: ((sink: SegmentSink) => void)[];
}

export function startCursor(from: number): SegmentCursor {
  return { from, path: '', sequence: 0, tag: 0, offset: 0, chain: 0, pending: [] };
}

interface Record {
  readonly end: number;
  readonly crc: number;
  readonly chain: number;
  /** Below here the segment was durable when the record was written. */
  readonly durable: number;
  readonly type: number;
  readonly flags: number;
  readonly term: number;
  readonly firstIndex: number;
  readonly body: Uint8Array;
}

export function readSegment(cursor: SegmentCursor, files: NamedFiles, sink: SegmentSink): void {
  for (;;) {
    const current = files.find(([path]) => path === cursor.path);
    if (current !== undefined) readRecords(cursor, current[1].durableBytes(), sink);
    if (!moveOn(cursor, files)) return;
  }
}

/** What one segment, or the one after it, says of how much of it was durable. */
export interface Proof {
  /** Everything below was. */
  readonly bytes: number;
  /** Offset of the record that says so; the end of the file when the next segment does. */
  readonly at: number;
}

/** Of each segment that has one. */
export function proofs(files: NamedFiles): ReadonlyMap<string, Proof> {
  const found = new Map<string, Proof>();
  const paths = new Map<number, string>();
  for (const [path, file] of files) {
    const bytes = file.durableBytes();
    const header = headerOf(bytes);
    if (header === null) continue;
    paths.set(header.sequence, path);
    let proof: Proof = { bytes: 0, at: 0 };
    let chain = header.tag;
    let end = HEADER_BYTES;
    for (;;) {
      const record = recordAt(bytes, end, header.tag);
      if (record === null || record.chain !== chain) break;
      if (record.durable >= proof.bytes) proof = { bytes: record.durable, at: end };
      chain = record.crc;
      end = record.end;
    }
    if (proof.bytes > 0) found.set(path, proof);
    const before = paths.get(header.sequence - 1);
    if (before === undefined || end === HEADER_BYTES) continue;
    const earlier = files.find(([name]) => name === before)?.[1];
    const known = found.get(before);
    if (earlier !== undefined && known !== undefined)
      found.set(before, { ...known, at: earlier.durableBytes().length });
  }
  return found;
}

function readRecords(cursor: SegmentCursor, bytes: Uint8Array, sink: SegmentSink): void {
  for (;;) {
    const record = recordAt(bytes, cursor.offset, cursor.tag);
    if (record === null || record.chain !== cursor.chain) return;
    cursor.offset = record.end;
    cursor.chain = record.crc;
    collect(cursor, record);
    if ((record.flags & LAST_OF_BATCH) === 0) continue;
    for (const effect of cursor.pending) effect(sink);
    cursor.pending = [];
  }
}

/** To the segment that says it follows this one; at first, to the oldest there is. */
function moveOn(cursor: SegmentCursor, files: NamedFiles): boolean {
  const first = cursor.sequence === 0;
  let oldest: {
    readonly path: string;
    readonly sequence: number;
    readonly tag: number;
    readonly chain: number;
  } | null = null;
  for (const [path, file] of files) {
    const bytes = file.durableBytes();
    const header = headerOf(bytes);
    if (header === null || header.sequence < cursor.from) continue;
    if (!first && header.sequence !== cursor.sequence + 1) continue;
    const start = recordAt(bytes, HEADER_BYTES, header.tag);
    if (start === null || start.type !== SEGMENT_START) continue;
    const view = viewOf(start.body);
    const fits = view.getUint32(0, true) === cursor.offset && view.getUint32(4, true) === cursor.chain;
    if (!first && !fits) continue;
    if (oldest !== null && oldest.sequence < header.sequence) continue;
    oldest = { path, sequence: header.sequence, tag: header.tag, chain: start.chain };
  }
  if (oldest === null) return false;
  cursor.path = oldest.path;
  cursor.sequence = oldest.sequence;
  cursor.tag = oldest.tag;
  cursor.offset = HEADER_BYTES;
  cursor.chain = oldest.chain;
  return true;
}

function headerOf(bytes: Uint8Array): { readonly sequence: number; readonly tag: number } | null {
  if (bytes.length < HEADER_BYTES || bytes[0] !== 0x51) return null;
  const view = viewOf(bytes);
  const tag = crc32.buf(bytes.subarray(0, HEADER_BYTES - 4), 0) >>> 0;
  if (tag !== view.getUint32(HEADER_BYTES - 4, true)) return null;
  return { sequence: readNumber(view, 16), tag };
}

function recordAt(bytes: Uint8Array, offset: number, tag: number): Record | null {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return null;
  const view = viewOf(bytes);
  const length = view.getUint32(offset + 4, true);
  const end = offset + Math.ceil(length / 8) * 8;
  if (length < RECORD_HEADER_BYTES || end > bytes.length) return null;
  const crc = view.getUint32(offset, true);
  if (crc32.buf(bytes.subarray(offset + 4, end), (tag ^ offset) | 0) >>> 0 !== crc) return null;
  return {
    end,
    crc,
    chain: view.getUint32(offset + 8, true),
    durable: view.getUint32(offset + 12, true),
    type: bytes[offset + 16] as number,
    flags: bytes[offset + 17] as number,
    term: readNumber(view, offset + 24),
    firstIndex: readNumber(view, offset + 32),
    body: bytes.subarray(offset + RECORD_HEADER_BYTES, offset + length),
  };
}

function collect(cursor: SegmentCursor, record: Record): void {
  const { term, firstIndex } = record;
  switch (record.type) {
    case HARD_STATE: {
      const name = String.fromCharCode(...record.body);
      cursor.pending.push((sink) => sink.hardState(term, name === '' ? null : name));
      return;
    }
    case ENTRIES: {
      const tags = tagsOf(record);
      cursor.pending.push((sink) => sink.entries(firstIndex, tags));
      return;
    }
    case TRUNCATION:
      cursor.pending.push((sink) => sink.entries(firstIndex, []));
      return;
    case SNAPSHOT_MARK: {
      const view = viewOf(record.body);
      const groupIndex = readNumber(view, 0);
      const base = { index: firstIndex, term, group: groupFrom(record.body.subarray(9)), groupIndex };
      const keeps = record.body[8] === 1;
      cursor.pending.push((sink) => sink.reset(base, keeps));
      return;
    }
    case MEMBERSHIP: {
      const group = groupFrom(record.body);
      cursor.pending.push((sink) => sink.membership(firstIndex, group));
      return;
    }
    case POSITION:
      cursor.pending.push((sink) => sink.position(firstIndex - 1, term));
      return;
    default:
  }
}

function groupFrom(bytes: Uint8Array): Group {
  const lists = String.fromCharCode(...bytes)
    .split('\n')
    .map((names) => (names === '' ? [] : names.split(' ')));
  return { voters: lists[0] ?? [], votersOutgoing: lists[1] ?? [], learners: lists[2] ?? [] };
}

function tagsOf(record: Record): readonly Tag[] {
  const compressed = (record.flags & LZ4) !== 0;
  const body: Uint8Array = compressed ? uncompressSync(Buffer.from(record.body)) : record.body;
  const view = viewOf(body);
  const tags: Tag[] = [];
  for (let at = 0; at < body.length; ) {
    const head = view.getUint32(at, true);
    const length = Math.floor(head / 4);
    const payload = body.subarray(at + 4, at + 4 + length);
    tags.push(tagOf({ term: record.term, kind: KINDS[head % 4] ?? 'noop', payload }));
    at += 4 + length;
  }
  return tags;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readNumber(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
