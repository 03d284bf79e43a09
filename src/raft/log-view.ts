/**
 * What the core knows of the log: the term of every index (as spans, one for each term) and the newest entries
 * themselves. The log on disk is the driver's. Entries leave the cache only when they are durable and applied;
 * the ones that a slow follower then needs are read back with a `readLog` effect.
 */
import { assert, must } from '../types/assert.ts';
import { type LogIndex, logIndex, type Term } from '../types/ids.ts';
import type { Entry, RaftOptions, TermSpan } from './types.ts';

/** Memory that an entry costs besides its payload; makes bounds in bytes hold for empty payloads too. */
export const ENTRY_OVERHEAD_BYTES = 64;

/** What an entry counts against bounds on memory. */
export function entryBytes(entry: Entry): number {
  return entry.payload.length + ENTRY_OVERHEAD_BYTES;
}

/** Sum of the payloads. */
export function payloadBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  return bytes;
}

export class LogView {
  #baseIndex: LogIndex;
  #baseTerm: Term;
  #spans: TermSpan[];
  #lastIndex: LogIndex;
  /** Entries of [#cacheFirst, #lastIndex]; the slots before #head are empty. */
  #cache: (Entry | undefined)[] = [];
  #head = 0;
  #cacheFirst: number;
  #cacheBytes = 0;

  constructor(log: RaftOptions['log']) {
    assert(log.baseIndex + 1 === log.firstIndex, 'the log starts right after its base');
    assert(log.lastIndex >= log.baseIndex, 'the log ends at or after its base');
    assert((log.spans.length === 0) === (log.lastIndex === log.baseIndex), 'spans cover the log');
    this.#baseIndex = log.baseIndex;
    this.#baseTerm = log.baseTerm;
    this.#spans = [...log.spans];
    this.#lastIndex = log.lastIndex;
    this.#cacheFirst = log.lastIndex + 1;
    let previous: TermSpan | null = null;
    for (const span of this.#spans) {
      assert(previous !== null || span.firstIndex === log.firstIndex, 'the first span starts the log');
      assert(span.term >= log.baseTerm, 'terms do not go back behind the base');
      assert(previous === null || span.firstIndex > previous.firstIndex, 'spans rise');
      assert(previous === null || span.term > previous.term, 'terms rise from span to span');
      assert(span.firstIndex <= log.lastIndex, 'spans end with the log');
      previous = span;
    }
  }

