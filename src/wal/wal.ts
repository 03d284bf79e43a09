/** The write-ahead log over a disk: one physical log, the records of every stream in it. Format: `FORMAT.md`. */
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import type { Configuration, Entry, HardState, SnapshotMark } from '../raft/types.ts';
import { assert, must } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, term } from '../types/ids.ts';
import { WAL_SEGMENT_BYTES_MAX, WAL_SEGMENT_BYTES_MIN } from '../types/limits.ts';
import { firstNeeded, noteReset, noteTruncation } from './compaction.ts';
import { corrupt, deviceFailure } from './failure.ts';
import { newerHardState, sameHardState } from './hard-state-copy.ts';
import { LogShape } from './log-shape.ts';
import { type ReadRequest, WalReader } from './reader.ts';
import { RECORD_TYPE, type RecordDraft } from './record.ts';
import {
  entryDrafts,
  hardStateDraft,
  membershipDraft,
  positionDraft,
  type SegmentLink,
  segmentStartDraft,
  snapshotMarkDraft,
  truncationDraft,
} from './record-body.ts';
import { type RecoveredLog, recover } from './recovery.ts';
import { LOG_FOLDER, labelOf, type Segment } from './segment.ts';
import type { SegmentPool } from './segment-pool.ts';
import { hardStateProblem, resetProblem, StreamState } from './stream-state.ts';
import {
  type HardStateCopy,
  type RecoveredStream,
  type Wal,
  type WalAppend,
  WalError,
  type WalOptions,
} from './types.ts';
import { WalWriter } from './writer.ts';

/**
 * Opens the log in the disk's root, or starts one. Reads all of it, cuts a torn tail and makes what is left durable.
 * Rejects with {@link WalError}: `foreign`, `corrupt`, `version` or `device`; the message says what to do.
 */
export async function openWal(disk: Disk, clock: Clock, options: WalOptions): Promise<Wal> {
  const { segmentBytes } = options;
  assert(segmentBytes >= WAL_SEGMENT_BYTES_MIN, `a segment has at least ${WAL_SEGMENT_BYTES_MIN} bytes`);
  assert(segmentBytes <= WAL_SEGMENT_BYTES_MAX, `a segment has at most ${WAL_SEGMENT_BYTES_MAX} bytes`);
  try {
    const wal = new SegmentedWal(disk, clock, options, await recover(disk, clock, options));
    await wal.reconcile(labelOf(disk, LOG_FOLDER));
    return wal;
  } catch (error) {
    throw error instanceof DiskError ? deviceFailure(error, error.path, 0) : error;
  }
}

/** A stream as it will be when everything in the queue is durable: what the next append has to follow. */
interface QueuedView {
  shape: LogShape;
  hardState: HardState;
  /** First replaced index of each append that is not durable yet, in order. */
  readonly replacing: number[];
}

