/** Applies recovered records to the state of each stream, and refuses what could not have been written in that order. */
import type { Configuration, HardState } from '../raft/types.ts';
import { must } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, streamId, term } from '../types/ids.ts';
import { noteReset, noteTruncation } from './compaction.ts';
import { corrupt, newerVersion } from './failure.ts';
import { FLAG_CONFIGURATION, FLAG_LAST_OF_BATCH, FLAG_LZ4, RECORD_TYPE, type ScannedRecord } from './record.ts';
import {
  decodeEntries,
  decodeHardState,
  decodeMembership,
  decodeSegmentStart,
  decodeSnapshotMark,
  type SegmentLink,
} from './record-body.ts';
import { noteStarts, type Segment } from './segment.ts';
import { hardStateProblem, resetProblem, StreamState } from './stream-state.ts';
import type { WalError, WalOptions } from './types.ts';

const FLAGS_KNOWN = FLAG_LZ4 | FLAG_LAST_OF_BATCH | FLAG_CONFIGURATION;

interface Description {
  hardState: HardState | null;
  membership: { readonly index: LogIndex; readonly configuration: Configuration } | null;
}

/** The log can not begin at the oldest segment that is here, but perhaps at a later one. */
export class BeginsTooEarly extends Error {
  readonly problem: WalError;

  constructor(problem: WalError) {
    super(problem.message);
    this.problem = problem;
  }
}

export class Replay {
  readonly streams = new Map<StreamId, StreamState>();
  readonly #decodeConfiguration: WalOptions['decodeConfiguration'];
  /** Streams whose description has begun in this batch. */
  readonly #described = new Map<StreamId, Description>();
  #segment: Segment | null = null;
  #link: SegmentLink | null = null;
  /** Segments before the first one are gone. */
  #headless = false;
  /** Those entered so far. */
  readonly #segments: Segment[] = [];
  #started = false;

  constructor(decodeConfiguration: WalOptions['decodeConfiguration']) {
    this.#decodeConfiguration = decodeConfiguration;
  }

  /** What comes next is from `segment`; the one before it ended as `link` says. null: it is not here any more. */
  enter(segment: Segment, link: SegmentLink | null): void {
    this.#segment = segment;
    this.#headless ||= link === null;
    this.#segments.push(segment);
    this.#link = link;
    this.#started = false;
  }

  batch(records: readonly ScannedRecord[]): void {
    const begins = !this.#started;
    for (const record of records) {
      const problem = this.#record(record);
      if (problem !== null) throw corrupt(this.#label(), record.offset, problem);
      this.#started = true;
    }
    const first = records[0];
    if (this.#described.size > 0)
      throw corrupt(this.#label(), first?.offset ?? 0, 'a stream is described only in part');
    if (begins) this.#noteStarts();
  }

  #noteStarts(): void {
    const starts = [...this.streams.values()].map((s) => [s.stream, logIndex(s.shape.lastIndex + 1)] as const);
    noteStarts(this.#current(), new Map(starts));
  }

  #current(): Segment {
    return must(this.#segment, 'a segment was entered');
  }

  #label(): string {
    return this.#current().label;
  }

  /** null, or why the record is impossible here. */
  #record(record: ScannedRecord): string | null {
    if ((record.flags & ~FLAGS_KNOWN) !== 0) throw newerVersion(this.#label(), record.offset, `flags ${record.flags}`);
    if (!Number.isSafeInteger(record.term) || !Number.isSafeInteger(record.firstIndex)) return 'a number is too large';
    if (!this.#started) return this.#segmentStart(record);
    switch (record.type) {
      case RECORD_TYPE.entries:
        return this.#entries(record);
      case RECORD_TYPE.hardState:
        return this.#hardState(record);
      case RECORD_TYPE.truncation:
        return this.#truncation(record);
      case RECORD_TYPE.snapshotMark:
        return this.#snapshotMark(record);
      case RECORD_TYPE.membership:
        return this.#membership(record);
      case RECORD_TYPE.position:
        return this.#position(record);
      case RECORD_TYPE.syncMark:
        return null;
      case RECORD_TYPE.segmentStart:
        return 'a segment starts in the middle of a segment';
      default:
        throw newerVersion(this.#label(), record.offset, `a record of type ${record.type}`);
    }
  }

  #segmentStart(record: ScannedRecord): string | null {
    const link = record.type === RECORD_TYPE.segmentStart ? decodeSegmentStart(record) : null;
    if (link === null) return 'the segment does not start with its start record';
    if (this.#link === null) return null;
    const { previousEnd, previousChain } = this.#link;
    if (link.previousEnd !== previousEnd || link.previousChain !== previousChain) {
      return `the segment before ended at ${link.previousEnd}, but its records end at ${previousEnd}`;
    }
    return null;
  }

  #hardState(record: ScannedRecord): string | null {
    const next = decodeHardState(record);
    if (next === null) return 'the hard state is unreadable';
    const state = this.streams.get(streamId(record.stream));
    if (state === undefined) {
      this.#describe(record).hardState = next;
      return null;
    }
    const problem = hardStateProblem(state.hardState, next);
    if (problem === null) state.setHardState(next);
    return problem;
  }

  #membership(record: ScannedRecord): string | null {
    const configuration = decodeMembership(record);
    if (configuration === null) return 'the configuration is unreadable';
    const state = this.streams.get(streamId(record.stream));
    if (state === undefined) {
      this.#describe(record).membership = { index: logIndex(record.firstIndex), configuration };
      return null;
    }
    const known = state.configuration;
    const same = known.index === record.firstIndex && sameConfiguration(known.configuration, configuration);
    return same ? null : `the configuration of entry ${record.firstIndex} is not the one that the log led to`;
  }

  #position(record: ScannedRecord): string | null {
    const stream = streamId(record.stream);
    const state = this.streams.get(stream);
    if (state !== undefined) {
      const { lastIndex, lastTerm } = state.shape;
      if (record.firstIndex === lastIndex + 1 && record.term === lastTerm) return null;
      return `the segment goes on at entry ${record.firstIndex}, but the log before it ends at ${lastIndex}`;
    }
    const { hardState, membership } = this.#describe(record);
    this.#described.delete(stream);
    if (hardState === null || membership === null) return `the start of stream ${stream} is not complete`;
    const base = record.firstIndex - 1;
    if (base < membership.index) return `stream ${stream} starts before the entry that brought its configuration`;
    if (record.term > hardState.term) return `stream ${stream} goes on in term ${record.term} of ${hardState.term}`;
    const mark = { index: logIndex(base), term: term(record.term), configuration: membership };
    this.streams.set(stream, new StreamState(stream, hardState, mark));
    return null;
  }

  #describe(record: ScannedRecord): Description {
    const stream = streamId(record.stream);
    const description = this.#described.get(stream) ?? { hardState: null, membership: null };
    this.#described.set(stream, description);
    return description;
  }

