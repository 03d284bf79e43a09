/** Bodies of the record types: domain values ⇄ drafts. Pure. */
import { compressSync, uncompressSync } from 'lz4-napi';
import type { Configuration, Entry, EntryKind, HardState, SnapshotMark } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { isName, type LogIndex, logIndex, type MemberId, type StreamId, type Term, term } from '../types/ids.ts';
import { WAL_RECORD_BYTES_MAX, WAL_RECORD_BYTES_SPLIT } from '../types/limits.ts';
import {
  asBuffer,
  FLAG_CONFIGURATION,
  FLAG_LZ4,
  RECORD_TYPE,
  type RecordDraft,
  type RecordType,
  type ScannedRecord,
} from './record.ts';

const EMPTY = new Uint8Array(0);
/** Each entry of a batch: payload length × 4 + kind, then the payload. */
const ENTRY_HEADER_BYTES = 4;
const KINDS: readonly EntryKind[] = ['noop', 'command', 'configuration'];
const LZ4_PREFIX_BYTES = 4;
/** Of a snapshot mark: index of the configuration, and whether entries stay. */
const MARK_BODY_HEAD_BYTES = 9;

function draft(type: RecordType, fields: Partial<RecordDraft>): RecordDraft {
  return { type, flags: 0, stream: 0, term: 0, firstIndex: 0, count: 0, rawLength: 0, body: EMPTY, ...fields };
}

// ---------------------------------------------------------------------------------------------- entries

function runEnd(entries: readonly Entry[], start: number): number {
  const first = entries[start];
  let bytes = 0;
  let end = start;
  for (; end < entries.length; end += 1) {
    const entry = entries[end];
    if (entry === undefined || entry.term !== first?.term) break;
    bytes += ENTRY_HEADER_BYTES + entry.payload.length;
    if (end > start && bytes > WAL_RECORD_BYTES_SPLIT) break;
  }
  return end;
}

function packEntries(entries: readonly Entry[]): { readonly body: Buffer; readonly configuration: boolean } {
  let bytes = 0;
  for (const entry of entries) bytes += ENTRY_HEADER_BYTES + entry.payload.length;
  assert(bytes < WAL_RECORD_BYTES_MAX / 2, `an entry of ${bytes} bytes is too large for the log`);
  const body = Buffer.allocUnsafe(bytes);
  let at = 0;
  let configuration = false;
  for (const entry of entries) {
    configuration ||= entry.kind === 'configuration';
    body.writeUInt32LE(entry.payload.length * 4 + KINDS.indexOf(entry.kind), at);
    body.set(entry.payload, at + ENTRY_HEADER_BYTES);
    at += ENTRY_HEADER_BYTES + entry.payload.length;
  }
  return { body, configuration };
}

/** One record for each run of entries of one term, cut at {@link WAL_RECORD_BYTES_SPLIT}. */
export function entryDrafts(stream: StreamId, entries: readonly Entry[], compressBytesMin: number): RecordDraft[] {
  const drafts: RecordDraft[] = [];
  for (let start = 0; start < entries.length; ) {
    const end = runEnd(entries, start);
    const run = entries.slice(start, end);
    const { body, configuration } = packEntries(run);
    const packed = body.length > compressBytesMin ? compressSync(body) : body;
    const pays = packed.length <= body.length - body.length / 8;
    drafts.push(
      draft(RECORD_TYPE.entries, {
        flags: (pays ? FLAG_LZ4 : 0) | (configuration ? FLAG_CONFIGURATION : 0),
        stream,
        term: run[0]?.term ?? 0,
        firstIndex: run[0]?.index ?? 0,
        count: run.length,
        rawLength: pays ? body.length : 0,
        body: pays ? packed : body,
      }),
    );
    start = end;
  }
  return drafts;
}

function unpackBody(record: ScannedRecord): Buffer | null {
  const body = record.buffer.subarray(record.bodyStart, record.bodyEnd);
  if ((record.flags & FLAG_LZ4) === 0) return body;
  // The size in front decides what the library allocates: believe it only when the header says the same.
  if (body.length < LZ4_PREFIX_BYTES || body.readUInt32LE(0) !== record.rawLength) return null;
  if (record.rawLength > WAL_RECORD_BYTES_MAX) return null;
  try {
    return asBuffer(uncompressSync(body));
  } catch {
    return null;
  }
}

/** Entries of the record; payloads are views. null when the body is not what its header says. */
export function decodeEntries(record: ScannedRecord): Entry[] | null {
  const body = unpackBody(record);
  if (body === null) return null;
  const entries: Entry[] = [];
  let at = 0;
  while (at + ENTRY_HEADER_BYTES <= body.length) {
    const head = body.readUInt32LE(at);
    const kind = KINDS[head % 4];
    const start = at + ENTRY_HEADER_BYTES;
    const length = Math.floor(head / 4);
    if (kind === undefined || start + length > body.length) return null;
    const payload = new Uint8Array(body.buffer, body.byteOffset + start, length);
    entries.push({ index: logIndex(record.firstIndex + entries.length), term: term(record.term), kind, payload });
    at = start + length;
  }
  return at === body.length && entries.length === record.count ? entries : null;
}

