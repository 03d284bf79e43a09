/** A store without a disk, for the simulator and for tests. Passes the same contract suite as the LevelDB store. */
import type { RowChange, StoredRow } from '../../src/machine/types.ts';
import type { Store } from '../../src/store/types.ts';
import { assert, InvariantError } from '../../src/types/assert.ts';
import { type LogIndex, logIndex, type StreamId } from '../../src/types/ids.ts';

interface StreamData {
  appliedIndex: LogIndex;
  readonly rows: Map<string, StoredRow>;
}

/** What outlives the store that wrote it: hand it to the next one, as a folder would be. */
export class MemoryStoreData {
  readonly streams = new Map<StreamId, StreamData>();
}

export class MemoryStore implements Store {
  readonly #data: MemoryStoreData;
  #closed = false;

  constructor(data: MemoryStoreData = new MemoryStoreData()) {
    this.#data = data;
  }

  async load(stream: StreamId): Promise<{ readonly appliedIndex: LogIndex; readonly rows: readonly StoredRow[] }> {
    assert(!this.#closed, 'the store is open');
    const data = this.#data.streams.get(stream);
    return { appliedIndex: data?.appliedIndex ?? logIndex(0), rows: [...(data?.rows.values() ?? [])] };
  }

  /** Writes at once, in one turn: nothing can be seen half done, and calls cannot overtake one another. */
  async write(stream: StreamId, appliedIndex: LogIndex, changes: readonly RowChange[]): Promise<void> {
    if (this.#closed) throw new InvariantError('write to a closed store');
    const data = this.#data.streams.get(stream) ?? { appliedIndex: logIndex(0), rows: new Map<string, StoredRow>() };
    assert(
      appliedIndex >= data.appliedIndex,
      `the applied index goes back from ${data.appliedIndex} to ${appliedIndex}`,
    );
    this.#data.streams.set(stream, data);
    for (const { table, key, value } of changes) {
      const name = `${table} ${key}`;
      if (value === null) data.rows.delete(name);
      else data.rows.set(name, { table, key, value });
    }
    data.appliedIndex = appliedIndex;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}
