/**
 * One LevelDB database: batches that do not stop the event loop, pages of rows, what makes writes durable, and a database that
 * comes back after the disk was full.
 *
 * A write of LevelDB that failed half way leaves a torn record in its log, and records after it would be lost at the next open.
 * So after a failure nothing more is written to it before it was opened anew, which cuts the torn end.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Level } from 'level';
import type { StoredRow } from '../machine/types.ts';
import { InvariantError } from '../types/assert.ts';
import type { StreamId } from '../types/ids.ts';
import { type KeyRange, parseRow, rowRange } from './layout.ts';
import { describe, StoreError } from './store-error.ts';
import { checkTables } from './table-check.ts';
import type { RowPosition } from './types.ts';

type Native = Level<string, string>;
export type Snapshot = ReturnType<Native['snapshot']>;

export interface Put {
  readonly key: string;
  /** null deletes. */
  readonly value: string | null;
}

export interface Page {
  readonly rows: readonly StoredRow[];
  readonly next: RowPosition | null;
}

/** What `level` has in Node, where it is classic-level; its own types are those for browsers as well. */
interface Sizes {
  approximateSize(start: string, end: string): Promise<number>;
}

/** Text handed to LevelDB in one turn: 4 MiB of small rows at once would hold everything else up for over 100 ms. */
const SLICE_CHARACTERS = 64 * 1024;
/** A row's share of it, whatever its length: the call itself takes about 1 µs. */
const ROW_CHARACTERS = 128;
/** What a page reads from LevelDB at a time. */
const READ_ROWS = 512;
const READ_BYTES = 64 * 1024;

export class Database {
  readonly #path: string;
  #native: Native;
  /** Not null: a write failed for want of space, and the database must be opened anew before the next one. */
  #full: StoreError | null = null;
  /** Final: the device failed in a way that leaves open what it holds. */
  #failure: StoreError | null = null;

  private constructor(path: string, native: Native) {
    this.#path = path;
    this.#native = native;
  }

  static async open(path: string): Promise<Database> {
    try {
      await checkTables(path);
    } catch (cause) {
      throw describe(path, cause);
    }
    return new Database(path, await openNative(path));
  }

  snapshot(): Snapshot {
    return this.#readable().snapshot();
  }

  async get(key: string, snapshot: Snapshot | null = null): Promise<string | undefined> {
    try {
      return await this.#readable().get(key, snapshot === null ? {} : { snapshot });
    } catch (cause) {
      throw describe(this.#path, cause);
    }
  }

  /** The first key in the range. */
  async firstKey(range: KeyRange): Promise<string | undefined> {
    try {
      return (
        await this.#readable()
          .keys({ ...range, limit: 1 })
          .all()
      )[0];
    } catch (cause) {
      throw describe(this.#path, cause);
    }
  }

  /** Bytes of the range on disk, about; what was written last is not counted. */
  async approximateBytes({ gt, lt }: KeyRange): Promise<number> {
    try {
      const native: unknown = this.#readable();
      return await (native as Sizes).approximateSize(gt, lt);
    } catch (cause) {
      throw describe(this.#path, cause);
    }
  }

  /** See `StoreImage.read`. */
  async page(
    stream: StreamId,
    generation: number,
    after: RowPosition | null,
    bytesMax: number,
    snapshot: Snapshot | null,
  ): Promise<Page> {
    const range = rowRange(stream, generation, after);
    const options = { ...range, highWaterMarkBytes: READ_BYTES, ...(snapshot === null ? {} : { snapshot }) };
    try {
      const iterator = this.#readable().iterator(options);
      const rows: StoredRow[] = [];
      let bytes = 0;
      try {
        for (;;) {
          const found = await iterator.nextv(READ_ROWS);
          if (found.length === 0) return { rows, next: null };
          for (const [key, value] of found) {
            const row = parseRow(this.#path, stream, generation, key, value);
            bytes += Buffer.byteLength(row.table) + Buffer.byteLength(row.key) + Buffer.byteLength(value);
            const last = rows.at(-1);
            if (bytes > bytesMax && last !== undefined) return { rows, next: { table: last.table, key: last.key } };
            rows.push(row);
          }
        }
      } finally {
        await iterator.close();
      }
    } catch (cause) {
      throw describe(this.#path, cause);
    }
  }

  /**
   * One atomic batch. Rejects with code `no_space` when nothing of it is there and it may be tried again; any other failure is
   * final. `durable`: it survives a power loss, and everything written before it does.
   */
  async write(puts: Iterable<Put>, durable = false): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#full !== null) await this.#reopen();
    const batch = this.#batch();
    try {
      let characters = 0;
      for (const { key, value } of puts) {
        if (value === null) batch.del(key);
        else batch.put(key, value);
        characters += ROW_CHARACTERS + key.length + (value?.length ?? 0);
        if (characters < SLICE_CHARACTERS) continue;
        characters = 0;
        await turn();
      }
      await batch.write();
    } catch (cause) {
      await batch.close();
      throw this.#failed(cause);
    }
    if (durable) await this.sync();
  }

  /** Closed is only a database that found no room to be opened anew. */
  #readable(): Native {
    if (this.#full !== null && this.#native.status !== 'open') throw this.#full;
    return this.#native;
  }

  #batch(): ReturnType<Native['batch']> {
    try {
      return this.#native.batch();
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Removes the first keys of the range, at most `limit`. May stop half way, and be tried again. */
  async clear(range: KeyRange, limit: number): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#full !== null) await this.#reopen();
    try {
      await this.#native.clear({ ...range, limit });
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /**
   * Everything written before survives a power loss. Not by a write with LevelDB's `sync` option: it covers only the log file of
   * that write, and the one before it may have been left a moment ago, unsynced, while its table is still being made. So every
   * log file in the folder is synced; one that has gone meanwhile is in a table, which LevelDB syncs before it removes the log.
   */
  async sync(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    try {
      for (const name of await readdir(this.#path)) {
        if (name.endsWith('.log')) await syncFile(join(this.#path, name));
      }
      await syncFile(this.#path);
    } catch (cause) {
      // Never tried again, whatever it was: a kernel may forget what it failed to write, and the next fsync would lie.
      const what = cause instanceof Error ? cause.message : String(cause);
      const message = `What was written to the store in ${this.#path} could not be made durable (${what}). Check the disk, then start again.`;
      this.#failure ??= new StoreError('io', this.#path, message, { cause });
      throw this.#failure;
    }
  }

  async close(): Promise<void> {
    await this.#native.close();
  }

  #failed(cause: unknown): StoreError | InvariantError {
    if (cause instanceof InvariantError) return cause;
    const error = describe(this.#path, cause);
    if (error.code === 'no_space') this.#full = error;
    else this.#failure ??= error;
    return error;
  }

  /** Images of the database that was open before end with it. */
  async #reopen(): Promise<void> {
    try {
      await this.#native.close();
      this.#native = await openNative(this.#path);
      this.#full = null;
    } catch (cause) {
      throw this.#failed(cause);
    }
  }
}

async function openNative(path: string): Promise<Native> {
  const native: Native = new Level(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
  try {
    await native.open();
    return native;
  } catch (cause) {
    throw describe(path, cause);
  }
}

async function syncFile(path: string): Promise<void> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
