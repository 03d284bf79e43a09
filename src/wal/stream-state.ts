/**
 * What the log says about one stream, built by applying its records in order: at recovery from the files, later by
 * the writer as batches become durable. The same rules judge both.
 */
import type { Configuration, HardState, PlacedConfiguration, SnapshotMark } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId, type Term } from '../types/ids.ts';
import { EntryIndex } from './entry-index.ts';
import { LogShape } from './log-shape.ts';
import type { RecoveredStream } from './types.ts';

export class StreamState {
  readonly stream: StreamId;
  readonly index = new EntryIndex();
  #shape: LogShape;
  #hardState: HardState;
  /** Oldest first; a truncation goes back to an older one. The first is the one in force at the base. */
  #configurations: PlacedConfiguration[];

  /** Without entries; the next one follows `mark`. */
  constructor(stream: StreamId, hardState: HardState, mark: SnapshotMark) {
    this.stream = stream;
    this.#shape = LogShape.after(mark.index, mark.term);
    this.#hardState = hardState;
    this.#configurations = [mark.configuration];
  }

  get shape(): LogShape {
    return this.#shape;
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
    this.#shape.truncate(from);
    this.index.truncate(from);
    while (this.configuration.index >= from) this.#configurations.pop();
  }

  append(first: LogIndex, count: number, entryTerm: Term, segment: number, offset: number): void {
    this.#shape.append(first, count, entryTerm);
    this.index.push(first, segment, offset);
  }

  configure(index: LogIndex, configuration: Configuration): void {
    assert(index > this.configuration.index, 'configurations come in order');
    this.#configurations.push({ index, configuration });
  }

  /** Entries before `first` are not needed any more. */
  compact(first: LogIndex): void {
    if (first <= this.#shape.firstIndex) return;
    this.#shape.compact(first);
    if (first > this.#shape.lastIndex) this.index.clear();
    else this.index.compact(first);
    const base = this.#configurations.findLastIndex(({ index }) => index < first);
    this.#configurations = this.#configurations.slice(Math.max(0, base));
  }

  /** An image covers everything up to the mark. With `keepEntries` what follows it stays. */
  reset(mark: SnapshotMark, keepEntries: boolean): void {
    if (!keepEntries) {
      this.#shape = LogShape.after(mark.index, mark.term);
      this.index.clear();
      this.#configurations = [mark.configuration];
      return;
    }
    // Replay from a later segment may begin behind the mark already.
    if (mark.index < this.#shape.firstIndex) return;
    this.compact(logIndex(mark.index + 1));
    this.#configurations = [mark.configuration, ...this.#configurations.filter(({ index }) => index > mark.index)];
  }

  recovered(): RecoveredStream {
    return {
      stream: this.stream,
      hardState: this.#hardState,
      configurations: [...this.#configurations],
      baseTerm: this.#shape.baseTerm,
      firstIndex: this.#shape.firstIndex,
      lastIndex: this.#shape.lastIndex,
      spans: [...this.#shape.spans],
    };
  }
}

/** Why `next` can not follow `previous`, or null: terms rise, and a vote is never changed within a term. */
export function hardStateProblem(previous: HardState, next: HardState): string | null {
  if (next.term < previous.term) return `term ${next.term} follows term ${previous.term}`;
  const changed = next.term === previous.term && previous.votedFor !== null && next.votedFor !== previous.votedFor;
  return changed ? `the vote of term ${next.term} changes from ${previous.votedFor} to ${next.votedFor}` : null;
}

/** Why the stream can not be reset to `mark`, or null: entries are only kept behind an entry that is the mark's. */
export function resetProblem(shape: LogShape, mark: SnapshotMark, keepEntries: boolean): string | null {
  if (mark.configuration.index > mark.index) return `its configuration is of entry ${mark.configuration.index}`;
  if (!keepEntries || mark.index < shape.firstIndex - 1) return null;
  const known = shape.termAt(mark.index);
  return known === mark.term ? null : `entry ${mark.index} has term ${known} here, not ${mark.term}`;
}
