/**
 * Shape of one stream's log without its entries: where it starts and ends, and which term each run of entries has.
 * LS1  firstIndex ≤ lastIndex + 1
 * LS2  spans rise strictly in index and in term, and the first one starts at firstIndex
 */
import type { TermSpan } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type Term, term } from '../types/ids.ts';

export class LogShape {
  readonly firstIndex: LogIndex;
  #lastIndex: LogIndex;
  readonly #spans: TermSpan[];

  constructor(firstIndex: LogIndex, lastIndex: LogIndex, spans: readonly TermSpan[]) {
    assert(lastIndex >= firstIndex - 1, 'LS1');
    this.firstIndex = firstIndex;
    this.#lastIndex = lastIndex;
    this.#spans = [...spans];
  }

  static empty(): LogShape {
    return new LogShape(logIndex(1), logIndex(0), []);
  }

  copy(): LogShape {
    return new LogShape(this.firstIndex, this.#lastIndex, this.#spans);
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#spans.at(-1)?.term ?? term(0);
  }

  get spans(): readonly TermSpan[] {
    return this.#spans;
  }

  /** Why entries [first, first + count) of `entryTerm` can not follow, or null when they can. */
  appendProblem(first: number, count: number, entryTerm: number): string | null {
    if (count === 0) return 'a batch has no entries';
    if (first !== this.#lastIndex + 1) return `entry ${first} follows entry ${this.#lastIndex}`;
    if (entryTerm < this.lastTerm) return `entry ${first} of term ${entryTerm} follows term ${this.lastTerm}`;
    if (entryTerm === 0) return `entry ${first} has term 0`;
    return null;
  }

  append(first: LogIndex, count: number, entryTerm: Term): void {
    assert(this.appendProblem(first, count, entryTerm) === null, 'entries follow the log');
    if (entryTerm > this.lastTerm) this.#spans.push({ firstIndex: first, term: entryTerm });
    this.#lastIndex = logIndex(first + count - 1);
  }

  /** Why entries from `from` on can not be dropped, or null when they can. */
  truncationProblem(from: number): string | null {
    if (from < this.firstIndex || from > this.#lastIndex) {
      return `entries are replaced from ${from} on, but the log is [${this.firstIndex}, ${this.#lastIndex}]`;
    }
    return null;
  }

  /** Drops the entries from `from` on. */
  truncate(from: LogIndex): void {
    assert(this.truncationProblem(from) === null, 'only what is there is replaced');
    this.#lastIndex = logIndex(from - 1);
    while ((this.#spans.at(-1)?.firstIndex ?? 0) >= from) this.#spans.pop();
  }
}