  /** Index and term just before the first entry: known, and committed. */
  get baseIndex(): LogIndex {
    return this.#baseIndex;
  }
  get baseTerm(): Term {
    return this.#baseTerm;
  }
  get firstIndex(): LogIndex {
    return logIndex(this.baseIndex + 1);
  }
  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }
  get lastTerm(): Term {
    return this.#spans[this.#spans.length - 1]?.term ?? this.baseTerm;
  }
  /** First index whose entry is in memory; lastIndex + 1 when none is. */
  get cacheFirstIndex(): LogIndex {
    return logIndex(this.#cacheFirst);
  }
  get cacheBytes(): number {
    return this.#cacheBytes;
  }

  /** Position of the span that holds `index`, or −1 at the base. */
  #spanAt(index: number): number {
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (must(this.#spans[middle], 'span').firstIndex <= index) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Term of the entry at `index`, also for the base; null when the log does not hold it. */
  termAt(index: LogIndex): Term | null {
    if (index > this.#lastIndex || index < this.baseIndex) return null;
    if (index === this.baseIndex) return this.baseTerm;
    const last = must(this.#spans[this.#spans.length - 1], 'last span');
    if (index >= last.firstIndex) return last.term;
    return must(this.#spans[this.#spanAt(index)], 'span').term;
  }

  /** Raft paper, section 5.4.1: the later last term wins, then the longer log. */
  isUpToDate(lastIndex: LogIndex, lastTerm: Term): boolean {
    if (lastTerm !== this.lastTerm) return lastTerm > this.lastTerm;
    return lastIndex >= this.#lastIndex;
  }

  /** The highest index ≤ `index` whose term is ≤ `term`; the base when there is none. Skips whole terms. */
  lastIndexOfTermAtMost(index: LogIndex, term: Term): LogIndex {
    let end = Math.min(index, this.#lastIndex);
    let at = this.#spanAt(end);
    while (at >= 0) {
      const span = must(this.#spans[at], 'span');
      if (span.term <= term) return logIndex(end);
      end = span.firstIndex - 1;
      at--;
    }
    return this.baseIndex;
  }

  /** Adds entries right after the last one; terms never fall. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.#lastIndex + 1, `entry ${entry.index} follows ${this.#lastIndex}`);
      const lastTerm = this.lastTerm;
      assert(entry.term >= lastTerm, 'terms in the log do not go back');
      if (entry.term > lastTerm || this.#spans.length === 0) {
        this.#spans.push({ firstIndex: entry.index, term: entry.term });
      }
      this.#cache.push(entry);
      this.#cacheBytes += entryBytes(entry);
      this.#lastIndex = entry.index;
    }
  }

  /** Drops `index` and everything after it. */
  truncateFrom(index: LogIndex): void {
    assert(index > this.baseIndex && index <= this.#lastIndex, `truncation at ${index} is inside the log`);
    while (this.#lastIndex >= index && this.#lastIndex >= this.#cacheFirst) {
      this.#cacheBytes -= entryBytes(must(this.#cache.pop(), 'cached entry'));
      this.#lastIndex = logIndex(this.#lastIndex - 1);
    }
    this.#lastIndex = logIndex(index - 1);
    if (this.#cacheFirst > index) {
      this.#cache = [];
      this.#head = 0;
      this.#cacheFirst = index;
    }
    while (this.#spans.length > 0 && must(this.#spans[this.#spans.length - 1], 'span').firstIndex >= index) {
      this.#spans.pop();
    }
  }

  /**
   * Cached entries from `from` on: at most up to `to`, `entriesMax` entries and `bytesMax` payload bytes, but at
   * least one. null when the first is not in memory.
   */
  slice(from: LogIndex, to: LogIndex, entriesMax: number, bytesMax: number): readonly Entry[] | null {
    if (from < this.#cacheFirst || from > to || to > this.#lastIndex) return null;
    const start = this.#head + (from - this.#cacheFirst);
    const countMax = Math.max(1, Math.min(to - from + 1, entriesMax));
    let count = 0;
    let bytes = 0;
    while (count < countMax) {
      bytes += must(this.#cache[start + count], 'cached entry').payload.length;
      if (bytes > bytesMax && count > 0) break;
      count++;
    }
    return this.#cache.slice(start, start + count) as Entry[];
  }

  /** What the cached entries of [from, to] count against bounds on memory. */
  bytesOf(from: LogIndex, to: LogIndex): number {
    let bytes = 0;
    for (let index: number = from; index <= to; index++) {
      bytes += entryBytes(must(this.#cache[this.#head + (index - this.#cacheFirst)], 'cached entry'));
    }
    return bytes;
  }

  /** Forgets the oldest entries, none after `index`, until the cache holds at most `bytesMax`. */
  evict(index: LogIndex, bytesMax: number): void {
    while (this.#cacheBytes > bytesMax && this.#cacheFirst <= index && this.#cacheFirst <= this.#lastIndex) {
      this.#dropOldest();
    }
    this.#packCache();
  }

  /** The log begins after `index` now: what is before it is in an image of the state. */
  compactTo(index: LogIndex): void {
    assert(index >= this.baseIndex && index <= this.#lastIndex, `compaction to ${index} is inside the log`);
    const baseTerm = must(this.termAt(index), 'term of the new base');
    while (this.#cacheFirst <= index) this.#dropOldest();
    this.#packCache();
    // The span that the new base is in goes on behind it, unless the base was its last entry.
    const kept = this.#spans.slice(this.#spanAt(index + 1));
    this.#spans =
      index === this.#lastIndex
        ? []
        : kept.map((span) => (span.firstIndex <= index ? { firstIndex: logIndex(index + 1), term: span.term } : span));
    this.#baseIndex = index;
    this.#baseTerm = baseTerm;
  }

  /** An image of the state replaced everything: the log is empty and begins after `index`. */
  reset(index: LogIndex, term: Term): void {
    this.#baseIndex = index;
    this.#baseTerm = term;
    this.#spans = [];
    this.#lastIndex = index;
    this.#cache = [];
    this.#head = 0;
    this.#cacheFirst = index + 1;
    this.#cacheBytes = 0;
  }

  #dropOldest(): void {
    this.#cacheBytes -= entryBytes(must(this.#cache[this.#head], 'cached entry'));
    this.#cache[this.#head] = undefined;
    this.#head++;
    this.#cacheFirst++;
  }

  /** Amortised: each slot is moved at most once for each time the array doubles. */
  #packCache(): void {
    if (this.#head <= 1024 || this.#head * 2 <= this.#cache.length) return;
    this.#cache = this.#cache.slice(this.#head);
    this.#head = 0;
  }
}
