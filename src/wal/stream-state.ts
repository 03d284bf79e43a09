/**
 * What the log says about one stream, built by applying its records in order: at recovery from the files, later by
 * the writer as batches become durable. The same rules judge both.
 */
import type { Configuration, HardState } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, type Term } from '../types/ids.ts';
import { EntryIndex } from './entry-index.ts';
import { LogShape } from './log-shape.ts';
import type { RecoveredStream } from './types.ts';

/** A configuration and the entry that brought it; 0: given by the operator. */
interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

export class StreamState {
  readonly stream: StreamId;
  readonly shape: LogShape;
  readonly index = new EntryIndex();
  #hardState: HardState;
  /** Oldest first; a truncation goes back to an older one. */
  readonly #configurations: PlacedConfiguration[];

  constructor(stream: StreamId, hardState: HardState, configuration: Configuration) {
    this.stream = stream;
    this.shape = LogShape.empty();
    this.#hardState = hardState;
    this.#configurations = [{ index: logIndex(0), configuration }];
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get configuration(): PlacedConfiguration {
    const last = this.#configurations.at(-1);
    assert(last !== undefined, 'a stream has a configuration');
    return last;
  }

  setHardState(next: HardState): void {
    assert(hardStateProblem(this.#hardState, next) === null, 'a vote is final');
    this.#hardState = next;
  }

  truncate(from: LogIndex): void {
    this.shape.truncate(from);
    this.index.truncate(from);
    while (this.configuration.index >= from) this.#configurations.pop();
  }

  append(first: LogIndex, count: number, entryTerm: Term, segment: number, offset: number): void {
    this.shape.append(first, count, entryTerm);
    this.index.push(first, segment, offset);
  }

  configure(index: LogIndex, configuration: Configuration): void {
    assert(index > this.configuration.index, 'configurations come in order');
    this.#configurations.push({ index, configuration });
  }

  recovered(): RecoveredStream {
    return {
      stream: this.stream,
      hardState: this.#hardState,
      configuration: this.configuration.configuration,
      firstIndex: this.shape.firstIndex,
      lastIndex: this.shape.lastIndex,
      spans: [...this.shape.spans],
    };
  }
}

/** Why `next` can not follow `previous`, or null: terms rise, and a vote is never changed within a term. */
export function hardStateProblem(previous: HardState, next: HardState): string | null {
  if (next.term < previous.term) return `term ${next.term} follows term ${previous.term}`;
  const changed = next.term === previous.term && previous.votedFor !== null && next.votedFor !== previous.votedFor;
  return changed ? `the vote of term ${next.term} changes from ${previous.votedFor} to ${next.votedFor}` : null;
}
