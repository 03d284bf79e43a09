/** The write-ahead log over a disk: one physical log, the records of every stream in it. Format: `FORMAT.md`. */
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import { DiskError } from '../ports/disk.ts';
import type { Configuration, Entry, HardState } from '../raft/types.ts';
import { assert, must } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, term } from '../types/ids.ts';
import { WAL_SEGMENT_BYTES_MAX, WAL_SEGMENT_BYTES_MIN } from '../types/limits.ts';
import { deviceFailure } from './failure.ts';
import type { LogShape } from './log-shape.ts';
import { type ReadRequest, WalReader } from './reader.ts';
import { RECORD_TYPE, type RecordDraft } from './record.ts';
import {
  entryDrafts,
  hardStateDraft,
  membershipDraft,
  positionDraft,
  type SegmentLink,
  segmentStartDraft,
  truncationDraft,
} from './record-body.ts';
import { type RecoveredLog, recover } from './recovery.ts';
import { noteRange, type Segment } from './segment.ts';
import { hardStateProblem, StreamState } from './stream-state.ts';
import { type RecoveredStream, type Wal, type WalAppend, WalError, type WalOptions } from './types.ts';
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
    return new SegmentedWal(disk, clock, options, await recover(disk, clock, options));
  } catch (error) {
    throw error instanceof DiskError ? deviceFailure(error, error.path, 0) : error;
  }
}

/** A stream as it will be when everything in the queue is durable: what the next append has to follow. */
interface QueuedView {
  readonly shape: LogShape;
  hardState: HardState;
  /** First replaced index of each append that is not durable yet, in order. */
  readonly replacing: number[];
}

class SegmentedWal implements Wal {
  readonly streams: readonly RecoveredStream[];
  readonly #options: WalOptions;
  /** What is durable. */
  readonly #states: Map<StreamId, StreamState>;
  readonly #queued = new Map<StreamId, QueuedView>();
  readonly #writer: WalWriter;
  readonly #reader: WalReader;
  readonly #reads = new Map<ReadRequest, Promise<unknown>>();
  #lastAppend: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(disk: Disk, clock: Clock, options: WalOptions, log: RecoveredLog) {
    this.#options = options;
    this.#states = log.streams;
    const states = sortedStates(log.streams);
    for (const state of states) this.#queued.set(state.stream, viewOf(state));
    this.streams = states.map((state) => state.recovered());
    this.#writer = new WalWriter(disk, clock, options, log, (link) => this.#startRecords(link));
    this.#reader = new WalReader(disk, log.segments);
  }

  async bootstrap(stream: StreamId, configuration: Configuration): Promise<void> {
    this.#refuseWhenClosed();
    assert(!this.#queued.has(stream), `stream ${stream} is started once`);
    const state = new StreamState(stream, { term: term(0), votedFor: null }, configuration);
    this.#queued.set(stream, viewOf(state));
    await this.#submit(describe(state), () => this.#states.set(stream, state));
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
    await this.#submit(drafts, (segment, offsets) => this.#commit(append, drafts, segment, offsets));
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#reads.values());
    await this.#writer.close();
    await this.#reader.close();
  }

  #refuseWhenClosed(): void {
    if (this.#writer.failure !== null) throw this.#writer.failure;
    if (this.#closing !== null) throw new WalError('closed', '', 0, 'the log is closed: open it again to use it.');
  }

  #submit(drafts: readonly RecordDraft[], commit: (segment: Segment, offsets: readonly number[]) => void) {
    this.#lastAppend = this.#writer.submit(drafts, commit);
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
      for (const read of this.#reads.keys()) {
        if (read.stream === append.stream) read.replacedFrom = Math.min(read.replacedFrom, replacing);
      }
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
        this.#queued.get(stream)?.replacing.shift();
      } else if (type === RECORD_TYPE.entries) {
        const offset = must(offsets[i], 'a record has a place');
        state.append(logIndex(firstIndex), count, term(entryTerm), segment.sequence, offset);
        noteRange(segment, stream, firstIndex, firstIndex + count - 1);
      }
    }
    for (const entry of append.entries) {
      if (entry.kind === 'configuration') state.configure(entry.index, this.#decodeConfiguration(entry));
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
