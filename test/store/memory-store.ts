/** A store without a disk, for tests. Passes the same contract suite as the LevelDB store. */
import type { RowChange, StoredRow } from '../../src/machine/types.ts';
import type { SnapshotMark } from '../../src/raft/types.ts';
import type { RowPosition, Staging, Store, StoredState, StoreImage } from '../../src/store/types.ts';
import { assert, InvariantError } from '../../src/types/assert.ts';
import { logIndex, type StreamId } from '../../src/types/ids.ts';

interface StreamData {
  state: StoredState;
  rows: Map<string, StoredRow>;
}

/** What outlives the store that wrote it: hand it to the next one, as a folder would be. */
export class MemoryStoreData {
  readonly streams = new Map<StreamId, StreamData>();
}

interface Page {
  readonly rows: readonly StoredRow[];
  readonly next: RowPosition | null;
}

export class MemoryStore implements Store {
  readonly #data: MemoryStoreData;
  readonly #staged = new Map<StreamId, Staging>();
  #closed = false;

  constructor(data: MemoryStoreData = new MemoryStoreData()) {
    this.#data = data;
  }

  async state(stream: StreamId): Promise<StoredState> {
    this.#check();
    return this.#stream(stream).state;
  }

  /** Writes at once, in one turn: nothing can be seen half done, and calls cannot overtake one another. */
  async write(stream: StreamId, mark: SnapshotMark, changes: readonly RowChange[]): Promise<void> {
    this.#check();
    const data = this.#stream(stream);
    checkMark(data, mark);
    apply(data.rows, changes);
    data.state = { ...data.state, mark };
  }

  async sync(): Promise<void> {
    this.#check();
  }

  async image(stream: StreamId): Promise<StoreImage | null> {
    this.#check();
    const { state, rows } = this.#stream(stream);
    if (state.mark === null) return null;
    const copy = new Map(rows);
    let open = true;
    return {
      mark: state.mark,
      read: async (after, bytesMax) => {
        assert(open && !this.#closed, 'the image is open');
        return page(copy, after, bytesMax);
      },
      close: async () => {
        open = false;
      },
    };
  }

  async stage(stream: StreamId): Promise<Staging> {
    this.#check();
    const rows = new Map<string, StoredRow>();
    const check = (): void => {
      this.#check();
      assert(this.#staged.get(stream) === staging, 'what was staged is installed, discarded, or replaced');
    };
    const staging: Staging = {
      add: async (added) => {
        check();
        apply(rows, added);
      },
      install: async (mark) => {
        check();
        const data = this.#stream(stream);
        checkMark(data, mark);
        data.rows = rows;
        data.state = { mark, installing: true };
        this.#staged.delete(stream);
      },
      read: async (after, bytesMax) => {
        check();
        return page(rows, after, bytesMax);
      },
      discard: async () => {
        if (this.#staged.get(stream) === staging) this.#staged.delete(stream);
      },
    };
    this.#staged.set(stream, staging);
    return staging;
  }

  async installed(stream: StreamId): Promise<void> {
    this.#check();
    const data = this.#stream(stream);
    data.state = { ...data.state, installing: false };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new InvariantError('use of a closed store');
  }

  #stream(stream: StreamId): StreamData {
    let data = this.#data.streams.get(stream);
    if (data === undefined) {
      data = { state: { mark: null, installing: false }, rows: new Map() };
      this.#data.streams.set(stream, data);
    }
    return data;
  }
}

function checkMark({ state }: StreamData, mark: SnapshotMark): void {
  const known = state.mark?.index ?? logIndex(0);
  assert(mark.index >= known, `the applied index goes back from ${known} to ${mark.index}`);
}

function apply(rows: Map<string, StoredRow>, changes: readonly RowChange[]): void {
  for (const { table, key, value } of changes) {
    const name = `${table} ${key}`;
    if (value === null) rows.delete(name);
    else rows.set(name, { table, key, value });
  }
}

/** By the bytes of UTF-8, as LevelDB orders them. */
function order(x: RowPosition, y: RowPosition): number {
  return Buffer.compare(Buffer.from(`${x.table} ${x.key}`), Buffer.from(`${y.table} ${y.key}`));
}

function page(all: ReadonlyMap<string, StoredRow>, after: RowPosition | null, bytesMax: number): Page {
  const rows: StoredRow[] = [];
  let bytes = 0;
  for (const row of [...all.values()].sort(order)) {
    if (after !== null && order(row, after) <= 0) continue;
    bytes += Buffer.byteLength(row.table + row.key + row.value);
    const last = rows.at(-1);
    if (bytes > bytesMax && last !== undefined) return { rows, next: { table: last.table, key: last.key } };
    rows.push(row);
  }
  return { rows, next: null };
}
