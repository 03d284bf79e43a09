/**
 * The tables of a member, as a LevelDB without synced writes keeps them: batches are atomic and ordered, a process
 * may die without losing any, a power cut may take away any number of the last ones.
 */
import type { RowChange, StoredRow } from '../../../src/machine/types.ts';
import type { Store } from '../../../src/store/types.ts';
import { type LogIndex, logIndex, type StreamId } from '../../../src/types/ids.ts';
import type { Prng } from '../kernel/prng.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';

interface Batch {
  readonly stream: StreamId;
  readonly appliedIndex: LogIndex;
  readonly changes: readonly RowChange[];
}

export class SimStoreDisk {
  readonly #world: World;
  readonly #prng: Prng;
  #batches: Batch[] = [];

  constructor(world: World, prng: Prng) {
    this.#world = world;
    this.#prng = prng;
  }

  attach(owner: Owner): Store {
    return {
      load: (stream) => this.#later(owner, 100, () => this.#load(stream)),
      write: (stream, appliedIndex, changes) => {
        const batch = { stream, appliedIndex, changes: changes.map((change) => ({ ...change })) };
        return this.#later(owner, 2_000, () => this.#write(batch));
      },
      close: () => this.#later(owner, 100, () => undefined),
    };
  }

  crash(): void {
    const total = this.#batches.length;
    const kept = this.#prng.pick([total, this.#prng.below(total + 1), Math.max(0, total - this.#prng.below(4)), 0]);
    this.#batches = this.#batches.slice(0, kept);
  }

  #load(stream: StreamId): { readonly appliedIndex: LogIndex; readonly rows: readonly StoredRow[] } {
    const tables = new Map<string, Map<string, string>>();
    let appliedIndex = logIndex(0);
    for (const batch of this.#batches) {
      if (batch.stream !== stream) continue;
      appliedIndex = batch.appliedIndex;
      for (const { table, key, value } of batch.changes) {
        const rows = tables.get(table) ?? new Map<string, string>();
        tables.set(table, rows);
        if (value === null) rows.delete(key);
        else rows.set(key, value);
      }
    }
    const rows: StoredRow[] = [];
    for (const table of [...tables.keys()].sort()) {
      const byKey = [...(tables.get(table) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [key, value] of byKey) rows.push({ table, key, value });
    }
    return { appliedIndex, rows };
  }

  #write(batch: Batch): void {
    const before = this.#batches.findLast((earlier) => earlier.stream === batch.stream)?.appliedIndex ?? 0;
    if (batch.appliedIndex < before) throw new Error(`applied index ${batch.appliedIndex} after ${before}`);
    this.#batches.push(batch);
  }

  #later<T>(owner: Owner, delayMaxUs: number, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#world.after(this.#prng.between(10, delayMaxUs), owner, () => {
        try {
          resolve(effect());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }
}
