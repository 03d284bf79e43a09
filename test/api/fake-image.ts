/** An image of a state that adds up, without a store behind it. */
import { hashRow, StateHash } from '../../src/machine/hash.ts';
import { TOTAL_TABLE } from '../../src/machine/loader.ts';
import type { StoredRow } from '../../src/machine/types.ts';
import type { RowPosition, StoreImage } from '../../src/store/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';

/** Text in which nothing repeats: it takes its full length in the file, too. */
class Text {
  #state = 1;

  next(length: number): string {
    let text = '';
    while (text.length < length) {
      this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
      text += (this.#state >>> 4).toString(36);
    }
    return text.slice(0, length);
  }
}

/** Rows with their state hash at the end, read a page at a time. */
export class FakeImage implements StoreImage {
  readonly mark = {
    index: logIndex(41),
    term: term(5),
    configuration: { index: logIndex(0), configuration: { voters: [memberId('a')], votersOutgoing: [], learners: [] } },
  };
  readonly bytesEstimate = 12_345;
  readonly rows: StoredRow[];
  reads = 0;
  closed = 0;
  failAfter = Number.POSITIVE_INFINITY;

  constructor(count: number, valueLength: number) {
    const hash = new StateHash();
    const text = new Text();
    this.rows = Array.from({ length: count }, (_, i) => {
      const value = text.next(valueLength);
      const row = { table: 'loop', key: String(i).padStart(8, '0'), value };
      hash.add(hashRow(row.table, row.key, row.value));
      return row;
    });
    this.rows.push({ table: TOTAL_TABLE, key: 'hash', value: hash.toHex() });
  }

  async read(after: RowPosition | null, bytesMax: number) {
    this.reads += 1;
    if (this.reads > this.failAfter) throw new Error('the disk is gone');
    const start =
      after === null ? 0 : this.rows.findIndex((row) => row.table === after.table && row.key === after.key) + 1;
    const rows: StoredRow[] = [];
    for (let i = start, bytes = 0; i < this.rows.length && bytes < bytesMax; i++) {
      const row = this.rows[i];
      if (row === undefined) break;
      rows.push(row);
      bytes += row.value.length;
    }
    const last = rows.at(-1);
    const whole = start + rows.length === this.rows.length;
    return { rows, next: whole || last === undefined ? null : { table: last.table, key: last.key } };
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}