class SegmentedWal implements Wal {
  readonly #options: WalOptions;
  /** What is durable. */
  readonly #states: Map<StreamId, StreamState>;
  readonly #queued = new Map<StreamId, QueuedView>();
  readonly #writer: WalWriter;
  readonly #reader: WalReader;
  readonly #reads = new Map<ReadRequest, Promise<unknown>>();
  /** By sequence; shared with the writer and the reader. */
  readonly #segments: Segment[];
  readonly #pool: SegmentPool;
  #compacting: Promise<unknown> = Promise.resolve();
  #lastAppend: Promise<void> = Promise.resolve();
  /** The last copy of a hard state. They are written in order. */
  #copied: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(disk: Disk, clock: Clock, options: WalOptions, log: RecoveredLog) {
    this.#options = options;
    this.#states = log.streams;
    for (const state of log.streams.values()) this.#queued.set(state.stream, viewOf(state));
    this.#segments = log.segments;
    this.#pool = log.pool;
    this.#writer = new WalWriter(disk, clock, options, log, (link) => this.#startRecords(link));
    this.#reader = new WalReader(disk, log.segments);
  }

  get streams(): readonly RecoveredStream[] {
    return sortedStates(this.#states).map((state) => state.recovered());
  }

  get newestSegment(): number {
    return must(this.#segments.at(-1), 'a log has a segment').sequence;
  }

  /**
   * Takes over what the copy of hard states says and the log does not: a crash may come between the two, and either may have
   * been lost. The newer one counts, as both are written before a vote is given. Rejects when they contradict one another. The
   * copy is not written: whoever knows that the log is complete does that (`openStorage`).
   */
  async reconcile(label: string): Promise<void> {
    const copy = this.#options.hardStateCopy;
    const sound = copy?.recovered.kind === 'sound' ? copy.recovered : null;
    const copied = sound?.states ?? new Map<StreamId, HardState>();
    const active = this.newestSegment;
    if (sound !== null && sound.segment < active) await copy?.noteSegment(active);
    for (const [stream, { term: known }] of copied) {
      if (known === 0 || this.#states.has(stream)) continue;
      throw await this.#refuse(
        corrupt(label, 0, `stream ${stream} is gone, but the copy of its hard state is of term ${known}`),
      );
    }
    for (const { stream, hardState } of sortedStates(this.#states)) {
      const other = copied.get(stream);
      const newest = other === undefined ? hardState : newerHardState(hardState, other);
      if (newest === null)
        throw await this.#refuse(corrupt(label, 0, `stream ${stream} has another vote than its copy`));
      if (newest !== hardState && !sameHardState(newest, hardState)) {
        await this.append({ stream, hardState: newest, entries: [] });
      }
    }
  }

  async #refuse(error: WalError): Promise<WalError> {
    await this.close();
    return error;
  }

  get spaceLow(): boolean {
    return this.#writer.spaceLow;
  }

  async probeSpace(): Promise<boolean> {
    this.#refuseWhenClosed();
    return this.#writer.probeSpace();
  }

  bootstrap(stream: StreamId, configuration: Configuration): Promise<void> {
    const placed = { index: logIndex(0), configuration };
    const mark = { index: logIndex(0), term: term(0), configuration: placed };
    return this.start(stream, { term: term(0), votedFor: null }, mark);
  }

  async start(stream: StreamId, hardState: HardState, mark: SnapshotMark): Promise<void> {
    this.#refuseWhenClosed();
    assert(!this.#queued.has(stream), `stream ${stream} is started once`);
    assert(mark.term <= hardState.term, `an image of term ${mark.term} in term ${hardState.term}`);
    assert(mark.configuration.index <= mark.index, 'the configuration was in force at the mark');
    const state = new StreamState(stream, hardState, mark);
    this.#queued.set(stream, viewOf(state));
    await this.#submit(describe(state), () => this.#states.set(stream, state), { stream, hardState });
  }

  async reset(stream: StreamId, mark: SnapshotMark, keepEntries: boolean): Promise<void> {
    this.#refuseWhenClosed();
    const queued = must(this.#queued.get(stream), `stream ${stream} was started`);
    const problem = resetProblem(queued.shape, mark, keepEntries);
    assert(problem === null, `stream ${stream} is reset to entry ${mark.index}: ${problem}`);
    assert(mark.term <= queued.hardState.term, `an image of term ${mark.term} in term ${queued.hardState.term}`);
    if (!keepEntries) {
      queued.shape = LogShape.after(mark.index, mark.term);
      queued.replacing.push(logIndex(0));
      this.#cancelReads(stream, 0);
    } else if (mark.index >= queued.shape.firstIndex) queued.shape.compact(logIndex(mark.index + 1));
    const draft = snapshotMarkDraft(stream, mark, keepEntries);
    await this.#submit([draft], () => this.#commitReset(stream, mark, keepEntries));
  }

  compact(upTo: ReadonlyMap<StreamId, LogIndex>): Promise<ReadonlyMap<StreamId, LogIndex>> {
    this.#refuseWhenClosed();
    const compacted = this.#compacting.then(() => this.#compact(upTo));
    this.#compacting = compacted.catch(() => undefined);
    return compacted;
  }

  bytesAfter(stream: StreamId, index: LogIndex): number {
    const state = this.#states.get(stream);
    if (state === undefined || index >= state.shape.lastIndex) return 0;
    const first = logIndex(Math.max(index + 1, state.shape.firstIndex));
    const { segment, offset } = state.index.address(state.index.find(first));
    let bytes = -offset;
    for (const { sequence, size } of this.#segments) if (sequence >= segment) bytes += size;
    const active = must(this.#segments.at(-1), 'a log has a segment');
    return bytes - active.size + this.#writer.end;
  }

  async append(append: WalAppend): Promise<void> {
    this.#refuseWhenClosed();
    const queued = must(this.#queued.get(append.stream), `stream ${append.stream} was started`);
    const { hardState, entries } = append;
    if (hardState === null && entries.length === 0) return this.#lastAppend;
    this.#assertFollows(queued, append);
    const first = entries[0];
    const replacing = first !== undefined && first.index <= queued.shape.lastIndex ? first.index : null;
    const drafts: RecordDraft[] = [];
    if (hardState !== null) drafts.push(hardStateDraft(append.stream, hardState));
    if (replacing !== null) drafts.push(truncationDraft(append.stream, replacing));
    drafts.push(...entryDrafts(append.stream, entries, this.#options.compressBytesMin));
    this.#enqueue(queued, append, drafts, replacing);
    await this.#submit(drafts, (segment, offsets) => this.#commit(append, drafts, segment, offsets), append);
  }

  async read(stream: StreamId, from: LogIndex, to: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    this.#refuseWhenClosed();
    const state = this.#states.get(stream);
    const queued = this.#queued.get(stream);
    if (state === undefined || queued === undefined) return [];
    const readableTo = Math.min(state.shape.lastIndex, ...queued.replacing.map((index) => index - 1));
    const last = Math.min(to, readableTo);
    if (from < state.shape.firstIndex || from > last) return [];
    const request: ReadRequest = { stream, from, to: logIndex(last), bytesMax, replacedFrom: Number.POSITIVE_INFINITY };
    const reading = this.#reader.read(state, request);
    this.#reads.set(request, reading);
    try {
      return await reading;
    } finally {
      this.#reads.delete(request);
    }
  }

  waitForRoom(wait: boolean): void {
    this.#writer.waitForRoom(wait);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#reads.values());
    await this.#compacting;
    await this.#writer.close();
    await this.#reader.close();
    await this.#options.hardStateCopy?.close();
  }

  #refuseWhenClosed(): void {
    if (this.#writer.failure !== null) throw this.#writer.failure;
    if (this.#closing !== null) throw new WalError('closed', '', 0, 'the log is closed: open it again to use it.');
  }

  /** Resolves when the batch, the copy of its hard state, and both of all earlier ones are durable. */
  #submit(
    drafts: readonly RecordDraft[],
    commit: (segment: Segment, offsets: readonly number[]) => void,
    vote?: { readonly stream: StreamId; readonly hardState: HardState | null },
  ): Promise<void> {
    const copy = this.#options.hardStateCopy;
    const written = this.#writer.submit(drafts, commit);
    if (copy === undefined) {
      this.#lastAppend = written;
      return written;
    }
    const hardState = vote?.hardState ?? null;
    if (vote !== undefined && hardState !== null) this.#copied = this.#copyHardState(copy, vote.stream, hardState);
    this.#lastAppend = Promise.all([this.#copied, written]).then(() => undefined);
    return this.#lastAppend;
  }

  /** Bugs of the caller, caught before they are durable. */
  #assertFollows(queued: QueuedView, append: WalAppend): void {
    const { hardState, entries } = append;
    const problem = hardState === null ? null : hardStateProblem(queued.hardState, hardState);
    assert(problem === null, `hard state of stream ${append.stream}: ${problem}`);
    const currentTerm = hardState?.term ?? queued.hardState.term;
    const first = entries[0];
    const shape = queued.shape.copy();
    if (first !== undefined && first.index >= shape.firstIndex && first.index <= shape.lastIndex)
      shape.truncate(first.index);
    for (const entry of entries) {
      const follows = shape.appendProblem(entry.index, 1, entry.term);
      assert(follows === null, `entries of stream ${append.stream}: ${follows}`);
      assert(entry.term <= currentTerm, `entry ${entry.index} of term ${entry.term} in term ${currentTerm}`);
      const known = entry.kind !== 'configuration' || this.#options.decodeConfiguration !== undefined;
      assert(known, 'the log was opened with a decoder for configurations');
      shape.append(entry.index, 1, entry.term);
    }
  }

  #enqueue(queued: QueuedView, append: WalAppend, drafts: readonly RecordDraft[], replacing: LogIndex | null): void {
    if (append.hardState !== null) queued.hardState = append.hardState;
    if (replacing !== null) {
      queued.shape.truncate(replacing);
      queued.replacing.push(replacing);
      this.#cancelReads(append.stream, replacing);
    }
    for (const { type, firstIndex, count, term: entryTerm } of drafts) {
      if (type === RECORD_TYPE.entries) queued.shape.append(logIndex(firstIndex), count, term(entryTerm));
    }
  }

  /** The append is durable. */
  #commit(append: WalAppend, drafts: readonly RecordDraft[], segment: Segment, offsets: readonly number[]): void {
    const { stream } = append;
    const state = must(this.#states.get(stream), 'the stream was started before');
    if (append.hardState !== null) state.setHardState(append.hardState);
    for (const [i, { type, firstIndex, count, term: entryTerm }] of drafts.entries()) {
      if (type === RECORD_TYPE.truncation) {
        state.truncate(logIndex(firstIndex));
        noteTruncation(segment, stream, firstIndex);
        this.#queued.get(stream)?.replacing.shift();
      } else if (type === RECORD_TYPE.entries) {
        const offset = must(offsets[i], 'a record has a place');
        state.append(logIndex(firstIndex), count, term(entryTerm), segment.sequence, offset);
      }
    }
    for (const entry of append.entries) {
      if (entry.kind === 'configuration') state.configure(entry.index, this.#decodeConfiguration(entry));
    }
  }

  #commitReset(stream: StreamId, mark: SnapshotMark, keepEntries: boolean): void {
    const state = must(this.#states.get(stream), 'the stream was started before');
    this.#cancelReads(stream, 0);
    if (!keepEntries) this.#queued.get(stream)?.replacing.shift();
    state.reset(mark, keepEntries);
    noteReset(this.#segments, stream, logIndex(mark.index + 1), keepEntries);
  }

  /** Reads under way that want entries from `from` on give none of them (they are told when they look next). */
  #cancelReads(stream: StreamId, from: number): void {
    for (const read of this.#reads.keys()) {
      if (read.stream === stream) read.replacedFrom = Math.min(read.replacedFrom, from);
    }
  }

  async #compact(upTo: ReadonlyMap<StreamId, LogIndex>): Promise<ReadonlyMap<StreamId, LogIndex>> {
    const begin = firstNeeded(this.#segments, this.#states, upTo);
    const gone = this.#segments.splice(0, begin);
    const oldest = must(this.#segments[0], 'a log has a segment');
    for (const state of gone.length === 0 ? [] : this.#states.values()) {
      const first = oldest.bases.get(state.stream);
      if (first === undefined || first <= state.shape.firstIndex) continue;
      for (const [read] of this.#reads) if (read.stream === state.stream && read.from < first) read.replacedFrom = 0;
      state.compact(first);
      const queued = must(this.#queued.get(state.stream), 'the stream was started');
      if (first > queued.shape.firstIndex && first <= queued.shape.lastIndex + 1) queued.shape.compact(first);
    }
    if (gone.length > 0) await this.#release(gone, oldest.sequence);
    return new Map([...this.#states.values()].map(({ stream, shape }) => [stream, shape.firstIndex]));
  }

  /** Oldest first, and each durably before the next: what a crash leaves has no gap. */
  async #release(gone: readonly Segment[], firstSequence: number): Promise<void> {
    await Promise.allSettled(this.#reads.values());
    try {
      for (const segment of gone) {
        await this.#reader.forget(segment);
        await this.#pool.release(segment);
      }
    } catch (error) {
      this.#writer.abort(error);
      throw this.#writer.failure ?? error;
    }
    this.#options.observe?.({ kind: 'compacted', segments: gone.length, firstSequence });
  }

  /** A copy that can not be written stops the log: what it would acknowledge is not durable in both. */
  async #copyHardState(copy: HardStateCopy, stream: StreamId, hardState: HardState): Promise<void> {
    try {
      await copy.write(stream, hardState);
    } catch (error) {
      this.#writer.abort(error);
      throw this.#writer.failure ?? error;
    }
  }

  #decodeConfiguration(entry: Entry): Configuration {
    return must(this.#options.decodeConfiguration, 'checked before')(entry.payload);
  }

  #startRecords(link: SegmentLink): readonly RecordDraft[] {
    return [segmentStartDraft(link), ...sortedStates(this.#states).flatMap(describe)];
  }
}

/** Everything about the stream but its entries. The position comes last: it completes the description. */
function describe(state: StreamState): RecordDraft[] {
  const { stream, shape, hardState } = state;
  const { index, configuration } = state.configuration;
  return [
    hardStateDraft(stream, hardState),
    membershipDraft(stream, index, configuration),
    positionDraft(stream, logIndex(shape.lastIndex + 1), shape.lastTerm),
  ];
}

function viewOf(state: StreamState): QueuedView {
  return { shape: state.shape.copy(), hardState: state.hardState, replacing: [] };
}

function sortedStates(states: ReadonlyMap<StreamId, StreamState>): readonly StreamState[] {
  return [...states.values()].sort((a, b) => a.stream - b.stream);
}