  #truncation(record: ScannedRecord): string | null {
    const state = this.streams.get(streamId(record.stream));
    if (state === undefined) return `stream ${record.stream} was never started`;
    const problem = state.shape.truncationProblem(record.firstIndex);
    if (problem !== null) {
      const first = state.shape.firstIndex;
      // Possible when a crash interrupted compaction: the log was to begin behind this segment (compaction.ts, CP1).
      if (this.#headless && record.firstIndex < first) {
        throw new BeginsTooEarly(corrupt(this.#label(), record.offset, problem));
      }
      return problem;
    }
    state.truncate(logIndex(record.firstIndex));
    noteTruncation(this.#current(), state.stream, record.firstIndex);
    return null;
  }

  #snapshotMark(record: ScannedRecord): string | null {
    const state = this.streams.get(streamId(record.stream));
    if (state === undefined) return `stream ${record.stream} was never started`;
    const found = decodeSnapshotMark(record);
    if (found === null) return 'the snapshot mark is unreadable';
    const { mark, keepEntries } = found;
    if (mark.term > state.hardState.term) return `an image of term ${mark.term} in term ${state.hardState.term}`;
    const problem = resetProblem(state.shape, mark, keepEntries);
    if (problem !== null) return problem;
    state.reset(mark, keepEntries);
    noteReset(this.#segments, state.stream, logIndex(mark.index + 1), keepEntries);
    return null;
  }

  #entries(record: ScannedRecord): string | null {
    const stream = streamId(record.stream);
    const state = this.streams.get(stream);
    if (state === undefined) return `stream ${stream} was never started`;
    const { firstIndex, count } = record;
    const problem = state.shape.appendProblem(firstIndex, count, record.term);
    if (problem !== null) return problem;
    if (record.term > state.hardState.term) return `an entry of term ${record.term} in term ${state.hardState.term}`;
    state.append(logIndex(firstIndex), count, term(record.term), this.#current().sequence, record.offset);
    return (record.flags & FLAG_CONFIGURATION) === 0 ? null : this.#configurations(state, record);
  }

  #configurations(state: StreamState, record: ScannedRecord): string | null {
    const decode = this.#decodeConfiguration;
    if (decode === undefined) throw newerVersion(this.#label(), record.offset, 'a change of membership');
    const entries = decodeEntries(record);
    if (entries === null) return 'the entries are unreadable';
    for (const entry of entries) {
      if (entry.kind !== 'configuration') continue;
      const configuration = attemptDecode(decode, entry.payload);
      if (configuration === null) return `the configuration of entry ${entry.index} is unreadable`;
      state.configure(entry.index, configuration);
    }
    return null;
  }
}

function attemptDecode(
  decode: NonNullable<WalOptions['decodeConfiguration']>,
  payload: Uint8Array,
): Configuration | null {
  try {
    return decode(payload);
  } catch {
    return null;
  }
}

function sameConfiguration(a: Configuration, b: Configuration): boolean {
  const flat = (c: Configuration): string => [c.voters, c.votersOutgoing, c.learners].map((l) => l.join(' ')).join('/');
  return flat(a) === flat(b);
}
