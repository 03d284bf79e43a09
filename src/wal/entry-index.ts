/**
 * Log index → place of the record that holds it, for one stream. Dense, 16 bytes for each record: a million
 * single-entry records take 16 MB and a lookup is a binary search.
 * EI1  firstIndex rises strictly from row to row; row i holds the entries up to firstIndex of row i + 1, exclusive.
 * EI2  a row keeps its number when earlier ones are dropped.
 */
import { assert } from '../types/assert.ts';
import type { LogIndex } from '../types/ids.ts';

const ROWS_INITIAL = 1024;

export interface RecordAddress {
  /** Sequence number of the segment. */
  readonly segment: number;
  readonly offset: number;
}

export class EntryIndex {
  #firstIndex = new Float64Array(ROWS_INITIAL);
  #segment = new Uint32Array(ROWS_INITIAL);
  #offset = new Uint32Array(ROWS_INITIAL);
  #rows = 0;
  /** Number of the first row that is left (EI2). */
  #dropped = 0;

  /** One past the number of the last row. */
  get size(): number {
    return this.#dropped + this.#rows;
  }

  push(first: LogIndex, segment: number, offset: number): void {
    assert(this.#rows === 0 || first > this.#firstAt(this.#rows - 1), 'EI1');
    if (this.#rows === this.#offset.length) this.#grow();
    this.#firstIndex[this.#rows] = first;
    this.#segment[this.#rows] = segment;
    this.#offset[this.#rows] = offset;
    this.#rows += 1;
  }

  /** Forgets the entries from `from` on; a record that holds earlier ones too stays. */
  truncate(from: LogIndex): void {
    while (this.#rows > 0 && this.#firstAt(this.#rows - 1) >= from) this.#rows -= 1;
  }

  /** Forgets the rows that hold only entries before `first`. */
  compact(first: LogIndex): void {
    const gone = this.find(first) - this.#dropped;
    if (gone <= 0) return;
    this.#firstIndex.copyWithin(0, gone, this.#rows);
    this.#segment.copyWithin(0, gone, this.#rows);
    this.#offset.copyWithin(0, gone, this.#rows);
    this.#rows -= gone;
    this.#dropped += gone;
  }

  clear(): void {
    this.#dropped += this.#rows;
    this.#rows = 0;
  }

  /** The row whose record holds `index`, or one before the first row. */
  find(index: LogIndex): number {
    let low = 0;
    let high = this.#rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#firstAt(middle) <= index) low = middle + 1;
      else high = middle;
    }
    return this.#dropped + low - 1;
  }

  firstIndexOf(row: number): number {
    return this.#firstAt(this.#at(row));
  }

  address(row: number): RecordAddress {
    const at = this.#at(row);
    return { segment: this.#segment[at] ?? 0, offset: this.#offset[at] ?? 0 };
  }

  #at(row: number): number {
    const at = row - this.#dropped;
    assert(at >= 0 && at < this.#rows, 'a row of the index');
    return at;
  }

  #firstAt(at: number): number {
    return this.#firstIndex[at] ?? 0;
  }

  #grow(): void {
    const rows = this.#rows + Math.max(ROWS_INITIAL, this.#rows >>> 1);
    const firstIndex = new Float64Array(rows);
    const segment = new Uint32Array(rows);
    const offset = new Uint32Array(rows);
    firstIndex.set(this.#firstIndex);
    segment.set(this.#segment);
    offset.set(this.#offset);
    this.#firstIndex = firstIndex;
    this.#segment = segment;
    this.#offset = offset;
  }
}
