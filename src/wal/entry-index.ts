/**
 * Log index → place of the record that holds it, for one stream. Dense, 16 bytes for each record: a million
 * single-entry records take 16 MB and a lookup is a binary search.
 * EI1  firstIndex rises strictly from row to row; row i holds the entries up to firstIndex of row i + 1, exclusive.
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

  /** Rows, one for each record. */
  get size(): number {
    return this.#rows;
  }

  push(first: LogIndex, segment: number, offset: number): void {
    assert(this.#rows === 0 || first > this.firstIndexOf(this.#rows - 1), 'EI1');
    if (this.#rows === this.#offset.length) this.#grow();
    this.#firstIndex[this.#rows] = first;
    this.#segment[this.#rows] = segment;
    this.#offset[this.#rows] = offset;
    this.#rows += 1;
  }

  /** Forgets the entries from `from` on; a record that holds earlier ones too stays. */
  truncate(from: LogIndex): void {
    while (this.#rows > 0 && this.firstIndexOf(this.#rows - 1) >= from) this.#rows -= 1;
  }

  /** The row whose record holds `index`, or -1. */
  find(index: LogIndex): number {
    let low = 0;
    let high = this.#rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.firstIndexOf(middle) <= index) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  firstIndexOf(row: number): number {
    assert(row >= 0 && row < this.#rows, 'a row of the index');
    return this.#firstIndex[row] ?? 0;
  }

  address(row: number): RecordAddress {
    assert(row >= 0 && row < this.#rows, 'a row of the index');
    return { segment: this.#segment[row] ?? 0, offset: this.#offset[row] ?? 0 };
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
