/**
 * The mirror of the tables in LevelDB, all streams of a member in one database. Layout: `FORMAT.md`.
 *
 * Invariants:
 * L1  What changes the database runs one after the other, in the order of the calls.
 * L2  The index record of a stream names the generation whose rows belong to it; rows of others are leftovers, removed in the
 *     background, at the latest after the next open.
 * L3  A generation is never used twice while rows of it are left.
 * L4  After a write that failed for want of space, those that were called behind it fail as well: no hole.
 */
import type { RowChange } from '../machine/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import { assert, InvariantError } from '../types/assert.ts';
import { type ClusterId, logIndex, type MemberId, type StreamId, streamId } from '../types/ids.ts';
import { Database, type Put } from './database.ts';
import {
  decodeIndex,
  encodeIndex,
  FORMAT_1,
  FORMAT_2,
  FORMAT_KEY,
  generationOf,
  type IndexRecord,
  indexKey,
  MEMBER_KEY,
  rowKey,
  rowRange,
  STREAMS_END,
  streamRange,
} from './layout.ts';
import { LevelImage } from './level-image.ts';
import { corrupt, foreign, otherFormat, StoreError } from './store-error.ts';
import type { Staging, Store, StoredState, StoreImage } from './types.ts';

/** Leftover rows removed in one go; writes come in between. */
const REMOVED_ROWS = 1_000;

/** Whose tables the store mirrors. */
export interface StoreOwner {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

interface Staged extends Staging {
  readonly generation: number;
}

interface StreamState {
  /** null: nothing was written yet. */
  record: IndexRecord | null;
  /** Never used, and above all that were (L3). */
  nextGeneration: number;
  staging: Staged | null;
  /** Counts failures for want of space: a write that was called before the last one is not carried out (L4). */
  failures: number;
  failure: StoreError | null;
}

/** Opens the store in folder `path`, made if absent and then the owner's. Rejects with `StoreError`. */
export async function openLevelStore(path: string, owner: StoreOwner): Promise<Store> {
  const database = await Database.open(path);
  try {
    const format = await checkOwner(path, database, owner);
    const store = new LevelStore(path, database, format);
    await store.recover();
    return store;
  } catch (cause) {
    await database.close();
    throw cause;
  }
}

async function checkOwner(path: string, database: Database, { clusterId, memberId }: StoreOwner): Promise<string> {
  const [format, member] = [await database.get(FORMAT_KEY), await database.get(MEMBER_KEY)];
  if (format !== undefined && format !== FORMAT_1 && format !== FORMAT_2) throw otherFormat(path, format, FORMAT_2);
  const own = `member ${memberId} of cluster ${clusterId}`;
  if (member !== undefined && member !== own) throw foreign(path, member, own);
  if (format !== undefined && member !== undefined) return format;
  await database.write([
    { key: FORMAT_KEY, value: FORMAT_2 },
    { key: MEMBER_KEY, value: own },
  ]);
  return FORMAT_2;
}

class LevelStore implements Store {
  readonly #path: string;
  readonly #database: Database;
  /** What is in the database; format 1 becomes 2 with the first write. */
  #format: string;
  readonly #streams = new Map<StreamId, StreamState>();
  readonly #images = new Set<LevelImage>();
  /** Settles, and never rejects, when everything called so far is done (L1). */
  #tail: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(path: string, database: Database, format: string) {
    this.#path = path;
    this.#database = database;
    this.#format = format;
  }