// ---------------------------------------------------------------------------------------------- state of a stream

export function hardStateDraft(stream: StreamId, state: HardState): RecordDraft {
  return draft(RECORD_TYPE.hardState, { stream, term: state.term, body: Buffer.from(state.votedFor ?? '', 'latin1') });
}

export function decodeHardState(record: ScannedRecord): HardState | null {
  const name = record.buffer.toString('latin1', record.bodyStart, record.bodyEnd);
  if (name !== '' && !isName(name)) return null;
  return { term: term(record.term), votedFor: name === '' ? null : (name as MemberId) };
}

/** Entries from `from` on are no longer part of the log. */
export function truncationDraft(stream: StreamId, from: LogIndex): RecordDraft {
  return draft(RECORD_TYPE.truncation, { stream, firstIndex: from });
}

/** The stream's log goes on at `next`; `lastTerm` is the term of the entry before. */
export function positionDraft(stream: StreamId, next: LogIndex, lastTerm: Term): RecordDraft {
  return draft(RECORD_TYPE.position, { stream, firstIndex: next, term: lastTerm });
}

/** An image covers everything up to the mark; `keepEntries`: what follows it stays. */
export function snapshotMarkDraft(stream: StreamId, mark: SnapshotMark, keepEntries: boolean): RecordDraft {
  const { index, configuration } = mark.configuration;
  const text = Buffer.from(membershipText(configuration), 'latin1');
  const body = Buffer.alloc(MARK_BODY_HEAD_BYTES + text.length);
  body.writeUInt32LE(index % 2 ** 32, 0);
  body.writeUInt32LE(Math.floor(index / 2 ** 32), 4);
  body.writeUInt8(keepEntries ? 1 : 0, 8);
  body.set(text, MARK_BODY_HEAD_BYTES);
  return draft(RECORD_TYPE.snapshotMark, { stream, term: mark.term, firstIndex: mark.index, body });
}

export function decodeSnapshotMark(
  record: ScannedRecord,
): { readonly mark: SnapshotMark; readonly keepEntries: boolean } | null {
  const body = record.buffer.subarray(record.bodyStart, record.bodyEnd);
  if (body.length < MARK_BODY_HEAD_BYTES) return null;
  const configuration = membershipFrom(body.toString('latin1', MARK_BODY_HEAD_BYTES));
  const index = body.readUInt32LE(0) + body.readUInt32LE(4) * 2 ** 32;
  const keep = body.readUInt8(8);
  if (configuration === null || keep > 1 || !Number.isSafeInteger(index)) return null;
  const placed = { index: logIndex(index), configuration };
  const mark = { index: logIndex(record.firstIndex), term: term(record.term), configuration: placed };
  return { mark, keepEntries: keep === 1 };
}

/** Everything before it is durable. */
export function syncMarkDraft(): RecordDraft {
  return draft(RECORD_TYPE.syncMark, {});
}

/** Neither occurs in a member id. */
const LIST_SEPARATOR = '\n';
const NAME_SEPARATOR = ' ';

/** `index`: of the entry that holds the configuration, 0 for the one that the operator gave. */
export function membershipDraft(stream: StreamId, index: LogIndex, configuration: Configuration): RecordDraft {
  const body = Buffer.from(membershipText(configuration), 'latin1');
  return draft(RECORD_TYPE.membership, { stream, firstIndex: index, body });
}

function membershipText({ voters, votersOutgoing, learners }: Configuration): string {
  return [voters, votersOutgoing, learners].map((names) => names.join(NAME_SEPARATOR)).join(LIST_SEPARATOR);
}

function sortedNames(text: string): MemberId[] | null {
  const names = text === '' ? [] : text.split(NAME_SEPARATOR);
  const sound = names.every((name, i) => isName(name) && (i === 0 || (names[i - 1] ?? '') < name));
  return sound ? (names as MemberId[]) : null;
}

export function decodeMembership(record: ScannedRecord): Configuration | null {
  return membershipFrom(record.buffer.toString('latin1', record.bodyStart, record.bodyEnd));
}

function membershipFrom(text: string): Configuration | null {
  const lists = text.split(LIST_SEPARATOR);
  const [voters, votersOutgoing, learners] = lists.map(sortedNames);
  if (lists.length !== 3 || !voters || !votersOutgoing || !learners) return null;
  return { voters, votersOutgoing, learners };
}

// ---------------------------------------------------------------------------------------------- segment start

/** Where the segment before ended, so that a lost end of it is noticed. All zero in the first segment. */
export interface SegmentLink {
  readonly previousEnd: number;
  readonly previousChain: number;
}

export function segmentStartDraft(link: SegmentLink): RecordDraft {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(link.previousEnd, 0);
  body.writeUInt32LE(link.previousChain, 4);
  return draft(RECORD_TYPE.segmentStart, { body });
}

export function decodeSegmentStart(record: ScannedRecord): SegmentLink | null {
  if (record.bodyEnd - record.bodyStart !== 8) return null;
  return {
    previousEnd: record.buffer.readUInt32LE(record.bodyStart),
    previousChain: record.buffer.readUInt32LE(record.bodyStart + 4),
  };
}
