/**
 * Group commit (W2, W3, W5). Two lanes run side by side: one writes groups of batches at the tail, one syncs.
 * What is appended while a sync runs is written meanwhile and shares the next sync.
 *
 * WR1  Offsets below `#durable` of the active segment are durable; callers are answered in order, after it moved.
 *      Behind it lie at most groups that someone waits for, and one sync mark that nobody does.
 * WR2  A group lies in one segment. The next segment is written to only after all of the one before is durable.
 * WR3  After the first failure nothing is written, and every call, waiting or later, rejects with that failure.
 */
import type { Clock } from '../ports/clock.ts';
import type { Disk, DiskFile } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import { assert, must } from '../types/assert.ts';
import type { LogIndex, StreamId } from '../types/ids.ts';
import { logIndex, streamId } from '../types/ids.ts';
import { WAL_GROUP_BYTES_MAX, WAL_UNSYNCED_BYTES_MAX } from '../types/limits.ts';
import { deviceFailure } from './failure.ts';
import { encodeRecord, RECORD_TYPE, type RecordDraft, recordBytes, SEGMENT_HEADER_BYTES } from './record.ts';
import type { SegmentLink } from './record-body.ts';
import type { RecoveredLog } from './recovery.ts';
import { noteStarts, type Segment } from './segment.ts';
import type { SegmentPool } from './segment-pool.ts';
import { SpareSegment } from './spare-segment.ts';
import { encodeSyncMark, SYNC_MARK_BYTES } from './sync-mark.ts';
import type { WalOptions } from './types.ts';

/** Durable as a whole or not at all. */
interface Batch {
  readonly drafts: readonly RecordDraft[];
  readonly bytes: number;
  /** Called once, when durable, with the place of each record. */
  readonly commit: (segment: Segment, offsets: readonly number[]) => void;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** Filled in when written. */
  offsets: number[];
}

interface Group {
  readonly batches: readonly Batch[];
  readonly bytes: Buffer;
  readonly chain: number;
}

/** The records that start a segment: everything that the log says so far, but the entries. */
export type StartRecords = (link: SegmentLink) => readonly RecordDraft[];

export class WalWriter {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #options: WalOptions;
  readonly #startRecords: StartRecords;
  readonly #segments: Segment[];
  readonly #pool: SegmentPool;
  #active: Segment;
  #file: DiskFile;
  /** End of what was written, and of the mark that is being written. */
  #end: number;
  #chain: number;
  #durable: number;
  #empty: boolean;
  #link: SegmentLink;
  /** The last record is a sync mark. */
  #marked: boolean;
  #marking: Promise<void> | null = null;
  readonly #spare: SpareSegment;
  /** Where each stream goes on at the start of the active segment, until that is durable. */
  #starts: ReadonlyMap<StreamId, LogIndex> = new Map();
  #queue: Batch[] = [];
  #writing: readonly Batch[] = [];
  #unsynced: Batch[] = [];
  #syncing: readonly Batch[] = [];
  #writeLane: Promise<void> | null = null;
  #syncLane: Promise<void> | null = null;
  #failure: Error | null = null;

