/** Applies recovered records to the state of each stream, and refuses what could not have been written in that order. */
import type { Configuration, HardState } from '../raft/types.ts';
import { must } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, streamId, term } from '../types/ids.ts';
import { corrupt, newerVersion } from './failure.ts';
import { FLAG_CONFIGURATION, FLAG_LAST_OF_BATCH, FLAG_LZ4, RECORD_TYPE, type ScannedRecord } from './record.ts';
import {
  decodeEntries,
  decodeHardState,
  decodeMembership,
  decodeSegmentStart,
  type SegmentLink,
} from './record-body.ts';
import { noteRange, type Segment } from './segment.ts';
import { hardStateProblem, StreamState } from './stream-state.ts';
import type { WalOptions } from './types.ts';

const FLAGS_KNOWN = FLAG_LZ4 | FLAG_LAST_OF_BATCH | FLAG_CONFIGURATION;

interface Description {
  hardState: HardState | null;
  membership: { readonly index: LogIndex; readonly configuration: Configuration } | null;
}

export class Replay {
  readonly streams = new Map<StreamId, StreamState>();
  readonly #decodeConfiguration: WalOptions['decodeConfiguration'];
  /** Streams whose description has begun in this batch. */
  readonly #described = new Map<StreamId, Description>();
  #segment: Segment | null = null;
  #link: SegmentLink = { previousEnd: 0, previousChain: 0 };
  #started = false;

  constructor(decodeConfiguration: WalOptions['decodeConfiguration']) {
    this.#decodeConfiguration = decodeConfiguration;
  }

  /** What comes next is from `segment`; the one before it ended as `link` says. */
  enter(segment: Segment, link: SegmentLink): void {
    this.#segment = segment;
    this.#link = link;
    this.#started = false;
  }

  batch(records: readonly ScannedRecord[]): void {
    for (const record of records) {
      const problem = this.#record(record);
      if (problem !== null) throw corrupt(this.#label(), record.offset, problem);
      this.#started = true;
    }
    const first = records[0];
    if (this.#described.size > 0)
      throw corrupt(this.#label(), first?.offset ?? 0, 'a stream is described only in part');
  }

  #label(): string {
    return must(this.#segment, 'a segment was entered').label;
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
    if (record.firstIndex !== 1 || membership.index !== 0) return `the beginning of stream ${stream} is missing`;
    this.streams.set(stream, new StreamState(stream, hardState, membership.configuration));
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
    if (problem === null) state.truncate(logIndex(record.firstIndex));
    return problem;
  }

  #entries(record: ScannedRecord): string | null {
    const stream = streamId(record.stream);
    const state = this.streams.get(stream);
    if (state === undefined) return `stream ${stream} was never started`;
    const { firstIndex, count } = record;
    const problem = state.shape.appendProblem(firstIndex, count, record.term);
    if (problem !== null) return problem;
    if (record.term > state.hardState.term) return `an entry of term ${record.term} in term ${state.hardState.term}`;
    const segment = must(this.#segment, 'a segment was entered');
    state.append(logIndex(firstIndex), count, term(record.term), segment.sequence, record.offset);
    noteRange(segment, stream, firstIndex, firstIndex + count - 1);
    return (record.flags & FLAG_CONFIGURATION) === 0 ? null : this.#configurations(state, record);
  }

  #configurations(state: StreamState, record: ScannedRecord): string | null {
    const decode = this.#decodeConfiguration;
    if (decode === undefined) throw newerVersion(this.#label(), record.offset, 'a change of membership');
    const entries = decodeEntries(record);
    if (entries === null) return 'the entries are unreadable';
    for (const entry of entries) {
      if (entry.kind === 'configuration') state.configure(entry.index, decode(entry.payload));
    }
    return null;
  }
}

function sameConfiguration(a: Configuration, b: Configuration): boolean {
  const flat = (c: Configuration): string => [c.voters, c.votersOutgoing, c.learners].map((l) => l.join(' ')).join('/');
  return flat(a) === flat(b);
}
