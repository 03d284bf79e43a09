/** A log as far as the rules look at it: the term of every entry. Index and term name an entry (Raft paper, section 5.3). */
import type { TermSpan } from '../../src/raft/types.ts';

interface Span {
  readonly firstIndex: number;
  readonly term: number;
}

export class TermLog {
  #baseIndex = 0;
  #baseTerm = 0;
  #lastIndex = 0;
  #spans: readonly Span[] = [];

  static from(log: {
    readonly baseIndex: number;
    readonly baseTerm: number;
    readonly lastIndex: number;
    readonly spans: readonly TermSpan[];
  }): TermLog {
    const made = new TermLog();
    made.reset(log.baseIndex, log.baseTerm);
    made.append(log.lastIndex, log.spans);
    return made;
  }

  get baseIndex(): number {
    return this.#baseIndex;
  }
  get lastIndex(): number {
    return this.#lastIndex;
  }
  get lastTerm(): number {
    return this.#spans.at(-1)?.term ?? this.#baseTerm;
  }

  copy(): TermLog {
    const made = new TermLog();
    made.reset(this.#baseIndex, this.#baseTerm);
    made.append(this.#lastIndex, this.#spans);
    return made;
  }

  /** null outside of the log; the base is known. */
  termAt(index: number): number | null {
    if (index < this.#baseIndex || index > this.#lastIndex) return null;
    const span = this.#spans.findLast(({ firstIndex }) => firstIndex <= index);
    return span?.term ?? (index === this.#baseIndex ? this.#baseTerm : null);
  }

  /** `spans` begin right behind the last entry. */
  append(lastIndex: number, spans: readonly Span[]): void {
    const news = spans[0]?.term === this.#spans.at(-1)?.term ? spans.slice(1) : spans;
    this.#spans = [...this.#spans, ...news];
    this.#lastIndex = lastIndex;
  }

  truncateFrom(index: number): void {
    this.#spans = this.#spans.filter(({ firstIndex }) => firstIndex < index);
    this.#lastIndex = Math.min(this.#lastIndex, index - 1);
  }

  /** What is up to `index` is gone. */
  compactTo(index: number): void {
    if (index <= this.#baseIndex) return;
    this.#baseTerm = this.termAt(index) ?? this.#baseTerm;
    const kept = this.#spans.filter((_, at) => (this.#spans[at + 1]?.firstIndex ?? this.#lastIndex + 1) > index + 1);
    this.#spans = kept.map((span) => (span.firstIndex <= index ? { ...span, firstIndex: index + 1 } : span));
    this.#baseIndex = index;
    this.#lastIndex = Math.max(this.#lastIndex, index);
  }

  reset(index: number, term: number): void {
    this.#spans = [];
    this.#baseIndex = index;
    this.#baseTerm = term;
    this.#lastIndex = index;
  }

  /** From `from` on, as spans. */
  tail(from: number): readonly Span[] {
    return this.#spans
      .filter((_, at) => (this.#spans[at + 1]?.firstIndex ?? this.#lastIndex + 1) > from)
      .map((span) => (span.firstIndex < from ? { ...span, firstIndex: from } : span));
  }

  /** The highest index of each term that it holds. */
  reach(): Map<number, number> {
    return new Map(
      this.#spans.map(({ term }, at) => [term, (this.#spans[at + 1]?.firstIndex ?? this.#lastIndex + 1) - 1]),
    );
  }
}