  /** Reads the index records, and sets about removing what a crash left. */
  async recover(): Promise<void> {
    const range = { gt: '', lt: STREAMS_END };
    for (
      let key = await this.#database.firstKey(range);
      key !== undefined;
      key = await this.#database.firstKey(range)
    ) {
      if (!/^\d{16} /.test(key)) throw corrupt(this.#path, `it holds a key that nobody wrote: ${JSON.stringify(key)}`);
      const stream = streamId(Number(key.slice(0, 16)));
      await this.#recoverStream(stream);
      range.gt = streamRange(stream).lt;
    }
  }

  async #recoverStream(stream: StreamId): Promise<void> {
    const text = await this.#database.get(indexKey(stream));
    const record = text === undefined ? null : decodeIndex(this.#path, text);
    const range = { ...streamRange(stream) };
    const generations: number[] = [];
    for (
      let key = await this.#database.firstKey(range);
      key !== undefined;
      key = await this.#database.firstKey(range)
    ) {
      const generation = generationOf(this.#path, key);
      range.gt = generation === null ? key : rowRange(stream, generation, null).lt;
      if (generation !== null) generations.push(generation);
    }
    // Staged rows have a generation above 0; those of 0 are only ever written together with the index.
    if (record === null && generations.includes(0)) throw corrupt(this.#path, 'it has rows and no applied index');
    const nextGeneration = Math.max(0, record?.generation ?? 0, ...generations) + 1;
    this.#streams.set(stream, { record, nextGeneration, staging: null, failures: 0, failure: null });
    for (const left of generations) if (left !== (record?.generation ?? 0)) this.#removeInBackground(stream, left);
  }

  state(stream: StreamId): Promise<StoredState> {
    return this.#run(() => {
      const { record } = this.#stream(stream);
      return { mark: record?.mark ?? null, installing: record?.installing ?? false };
    });
  }

  write(stream: StreamId, mark: SnapshotMark, changes: readonly RowChange[]): Promise<void> {
    const { failures } = this.#stream(stream);
    return this.#run(async () => {
      const state = this.#stream(stream);
      if (state.failures !== failures && state.failure !== null) throw state.failure;
      const known = state.record?.mark.index ?? logIndex(0);
      assert(mark.index >= known, `the applied index goes back from ${known} to ${mark.index}`);
      const generation = state.record?.generation ?? 0;
      const record = { mark, generation, installing: state.record?.installing ?? false };
      try {
        await this.#write(stream, generation, changes, record);
      } catch (error) {
        if (error instanceof StoreError && error.code === 'no_space') {
          state.failures += 1;
          state.failure = error;
        }
        throw error;
      }
      state.record = record;
    });
  }

  sync(): Promise<void> {
    return this.#run(() => this.#database.sync());
  }

  image(stream: StreamId): Promise<StoreImage | null> {
    return this.#run(async () => {
      const { record } = this.#stream(stream);
      if (record === null) return null;
      const bytes = await this.#database.approximateBytes(rowRange(stream, record.generation, null));
      const onClose = (closed: LevelImage): boolean => this.#images.delete(closed);
      const image = new LevelImage(this.#path, this.#database, stream, record, bytes, onClose);
      this.#images.add(image);
      return image;
    });
  }

  stage(stream: StreamId): Promise<Staging> {
    return this.#run(() => {
      const state = this.#stream(stream);
      this.#drop(stream, state);
      const generation = state.nextGeneration;
      state.nextGeneration += 1;
      const checked = <T>(action: () => Promise<T>): Promise<T> =>
        this.#run(() => {
          assert(state.staging === staging, 'what was staged is installed, discarded, or replaced by another image');
          return action();
        });
      const staging: Staged = {
        generation,
        add: (rows) => checked(() => this.#write(stream, generation, rows, null)),
        install: (mark) => checked(() => this.#install(stream, state, generation, mark)),
        read: (after, bytesMax) => checked(() => this.#database.page(stream, generation, after, bytesMax, null)),
        discard: () =>
          this.#run(() => {
            if (state.staging === staging) this.#drop(stream, state);
          }),
      };
      state.staging = staging;
      return staging;
    });
  }

  #drop(stream: StreamId, state: StreamState): void {
    const { staging } = state;
    state.staging = null;
    if (staging !== null) this.#removeInBackground(stream, staging.generation);
  }

  async #install(stream: StreamId, state: StreamState, generation: number, mark: SnapshotMark): Promise<void> {
    const before = state.record;
    const known = before?.mark.index ?? logIndex(0);
    assert(mark.index >= known, `the applied index goes back from ${known} to ${mark.index}`);
    const record = { mark, generation, installing: true };
    // The rows first: a record that names rows which a power loss took away would be a damaged store.
    await this.#database.sync();
    await this.#write(stream, generation, [], record, true);
    state.record = record;
    state.staging = null;
    if (before !== null) this.#removeInBackground(stream, before.generation);
  }

  installed(stream: StreamId): Promise<void> {
    return this.#run(async () => {
      const state = this.#stream(stream);
      if (state.record === null || !state.record.installing) return;
      const record = { ...state.record, installing: false };
      // Durable before anything is acknowledged: else a restart would reset a log that holds new entries.
      await this.#write(stream, record.generation, [], record, true);
      state.record = record;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Removing goes on step by step at the end of the queue; it sees that the store closes and stops.
    for (let tail: Promise<unknown> | null = null; tail !== this.#tail; ) {
      tail = this.#tail;
      await tail;
    }
    for (const image of [...this.#images]) await image.close();
    await this.#database.close();
  }

  /** Runs `action` after everything that was called before (L1). */
  #run<T>(action: () => T | Promise<T>): Promise<T> {
    if (this.#closing !== null) return Promise.reject(new InvariantError('use of a closed store'));
    return this.#queue(action);
  }

  #queue<T>(action: () => T | Promise<T>): Promise<T> {
    const done = this.#tail.then(action);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  #stream(stream: StreamId): StreamState {
    let state = this.#streams.get(stream);
    if (state === undefined) {
      state = { record: null, nextGeneration: 1, staging: null, failures: 0, failure: null };
      this.#streams.set(stream, state);
    }
    return state;
  }

  async #write(
    stream: StreamId,
    generation: number,
    changes: readonly RowChange[],
    record: IndexRecord | null,
    durable = false,
  ): Promise<void> {
    await this.#database.write(puts(stream, generation, changes, record, this.#format !== FORMAT_2), durable);
    this.#format = FORMAT_2;
  }

  /** What fails here is tried again after the next open. */
  #removeInBackground(stream: StreamId, generation: number): void {
    const range = rowRange(stream, generation, null);
    const step = async (): Promise<void> => {
      if (this.#closing !== null) return;
      await this.#database.clear(range, REMOVED_ROWS);
      if ((await this.#database.firstKey(range)) !== undefined) again();
    };
    const again = (): void => {
      this.#queue(step).catch(() => undefined);
    };
    again();
  }
}

function* puts(
  stream: StreamId,
  generation: number,
  changes: readonly RowChange[],
  record: IndexRecord | null,
  upgrade: boolean,
): Generator<Put, void, void> {
  if (upgrade) yield { key: FORMAT_KEY, value: FORMAT_2 };
  for (const change of changes) yield { key: rowKey(stream, generation, change), value: change.value };
  if (record !== null) yield { key: indexKey(stream), value: encodeIndex(record) };
}
