/**
 * Which persist effects are out and what is durable (I2). `durableIndex` is the last index whose entry *as it stands
 * in the log now* is durable: a truncation takes it back until the replacement is durable.
 */
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex } from '../types/ids.ts';

interface PendingPersist {
  readonly sequence: number;
  lastIndex: LogIndex;
}

export class Durability {
  #nextSequence = 1;
  #durableSequence = 0;
  #durableIndex: LogIndex;
  readonly #pending: PendingPersist[] = [];

  constructor(durableIndex: LogIndex) {
    this.#durableIndex = durableIndex;
  }

  /** The sequence that the next persist effect will carry. */
  get nextSequence(): number {
    return this.#nextSequence;
  }
  get durableSequence(): number {
    return this.#durableSequence;
  }
  get durableIndex(): LogIndex {
    return this.#durableIndex;
  }
  /** True when everything that was handed out is durable. */
  get idle(): boolean {
    return this.#pending.length === 0;
  }

  /** A persist effect goes out, after which the log ends at `lastIndex`. Returns its sequence. */
  begin(lastIndex: LogIndex): number {
    const sequence = this.#nextSequence++;
    this.#pending.push({ sequence, lastIndex });
    return sequence;
  }

  /** The log is cut from `index` on: what was written there counts no more, durable or not. */
  truncatedFrom(index: LogIndex): void {
    const last = logIndex(index - 1);
    if (this.#durableIndex > last) this.#durableIndex = last;
    for (const pending of this.#pending) if (pending.lastIndex > last) pending.lastIndex = last;
  }

  /** Everything up to `sequence` is durable. */
  persisted(sequence: number): void {
    assert(sequence < this.#nextSequence, `persisted ${sequence} was handed out`);
    assert(sequence > this.#durableSequence, `persisted ${sequence} comes in order`);
    this.#durableSequence = sequence;
    let done = 0;
    for (const pending of this.#pending) {
      if (pending.sequence > sequence) break;
      if (pending.lastIndex > this.#durableIndex) this.#durableIndex = pending.lastIndex;
      done++;
    }
    this.#pending.splice(0, done);
  }
}
