/** Building a machine from stored rows, and what tells whether they are a state. */
import type { LogIndex } from '../types/ids.ts';
import type { MachineLoader, ReplicatedMachine } from './api.ts';
import type { MachineState } from './state.ts';
import type { StoredRow } from './types.ts';

/**
 * Go with every batch of changes to the store: the state hash after them, and the index of the entry after which that is the
 * state. A store that lost or garbled rows, or mixes those of two batches, is found out when it is loaded: LevelDB skips damaged
 * parts of its log when it opens, and does not check what it reads from its tables. No rows of the state itself. Their table
 * sorts after all others. Release 0.1 wrote the hash only.
 */
export const TOTAL_TABLE = 'total';
export const TOTAL_HASH_KEY = 'hash';
export const TOTAL_INDEX_KEY = 'index';

/** Rows that are not a state: damaged, incomplete, or of a newer version. Not a bug of this member. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

export class Loader implements MachineLoader {
  readonly #state: MachineState;
  readonly #make: (appliedIndex: LogIndex, empty: boolean) => ReplicatedMachine;
  readonly #tables: ReadonlyMap<string, { load(key: string, value: string): void }>;
  readonly #totals = new Map<string, string>();
  #rows = 0;
  #finished = false;

  /** `state` is empty and given away; `make` puts a machine around it, in its first state when there were no rows. */
  constructor(state: MachineState, make: (appliedIndex: LogIndex, empty: boolean) => ReplicatedMachine) {
    this.#state = state;
    this.#make = make;
    this.#tables = new Map(state.tables.all.map((table) => [table.name, table]));
  }

  add(rows: Iterable<StoredRow>): void {
    if (this.#finished) throw new StateError('rows after the last one');
    for (const { table, key, value } of rows) {
      this.#rows += 1;
      if (table === TOTAL_TABLE) this.#takeTotal(key, value);
      else this.#load(table, key, value);
    }
  }

  finish(appliedIndex: LogIndex): ReplicatedMachine {
    if (this.#finished) throw new StateError('the rows were taken already');
    this.#finished = true;
    const empty = this.#rows === 0;
    // A store that was never written to. Anything applied would have left rows in it.
    if (empty && appliedIndex !== 0) throw new StateError(`there are no rows at applied index ${appliedIndex}`);
    if (!empty && this.#totals.get(TOTAL_HASH_KEY) !== this.#state.tables.hash.toHex()) {
      throw new StateError('the stored rows do not add up to the state hash that was stored with them');
    }
    const index = this.#totals.get(TOTAL_INDEX_KEY) ?? String(appliedIndex);
    if (index !== String(appliedIndex)) {
      throw new StateError(`the stored rows are those after entry ${index}, not after ${appliedIndex}`);
    }
    if (!empty && this.#state.tables.meta.size !== 1) throw new StateError('the stored rows are not of this machine');
    return this.#make(appliedIndex, empty);
  }

  #load(name: string, key: string, value: string): void {
    const table = this.#tables.get(name);
    if (table === undefined)
      throw new StateError(`stored row of unknown table ${name}: damaged, or of a newer version`);
    try {
      table.load(key, value);
    } catch (cause) {
      throw new StateError(`a stored row of table ${name} cannot be read: damaged, or of a newer version`, { cause });
    }
  }

  #takeTotal(key: string, value: string): void {
    if (key !== TOTAL_HASH_KEY && key !== TOTAL_INDEX_KEY) throw new StateError(`stored row of unknown total ${key}`);
    if (this.#totals.has(key)) throw new StateError(`the state ${key} is stored twice`);
    this.#totals.set(key, value);
  }
}