  constructor(disk: Disk, clock: Clock, options: WalOptions, log: RecoveredLog, startRecords: StartRecords) {
    this.#disk = disk;
    this.#clock = clock;
    this.#options = options;
    this.#startRecords = startRecords;
    this.#segments = log.segments;
    this.#pool = log.pool;
    this.#spare = new SpareSegment(log.spare, () => this.#create(), {
      space: (low) => options.observe?.({ kind: 'space', low }),
      fail: (error) => this.#fail(error),
    });
    const { segment, file, end, durable, chain, empty, link, marked } = log.position;
    this.#active = segment;
    this.#file = file;
    this.#end = end;
    this.#chain = chain;
    this.#durable = durable;
    this.#empty = empty;
    this.#link = link;
    this.#marked = marked;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  get spaceLow(): boolean {
    return this.#spare.low;
  }

  /** Bytes of the active segment that records take. */
  get end(): number {
    return this.#end;
  }

  /** The first failure is final (WR3). */
  abort(error: unknown): void {
    this.#fail(error);
  }

  /** Tries again to find room for a segment. Resolves with whether it is still missing. */
  async probeSpace(): Promise<boolean> {
    return this.#failure === null ? this.#spare.probe() : this.#spare.low;
  }

  /** Queues one batch. Resolves when it is durable and `commit` has run; rejects after a failure (WR3). */
  submit(drafts: readonly RecordDraft[], commit: Batch['commit']): Promise<void> {
    assert(drafts.length > 0, 'a batch has records');
    if (this.#failure !== null) return Promise.reject(this.#failure);
    let bytes = 0;
    for (const draft of drafts) bytes += recordBytes(draft);
    const done = new Promise<void>((resolve, reject) => {
      this.#queue.push({ drafts, bytes, commit, resolve, reject, offsets: [] });
    });
    this.#writeLane ??= this.#writeQueue();
    return done;
  }

  waitForRoom(wait: boolean): void {
    this.#spare.waitForRoom(wait);
  }

  /** Waits for what is in flight, makes the last sync mark durable too and closes the file. */
  async close(): Promise<void> {
    this.#spare.waitForRoom(false);
    await this.#idle();
    if (this.#failure === null) await this.#syncMark().catch((error: unknown) => this.#fail(error));
    await this.#file.close();
  }

  async #idle(): Promise<void> {
    for (;;) {
      const lane: Promise<unknown> | null = this.#writeLane ?? this.#syncLane ?? this.#marking ?? this.#spare.busy;
      if (lane === null) return;
      await lane;
    }
  }

  // ------------------------------------------------------------------------------------------- write lane

  async #writeQueue(): Promise<void> {
    // Let the caller's turn end: what it appends in one turn shares a write.
    await null;
    try {
      while (this.#queue.length > 0 && this.#failure === null) await this.#writeNext();
    } catch (error) {
      this.#fail(error);
    }
    this.#writeLane = null;
  }

  async #writeNext(): Promise<void> {
    if (this.#end - this.#durable >= WAL_UNSYNCED_BYTES_MAX) {
      await must(this.#syncLane, 'what is written is being synced');
      return;
    }
    const group = this.#takeGroup();
    if (group === null) {
      await this.#makeRoom();
      return;
    }
    // A mark that is still being written does not delay the group, but no sync may count it as written before it is.
    await Promise.all([this.#file.write(this.#end, group.bytes), this.#marking]);
    if (this.#failure !== null) return;
    this.#writing = [];
    this.#end += group.bytes.length;
    this.#chain = group.chain;
    this.#empty = false;
    this.#marked = false;
    this.#unsynced.push(...group.batches);
    this.#syncLane ??= this.#syncWritten();
  }

  /** The next group, encoded; null when not even one batch fits the active segment. */
  #takeGroup(): Group | null {
    const start = this.#empty ? this.#startRecords(this.#link) : [];
    let bytes = start.reduce((sum, draft) => sum + recordBytes(draft), 0);
    const room = this.#active.size - this.#end - SYNC_MARK_BYTES;
    let count = 0;
    for (const batch of this.#queue) {
      if (bytes + batch.bytes > room) break;
      if (count > 0 && bytes + batch.bytes > WAL_GROUP_BYTES_MAX) break;
      bytes += batch.bytes;
      count += 1;
    }
    if (count === 0) return null;
    const batches = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    this.#writing = batches;
    return this.#encode(start, batches, bytes);
  }

  #encode(start: readonly RecordDraft[], batches: readonly Batch[], length: number): Group {
    const bytes = Buffer.alloc(length);
    let at = 0;
    let chain = this.#chain;
    const put = (draft: RecordDraft, last: boolean): number => {
      const offset = this.#end + at;
      chain = encodeRecord(bytes, at, { tag: this.#active.tag, offset, chain, durable: this.#durable }, draft, last);
      at += recordBytes(draft);
      return offset;
    };
    for (const [i, draft] of start.entries()) put(draft, i === start.length - 1);
    if (start.length > 0) this.#starts = startsOf(start);
    for (const batch of batches) {
      const last = batch.drafts.length - 1;
      batch.offsets = batch.drafts.map((draft, i) => put(draft, i === last));
    }
    assert(at === length, 'a group fills its buffer');
    return { batches, bytes, chain };
  }

  // ------------------------------------------------------------------------------------------- sync lane

  async #syncWritten(): Promise<void> {
    try {
      while (this.#unsynced.length > 0 && this.#failure === null) await this.#syncOnce();
      this.#markWhenIdle();
    } catch (error) {
      this.#fail(error);
    }
    this.#syncLane = null;
  }

  async #syncOnce(): Promise<void> {
    const batches = this.#unsynced;
    const segment = this.#active;
    const end = this.#end;
    const bytes = end - this.#durable;
    this.#unsynced = [];
    this.#syncing = batches;
    const startMs = this.#clock.monotonicMs();
    await this.#file.sync();
    if (this.#failure !== null) return;
    const durationMs = this.#clock.monotonicMs() - startMs;
    this.#durable = end;
    if (segment.starts === null) noteStarts(segment, this.#starts);
    let records = 0;
    for (const batch of batches) {
      records += batch.drafts.length;
      batch.commit(segment, batch.offsets);
    }
    // Only now: should a commit throw, all of them are still among those who wait (WR3).
    this.#syncing = [];
    for (const batch of batches) batch.resolve();
    this.#options.observe?.({ kind: 'synced', records, bytes, durationMs });
    this.#prepareAhead();
  }

  // ------------------------------------------------------------------------------------------- sync mark

  /**
   * Everything written is durable, and no group waits that would say so. One write and no sync: the next group's sync
   * takes the mark along, and a mark asks for no mark.
   */
  #markWhenIdle(): void {
    if (this.#failure !== null || this.#queue.length + this.#writing.length > 0) return;
    assert(this.#durable === this.#end && !this.#marked, 'a sync has just ended');
    if (this.#end + SYNC_MARK_BYTES > this.#active.size) return;
    const { bytes, chain } = encodeSyncMark(this.#active.tag, this.#end, this.#chain);
    this.#marking = this.#writeMark(this.#end, bytes);
    this.#end += bytes.length;
    this.#chain = chain;
    this.#marked = true;
  }

  async #writeMark(offset: number, bytes: Buffer): Promise<void> {
    try {
      await this.#file.write(offset, bytes);
    } catch (error) {
      this.#fail(error);
    }
    this.#marking = null;
  }

  /** Nothing is in flight: what may be left to sync is a mark. */
  async #syncMark(): Promise<void> {
    if (this.#end === this.#durable) return;
    await this.#file.sync();
    this.#durable = this.#end;
  }

  // ------------------------------------------------------------------------------------------- segments

  /** Half of the segment is used: prepare the next one, so that the change does not stall the hot path. */
  #prepareAhead(): void {
    if (this.#durable * 2 >= this.#active.size) this.#spare.prepareAhead();
  }

  #create(): Promise<Segment> {
    const createdMs = Math.floor(this.#clock.wallMs());
    const plan = { sequence: this.#active.sequence + 1, createdMs, previousDurable: this.#durable };
    return this.#pool.create({ ...plan, preparedBytes: this.#options.segmentBytes });
  }

  /** The next batch does not fit: an empty segment grows, a used one gives way to the next (WR2). */
  async #makeRoom(): Promise<void> {
    while (this.#syncLane !== null) await this.#syncLane;
    await this.#marking;
    if (this.#failure !== null) return;
    if (this.#empty) await this.#grow();
    else await this.#enterNext();
  }

  async #grow(): Promise<void> {
    const start = this.#startRecords(this.#link).reduce((sum, draft) => sum + recordBytes(draft), 0);
    const size = this.#end + start + must(this.#queue[0], 'a batch waits').bytes + SYNC_MARK_BYTES;
    await this.#spare.whenRoom(() => this.#file.allocate(size));
    await this.#file.sync();
    this.#active.size = size;
  }

  async #enterNext(): Promise<void> {
    const next = await this.#spare.take(() => this.#failure !== null);
    if (next === null) return;
    const file = await this.#disk.open(next.path, { create: false });
    await this.#syncMark();
    await this.#file.close();
    await this.#options.hardStateCopy?.noteSegment(next.sequence);
    this.#link = { previousEnd: this.#end, previousChain: this.#chain };
    this.#segments.push(next);
    this.#active = next;
    this.#file = file;
    this.#end = SEGMENT_HEADER_BYTES;
    this.#durable = SEGMENT_HEADER_BYTES;
    this.#chain = next.tag;
    this.#empty = true;
  }

  // ------------------------------------------------------------------------------------------- failure

  /** WR3. Rejects whoever waits, in order. */
  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    const known = error instanceof Error && !(error instanceof DiskError);
    const failure = known ? error : deviceFailure(error, this.#active.label, this.#end);
    this.#failure = failure;
    const waiting = [...this.#syncing, ...this.#unsynced, ...this.#writing, ...this.#queue];
    this.#syncing = [];
    this.#unsynced = [];
    this.#writing = [];
    this.#queue = [];
    for (const batch of waiting) batch.reject(failure);
  }
}

/** What the start records of a segment say: where each stream goes on. */
function startsOf(start: readonly RecordDraft[]): ReadonlyMap<StreamId, LogIndex> {
  const positions = start.filter(({ type }) => type === RECORD_TYPE.position);
  return new Map(positions.map(({ stream, firstIndex }) => [streamId(stream), logIndex(firstIndex)]));
}
