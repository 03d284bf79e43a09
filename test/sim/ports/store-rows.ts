/** Rows of one generation, and pages of them in (table, key) order by code units. */
import type { RowChange, StoredRow } from '../../../src/machine/types.ts';
import type { RowPosition } from '../../../src/store/types.ts';

export interface RowPage {
  readonly rows: readonly StoredRow[];
  readonly next: RowPosition | null;
}

export class Rows {
  readonly #byName: Map<string, StoredRow>;
  /** null when rows came or went since it was made. */
  #sorted: readonly StoredRow[] | null = null;

  constructor(rows: Iterable<readonly [string, StoredRow]> = []) {
    this.#byName = new Map(rows);
  }

  copy(): Rows {
    return new Rows(this.#byName);
  }

  get size(): number {
    return this.#byName.size;
  }

  apply(changes: readonly RowChange[]): void {
    this.#sorted = null;
    for (const { table, key, value } of changes) {
      const name = `${table}\n${key}`;
      if (value === null) this.#byName.delete(name);
      else this.#byName.set(name, { table, key, value });
    }
  }

  sorted(): readonly StoredRow[] {
    this.#sorted ??= [...this.#byName.values()].sort(inOrder);
    return this.#sorted;
  }

  page(after: RowPosition | null, bytesMax: number): RowPage {
    const sorted = this.sorted();
    let at = 0;
    if (after !== null) {
      let end = sorted.length;
      while (at < end) {
        const middle = (at + end) >> 1;
        if (inOrder(sorted[middle] as StoredRow, after) <= 0) at = middle + 1;
        else end = middle;
      }
    }
    const rows: StoredRow[] = [];
    for (let bytes = 0; at < sorted.length; at += 1) {
      const row = sorted[at] as StoredRow;
      bytes += row.table.length + row.key.length + row.value.length;
      if (rows.length > 0 && bytes > bytesMax) break;
      rows.push(row);
    }
    const last = rows.at(-1);
    return { rows, next: last === undefined || at >= sorted.length ? null : { table: last.table, key: last.key } };
  }
}

function inOrder(a: RowPosition, b: RowPosition): number {
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  if (a.key === b.key) return 0;
  return a.key < b.key ? -1 : 1;
}
