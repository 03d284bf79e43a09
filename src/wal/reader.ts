/** Reads entries back from the segments, record by record through the index; every CRC is checked again. */
import type { Disk, DiskFile } from '../ports/disk.ts';
import type { Entry } from '../raft/types.ts';
import { must } from '../types/assert.ts';
import type { LogIndex, StreamId } from '../types/ids.ts';
import { WAL_OPEN_SEGMENTS_MAX } from '../types/limits.ts';
import { corrupt, deviceFailure } from './failure.ts';
import {
  asBuffer,
  claimedBytes,
  decodeRecord,
  RECORD_HEADER_BYTES,
  RECORD_TYPE,
  type ScannedRecord,
} from './record.ts';
import { decodeEntries } from './record-body.ts';
import type { Segment } from './segment.ts';
import type { StreamState } from './stream-state.ts';

const CHUNK_BYTES_MIN = 8 * 1024;
const CHUNK_BYTES_MAX = 1024 * 1024;

/** What a read wants; `replacedFrom` falls when entries are replaced while it runs. */
export interface ReadRequest {
  readonly stream: StreamId;
  readonly from: LogIndex;
  /** Durable. */
  readonly to: LogIndex;
  readonly bytesMax: number;
  replacedFrom: number;
}

interface Handle {
  readonly file: Promise<DiskFile>;
  users: number;
}

/** Part of a segment in memory. */
interface Chunk {
  readonly segment: Segment;
  readonly base: number;
  readonly bytes: Buffer;
}

export class WalReader {
  readonly #disk: Disk;
  readonly #segments: readonly Segment[];
  /** By path, least recently opened first. */
  readonly #handles = new Map<string, Handle>();

  constructor(disk: Disk, segments: readonly Segment[]) {
    this.#disk = disk;
    this.#segments = segments;
  }

  /** Entries from `request.from` on, at least one; none when they were replaced meanwhile. */
  async read(state: StreamState, request: ReadRequest): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    let chunk: Chunk | null = null;
    let bytes = 0;
    let next: number = request.from;
    while (next <= request.to) {
      const row = state.index.find(next as LogIndex);
      const { segment: sequence, offset } = state.index.address(row);
      const first = state.index.firstIndexOf(row);
      const oldest = this.#segments[0]?.sequence ?? 0;
      const segment = must(this.#segments[sequence - oldest], 'the index names a segment that is there');
      const found: { chunk: Chunk; record: ScannedRecord } = await this.#record(
        segment,
        offset,
        chunk,
        request.bytesMax,
      );
      if (request.replacedFrom <= request.to) return [];
      chunk = found.chunk;
      // The record's later entries may have been replaced: they are the next row's.
      const last = row + 1 < state.index.size ? state.index.firstIndexOf(row + 1) - 1 : request.to;
      for (const entry of entriesOf(segment, found.record, state, first)) {
        if (entry.index < next || entry.index > Math.min(last, request.to)) continue;
        if (entries.length > 0 && bytes + entry.payload.length > request.bytesMax) return entries;
        entries.push(entry);
        bytes += entry.payload.length;
        next = entry.index + 1;
      }
    }
    return entries;
  }

  /** The segment is about to go; nobody reads it any more. */
  async forget(segment: Segment): Promise<void> {
    const handle = this.#handles.get(segment.path);
    if (handle === undefined) return;
    this.#handles.delete(segment.path);
    await (await handle.file).close();
  }

  async close(): Promise<void> {
    for (const { file } of this.#handles.values()) await (await file).close();
    this.#handles.clear();
  }

  async #record(
    segment: Segment,
    offset: number,
    known: Chunk | null,
    bytesMax: number,
  ): Promise<{ readonly chunk: Chunk; readonly record: ScannedRecord }> {
    const room = segment.size - offset;
    let chunk = known;
    if (chunk === null || !holds(chunk, segment, offset, RECORD_HEADER_BYTES)) {
      const wanted = Math.min(Math.max(bytesMax, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX);
      chunk = await this.#load(segment, offset, Math.min(wanted, room));
    }
    const length = claimedBytes(chunk.bytes, offset - chunk.base, room);
    if (length === null || length === 0) throw corrupt(segment.label, offset, 'a record that was read before is gone');
    if (!holds(chunk, segment, offset, length)) chunk = await this.#load(segment, offset, length);
    const record = decodeRecord(chunk.bytes, offset - chunk.base, segment.tag, offset);
    if (record === null) throw corrupt(segment.label, offset, 'the CRC of a record is wrong now');
    return { chunk, record };
  }

  async #load(segment: Segment, base: number, length: number): Promise<Chunk> {
    const handle = this.#handle(segment.path);
    handle.users += 1;
    try {
      const file = await handle.file;
      const bytes = asBuffer(await file.read(base, length));
      if (bytes.length < length) throw corrupt(segment.label, base, 'the file became shorter');
      return { segment, base, bytes };
    } catch (error) {
      throw deviceFailure(error, segment.label, base);
    } finally {
      handle.users -= 1;
      await this.#evict();
    }
  }

  #handle(path: string): Handle {
    const known = this.#handles.get(path);
    if (known !== undefined) return known;
    const handle: Handle = { file: this.#disk.open(path, { create: false }), users: 0 };
    this.#handles.set(path, handle);
    return handle;
  }

  async #evict(): Promise<void> {
    for (const [path, { file, users }] of this.#handles) {
      if (this.#handles.size <= WAL_OPEN_SEGMENTS_MAX) return;
      if (users > 0) continue;
      this.#handles.delete(path);
      await (await file).close();
    }
  }
}

function holds(chunk: Chunk, segment: Segment, offset: number, length: number): boolean {
  return chunk.segment === segment && offset >= chunk.base && offset + length <= chunk.base + chunk.bytes.length;
}

function entriesOf(segment: Segment, record: ScannedRecord, state: StreamState, first: number): readonly Entry[] {
  const fits = record.type === RECORD_TYPE.entries && record.stream === state.stream && record.firstIndex === first;
  const entries = fits ? decodeEntries(record) : null;
  if (entries === null) throw corrupt(segment.label, record.offset, `it does not hold entry ${first} any more`);
  return entries;
}
