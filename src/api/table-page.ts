/** Pages over a table of the state, with rows left out that are not wanted. */
import type { Page, ReadableTable } from '../machine/api.ts';
import { after as afterPrefix, KEY_END, next, under } from '../machine/keys.ts';

/** Rows that are looked at for one page: a page may be short where few are wanted, so that a read is never long. */
const SCAN_ROWS_MAX = 10_000;
const CHUNK_ROWS = 512;

export interface TableScan<Row> {
  /** Only rows whose key begins with this and a space; left out: all. */
  readonly prefix?: string;
  /** Left out: every row is wanted. */
  readonly wanted?: (row: Row) => boolean;
}

/** Rows after key `from` in key order, at most `limit`; `next` is the key to go on from, also where nothing was found so far. */
export function tablePage<Row>(
  table: ReadableTable<Row>,
  { prefix, wanted }: TableScan<Row>,
  from: string | null,
  limit: number,
): Page<Row> {
  const end = prefix === undefined ? KEY_END : afterPrefix(prefix);
  const begin = prefix === undefined ? '' : under(prefix);
  const rows: Row[] = [];
  // A key of another prefix, as in a token of another listing, must not lead outside of this one.
  let last = from !== null && from >= begin ? from : null;
  for (let scanned = 0; scanned < SCAN_ROWS_MAX; ) {
    const asked = Math.min(CHUNK_ROWS, wanted === undefined ? limit - rows.length + 1 : CHUNK_ROWS);
    const found = table.range(last === null ? begin : next(last), end, asked);
    for (const [key, row] of found) {
      if (rows.length === limit) return { rows, next: last };
      if (wanted === undefined || wanted(row)) rows.push(row);
      last = key;
    }
    scanned += found.length;
    if (found.length < asked) return { rows, next: null };
  }
  return { rows, next: last };
}
