/**
 * Shape of one stream's log without its entries: where it starts and ends, and which term each run of entries has.
 * LS1  firstIndex ≤ lastIndex + 1
 * LS2  spans rise strictly in index and in term, and the first one starts at firstIndex
 * LS3  no span has a term below baseTerm, that of the entry before firstIndex
 */
import type { TermSpan } from '../raft/types.ts';
import { assert, must } from '../types/assert.ts';
import { type LogIndex, logIndex, type Term } from '../types/ids.ts';

export class LogShape {
  #firstIndex: LogIndex;
  #baseTerm: Term;
  #lastIndex: LogIndex;
  #spans: TermSpan[];

  constructor(firstIndex: LogIndex, baseTerm: Term, lastIndex: LogIndex, spans: readonly TermSpan[]) {
    assert(lastIndex >= firstIndex - 1, 'LS1');
    this.#firstIndex = firstIndex;
    this.#baseTerm = baseTerm;
    this.#lastIndex = lastIndex;
    this.#spans = [...spans];
  }

  /** Without entries; the next one follows entry `base` of `baseTerm`. */
  static after(base: LogIndex, baseTerm: Term): LogShape {
    return new LogShape(logIndex(base + 1), baseTerm, base, []);
  }

  copy(): LogShape {
    return new LogShape(this.#firstIndex, this.#baseTerm, this.#lastIndex, this.#spans);
  }

  get firstIndex(): LogIndex {
    return this.#firstIndex;
  }

  /** Term of the entry before `firstIndex`; 0 when there is none. */
  get baseTerm(): Term {
    return this.#baseTerm;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#spans.at(-1)?.term ?? this.#baseTerm;
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
    const span = this.#spans.at(-1);
    if (span === undefined || entryTerm > span.term) this.#spans.push({ firstIndex: first, term: entryTerm });
    this.#lastIndex = logIndex(first + count - 1);
  }

  /** Why entries from `from` on can not be dropped, or null when they can. */
  truncationProblem(from: number): string | null {
    if (from < this.#firstIndex || from > this.#lastIndex) {
      return `entries are replaced from ${from} on, but the log is [${this.#firstIndex}, ${this.#lastIndex}]`;
    }
    return null;
  }

  /** Drops the entries from `from` on. */
  truncate(from: LogIndex): void {
    assert(this.truncationProblem(from) === null, 'only what is there is replaced');
    this.#lastIndex = logIndex(from - 1);
    while ((this.#spans.at(-1)?.firstIndex ?? 0) >= from) this.#spans.pop();
  }

  /** Term of the entry `index`, of the base too; null when the log does not know it. */
  termAt(index: number): Term | null {
    if (index === this.#firstIndex - 1) return this.#baseTerm;
    if (index < this.#firstIndex || index > this.#lastIndex) return null;
    return this.#spans.findLast((span) => span.firstIndex <= index)?.term ?? null;
  }

  /** Drops the entries before `first`; those from there on stay. */
  compact(first: LogIndex): void {
    assert(first >= this.#firstIndex && first <= this.#lastIndex + 1, 'only what is there is dropped');
    this.#baseTerm = must(this.termAt(first - 1), 'the log knows its terms');
    const at = this.#spans.findLastIndex((span) => span.firstIndex <= first);
    const spans = this.#spans.slice(Math.max(0, at));
    const head = spans[0];
    if (first > this.#lastIndex) this.#spans = [];
    else if (head === undefined || head.firstIndex >= first) this.#spans = spans;
    else this.#spans = [{ firstIndex: first, term: head.term }, ...spans.slice(1)];
    this.#firstIndex = first;
  }
}
