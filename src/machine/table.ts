/**
 * One typed table: rows in memory, ordered by key. Text and hash of changed rows are worked out when somebody asks for
 * them (`settle`), not at each change: a row that changes a hundred times between two store batches is serialised once.
 */
import SortedBTree from 'sorted-btree';
import { assert } from '../types/assert.ts';
import { type Hash128, hashRow, type StateHash } from './hash.ts';
import type { Codec } from './row-codec.ts';
import type { RowChange } from './types.ts';

// A CommonJS module with an `__esModule` mark. Node and esbuild give an ES module its exports object, whose `default` is the
// class; vitest gives the class itself.
const imported: unknown = SortedBTree;
const BTree = (typeof imported === 'function' ? imported : SortedBTree.default) as typeof SortedBTree.default;

const byCodeUnits = (x: string, y: string): number => (x < y ? -1 : x > y ? 1 : 0);

/** Ends an iteration of the tree. */
const STOP = { break: true };

class Slot<Row> {
  readonly key: string;
  row: Row;
  /** Hash of the row as it stands in the state hash; null when it is not in it. */
  hash: Hash128 | null = null;
  /** Waits to be settled. */
  changed = true;
  /** Still the row of its key. */
  live = true;
  constructor(key: string, row: Row) {
    this.key = key;
    this.row = row;
  }
}

/** Counts row changes of all tables, so that a rejection can prove that it made none. */
export interface WriteCounter {
  writes: number;
}

export class Table<Row> {
  readonly name: string;
  readonly #codec: Codec<Row>;
  readonly #hash: StateHash;
  readonly #counter: WriteCounter;
  /** The same slots twice: by key for single rows, which is most of the work, and in order for ranges. */
  readonly #slots = new Map<string, Slot<Row>>();
  readonly #order = new BTree<string, Slot<Row>>(undefined, byCodeUnits);
  /** Slots changed since the last settle, in the order of their first change; a removed one stands before its successor. */
  #unsettled: Slot<Row>[] = [];
  /** Changes since the last take. */
  readonly #changes = new Map<string, string | null>();

  constructor(name: string, codec: Codec<Row>, hash: StateHash, counter: WriteCounter) {
    this.name = name;
    this.#codec = codec;
    this.#hash = hash;
    this.#counter = counter;
  }

  get size(): number {
    return this.#slots.size;
  }

  get(key: string): Row | null {
    return this.#slots.get(key)?.row ?? null;
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  /** The row must not be changed afterwards. */
  put(key: string, row: Row): void {
    this.#counter.writes++;
    const slot = this.#slots.get(key);
    if (slot !== undefined) {
      slot.row = row;
      this.#markChanged(slot);
      return;
    }
    const fresh = new Slot(key, row);
    this.#slots.set(key, fresh);
    this.#order.set(key, fresh);
    this.#unsettled.push(fresh);
  }

  /** True when there was one. */
  delete(key: string): boolean {
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    this.#counter.writes++;
    this.#slots.delete(key);
    this.#order.delete(key);
    slot.live = false;
    this.#markChanged(slot);
    return true;
  }

  #markChanged(slot: Slot<Row>): void {
    if (slot.changed) return;
    slot.changed = true;
    this.#unsettled.push(slot);
  }

  firstKey(): string | undefined {
    return this.#order.minKey();
  }

  lastKey(): string | undefined {
    return this.#order.maxKey();
  }

  /** Rows with `from` ≤ key < `to`, in key order, at most `limit`. */
  range(from: string, to: string, limit: number): readonly (readonly [key: string, row: Row])[] {
    const found: (readonly [string, Row])[] = [];
    if (limit <= 0) return found;
    // Not `getRange`: version 2.1.0 gives one more than its maximum.
    this.#order.forRange(from, to, false, (key, slot) => {
      found.push([key, slot.row]);
      return found.length < limit ? undefined : STOP;
    });
    return found;
  }

  /** Deletes up to `limit` rows with `from` ≤ key < `to`; returns how many. */
  deleteRange(from: string, to: string, limit: number): number {
    const found = this.range(from, to, limit);
    for (const [key] of found) this.delete(key);
    return found.length;
  }

  /** A row as it is stored. */
  encode(row: Row): string {
    return JSON.stringify(this.#codec.pack(row));
  }

  decode(value: string): Row {
    return this.#codec.unpack(JSON.parse(value));
  }

  /** Takes a row from a store. It is no change, and the hash counts it. */
  load(key: string, value: string): void {
    assert(!this.#slots.has(key), `stored twice: ${this.name} ${key}`);
    const slot = new Slot(key, this.decode(value));
    slot.changed = false;
    slot.hash = hashRow(this.name, key, value);
    this.#hash.add(slot.hash);
    this.#slots.set(key, slot);
    this.#order.set(key, slot);
  }

  /** Brings the state hash up to date. Costs O(changed rows). */
  settle(): void {
    const unsettled = this.#unsettled;
    if (unsettled.length === 0) return;
    this.#unsettled = [];
    for (const slot of unsettled) {
      slot.changed = false;
      if (slot.hash !== null) this.#hash.subtract(slot.hash);
      if (!slot.live) {
        this.#changes.set(slot.key, null);
        continue;
      }
      const value = this.encode(slot.row);
      slot.hash = hashRow(this.name, slot.key, value);
      this.#hash.add(slot.hash);
      this.#changes.set(slot.key, value);
    }
  }

  /** Appends the changes since the last take in key order, and forgets them. */
  takeChanges(into: RowChange[]): void {
    this.settle();
    const keys = [...this.#changes.keys()].sort();
    for (const key of keys) into.push({ table: this.name, key, value: this.#changes.get(key) ?? null });
    this.#changes.clear();
  }
}
