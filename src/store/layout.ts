/** Keys and values of the database; described in `FORMAT.md`. */
import crc32 from 'crc-32';
import type { StoredRow } from '../machine/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import { isName, logIndex, type MemberId, memberId, type StreamId, term } from '../types/ids.ts';
import { corrupt } from './store-error.ts';
import type { RowPosition } from './types.ts';

export const FORMAT_KEY = 'format';
export const FORMAT_1 = 'quorate-store-1';
export const FORMAT_2 = 'quorate-store-2';
export const MEMBER_KEY = 'member';
/** Above every key of a stream, below the two keys of the store itself. */
export const STREAMS_END = ':';

/** What the index key of a stream holds. */
export interface IndexRecord {
  readonly mark: SnapshotMark;
  /** Of the rows that belong to the mark. */
  readonly generation: number;
  readonly installing: boolean;
}

/** Keys between these two, both excluded, or from the first on. */
export interface KeyRange {
  readonly gt: string;
  readonly lt: string;
}

const STREAM_DIGITS = 16;
const CHECKSUM_LENGTH = 8;

export function streamKey(stream: StreamId): string {
  return String(stream).padStart(STREAM_DIGITS, '0');
}

export function indexKey(stream: StreamId): string {
  return `${streamKey(stream)} index`;
}

/** Everything of the stream. */
export function streamRange(stream: StreamId): KeyRange {
  return { gt: `${streamKey(stream)} `, lt: `${streamKey(stream)}!` };
}

/** Rows of generation 0 stand where format 1 has them. */
function rowPrefix(stream: StreamId, generation: number): string {
  return `${streamKey(stream)} row${generation === 0 ? '' : generation}`;
}

export function rowKey(stream: StreamId, generation: number, { table, key }: RowPosition): string {
  return `${rowPrefix(stream, generation)} ${table} ${key}`;
}

/** The rows of a generation that come after `after`. */
export function rowRange(stream: StreamId, generation: number, after: RowPosition | null): KeyRange {
  const prefix = rowPrefix(stream, generation);
  return { gt: after === null ? `${prefix} ` : rowKey(stream, generation, after), lt: `${prefix}!` };
}

export function parseRow(path: string, stream: StreamId, generation: number, key: string, value: string): StoredRow {
  const [table, ...rest] = key.slice(rowPrefix(stream, generation).length + 1).split(' ');
  if (table !== undefined && rest.length > 0) return { table, key: rest.join(' '), value };
  throw unknownKey(path, key);
}

/** The generation that `key` belongs to; null for the index key. */
export function generationOf(path: string, key: string): number | null {
  const rest = key.slice(STREAM_DIGITS);
  if (rest === ' index') return null;
  const digits = /^ row(|[1-9]\d{0,14}) /.exec(rest)?.[1];
  if (digits === undefined) throw unknownKey(path, key);
  return Number(digits);
}

export function encodeIndex({ mark, generation, installing }: IndexRecord): string {
  const text = JSON.stringify({ ...markFields(mark), generation, installing });
  return `${text} ${checksum(text)}`;
}

/** LevelDB does not check what it reads from its tables, and nothing else vouches for this record. */
function checksum(text: string): string {
  return (crc32.str(text) >>> 0).toString(16).padStart(8, '0');
}

/** A mark as plain fields, for JSON. */
export function markFields({ index, term: at, configuration }: SnapshotMark): Readonly<Record<string, unknown>> {
  const { voters, votersOutgoing, learners } = configuration.configuration;
  return { index, term: at, configuration: { index: configuration.index, voters, votersOutgoing, learners } };
}

/** Format 1 had the bare index; see `StoredState.mark`. */
export function decodeIndex(path: string, text: string): IndexRecord {
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return legacyIndex(Number(text));
  const record = parseIndex(text);
  if (record === null) throw corrupt(path, `its applied index reads ${JSON.stringify(text.slice(0, 80))}`);
  return record;
}

function legacyIndex(index: number): IndexRecord {
  const configuration = { voters: [], votersOutgoing: [], learners: [] };
  const mark = { index: logIndex(index), term: term(0), configuration: { index: logIndex(0), configuration } };
  return { mark, generation: 0, installing: false };
}

function parseIndex(text: string): IndexRecord | null {
  const end = text.length - CHECKSUM_LENGTH - 1;
  if (end < 0 || text.slice(end) !== ` ${checksum(text.slice(0, end))}`) return null;
  const record = parseObject(text.slice(0, end));
  const mark = parseMark(record);
  const generation = asCount(record?.generation);
  const installing = record?.installing;
  if (mark === null || generation === null || typeof installing !== 'boolean') return null;
  return { mark, generation, installing };
}

/** null: not JSON, or not of an object. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return null;
  }
}

/** What `markFields` gave; null when it is not that. */
export function parseMark(fields: unknown): SnapshotMark | null {
  const record = asObject(fields);
  const placed = asObject(record?.configuration);
  const [index, at, placedIndex] = [asCount(record?.index), asCount(record?.term), asCount(placed?.index)];
  const voters = asMembers(placed?.voters);
  const votersOutgoing = asMembers(placed?.votersOutgoing);
  const learners = asMembers(placed?.learners);
  if (index === null || at === null || placedIndex === null) return null;
  if (voters === null || votersOutgoing === null || learners === null) return null;
  const configuration = { index: logIndex(placedIndex), configuration: { voters, votersOutgoing, learners } };
  return { index: logIndex(index), term: term(at), configuration };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
}

/** A number of something: a safe integer from 0 on. */
export function asCount(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function asMembers(value: unknown): readonly MemberId[] | null {
  if (!Array.isArray(value)) return null;
  const names: readonly unknown[] = value;
  const members = names.flatMap((name) => (typeof name === 'string' && isName(name) ? [memberId(name)] : []));
  return members.length === names.length ? members : null;
}

function unknownKey(path: string, key: string): Error {
  return corrupt(path, `it holds a key that nobody wrote: ${JSON.stringify(key.slice(0, 80))}`);
}
