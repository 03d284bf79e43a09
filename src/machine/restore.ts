/**
 * The state of one cluster as the first state of another (U5). What has a number stays below the new index, so that tokens,
 * revisions and session ids go on rising. Gone is what belonged to the old cluster: its event history, which watches of the new
 * one could not go on from, what was wanted of its members, and what was found of them (A1–A3): a member that was away there must not be
 * evicted here before it has started. Automation is paused: what the backup calls overdue may have been done since, and the outside world is
 * where the old cluster left it, not where the backup stands.
 */
import { assert } from '../types/assert.ts';
import { type LogIndex, revision } from '../types/ids.ts';
import { hashRow, StateHash } from './hash.ts';
import { StateError, TOTAL_HASH_KEY, TOTAL_INDEX_KEY, TOTAL_TABLE } from './loader.ts';
import { FEATURE_KEY, META_KEY } from './state.ts';
import { Tables } from './tables.ts';
import type { StoredRow } from './types.ts';

const PAUSED = 'automationPaused';
const AUTOMATION_LEVEL = 3;
const DROPPED = new Set(['availability', 'event', 'member']);

/** Rows in, rows out, a page at a time: states are large. Pages come in the order in which they were stored. */
export class RowRestorer {
  readonly #newIndex: LogIndex;
  readonly #codecs = new Tables();
  readonly #before = new StateHash();
  readonly #after = new StateHash();
  #total: string | null = null;
  #meta = false;

  /** `newIndex`: the index that the state stands for in the new cluster; at least what it was in the old one. */
  constructor(newIndex: LogIndex) {
    this.#newIndex = newIndex;
  }

  /** What becomes of these rows. Throws {@link StateError} for a row that cannot be read. */
  add(rows: Iterable<StoredRow>): readonly StoredRow[] {
    const restored: StoredRow[] = [];
    for (const row of rows) {
      if (row.table === TOTAL_TABLE) {
        if (row.key === TOTAL_INDEX_KEY) restored.push({ ...row, value: String(this.#newIndex) });
        else this.#takeTotal(row.value);
        continue;
      }
      this.#before.add(hashRow(row.table, row.key, row.value));
      for (const kept of [this.#restore(row), this.#pausedBy(row)]) {
        if (kept === null) continue;
        this.#after.add(hashRow(kept.table, kept.key, kept.value));
        restored.push(kept);
      }
    }
    return restored;
  }

  /** The last row: the new state hash. Throws {@link StateError} when the old rows did not add up. */
  finish(): StoredRow {
    if (!this.#meta || this.#total !== this.#before.toHex()) {
      throw new StateError('the rows do not add up to the state hash that was stored with them');
    }
    return { table: TOTAL_TABLE, key: TOTAL_HASH_KEY, value: this.#after.toHex() };
  }

  #takeTotal(value: string): void {
    if (this.#total !== null) throw new StateError('the state hash is stored twice');
    this.#total = value;
  }

  #restore(row: StoredRow): StoredRow | null {
    if (DROPPED.has(row.table)) return null;
    // Its availability row is gone: the two belong together.
    if (row.table === 'timer' && this.#read(row, this.#codecs.timer).kind === 'async') return null;
    if (row.table === 'meta' && row.key === META_KEY) return this.#restoreMeta(row);
    if (row.table === 'feature' && row.key === FEATURE_KEY) {
      return this.#recoded(row, this.#codecs.feature, (feature) => ({ ...feature, pinned: false }));
    }
    if (row.table === 'policy' && row.key === PAUSED) return null;
    return row;
  }

  /** There is nothing to pause below the level that brought automation. */
  #pausedBy(row: StoredRow): StoredRow | null {
    if (row.table !== 'feature' || row.key !== FEATURE_KEY) return null;
    if (this.#read(row, this.#codecs.feature).level < AUTOMATION_LEVEL) return null;
    const paused = { name: PAUSED, value: 1, changedRevision: revision(this.#newIndex) } as const;
    return { table: 'policy', key: PAUSED, value: this.#codecs.domain.policy.encode(paused) };
  }

  #restoreMeta(row: StoredRow): StoredRow {
    this.#meta = true;
    return this.#recoded(row, this.#codecs.meta, (meta) => {
      assert(meta.firstEventRevision <= this.#newIndex + 1, 'revisions never go back');
      return { ...meta, firstEventRevision: revision(this.#newIndex + 1) };
    });
  }

  #recoded<Row>(
    row: StoredRow,
    table: { decode(value: string): Row; encode(row: Row): string },
    change: (before: Row) => Row,
  ): StoredRow {
    return { ...row, value: table.encode(change(this.#read(row, table))) };
  }

  #read<Row>(row: StoredRow, table: { decode(value: string): Row }): Row {
    try {
      return table.decode(row.value);
    } catch (cause) {
      throw new StateError(`a row of table ${row.table} cannot be read: damaged, or of a newer version`, { cause });
    }
  }
}

/** All of `rows`, restored; the last one is the new state hash. Throws {@link StateError}. */
export function* restoreRows(rows: Iterable<StoredRow>, newIndex: LogIndex): Generator<StoredRow, void, void> {
  const restorer = new RowRestorer(newIndex);
  for (const row of rows) yield* restorer.add([row]);
  yield restorer.finish();
}
