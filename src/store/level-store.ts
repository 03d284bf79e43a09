/**
 * The mirror of the tables in LevelDB, all streams of a member in one database.
 *
 * Keys: `format` holds the version of this layout; `member` whose store it is; `<stream, 16 digits> index` the applied index; and
 * `<stream, 16 digits> row <table> <key>` a row. The index sorts before the rows, so that one iterator, which is one
 * consistent state, reads both.
 */
import { Level } from 'level';
import type { RowChange, StoredRow } from '../machine/types.ts';
import { assert, InvariantError } from '../types/assert.ts';
import { type ClusterId, type LogIndex, logIndex, type MemberId, type StreamId } from '../types/ids.ts';
import type { Store } from './types.ts';

const FORMAT_KEY = 'format';
const FORMAT = 'quorate-store-1';
const MEMBER_KEY = 'member';
/** Rows read from LevelDB at a time. */
const LOAD_ROWS = 1_000;

export type StoreErrorCode = 'locked' | 'permission' | 'corrupt' | 'format' | 'foreign' | 'io';

/** The store cannot be used; the message says where and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly path: string;
  constructor(code: StoreErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
  }
}

type Database = Level<string, string>;

/** Whose tables the store mirrors. */
export interface StoreOwner {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** Opens the store in folder `path`, made if absent and then the owner's. Rejects with {@link StoreError}. */
export async function openLevelStore(path: string, owner: StoreOwner): Promise<Store> {
  const database: Database = new Level(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
  try {
    await database.open();
  } catch (cause) {
    throw describe(path, cause);
  }
  try {
    await checkOwner(path, database, owner);
  } catch (cause) {
    await database.close();
    throw cause instanceof StoreError ? cause : describe(path, cause);
  }
  return new LevelStore(path, database);
}

async function checkOwner(path: string, database: Database, { clusterId, memberId }: StoreOwner): Promise<void> {
  const [format, member] = await database.getMany([FORMAT_KEY, MEMBER_KEY]);
  if (format !== undefined && format !== FORMAT) throw otherFormat(path, format);
  const own = `member ${memberId} of cluster ${clusterId}`;
  if (member !== undefined && member !== own) throw foreign(path, member, own);
  if (format !== undefined && member !== undefined) return;
  await database.batch([
    { type: 'put', key: FORMAT_KEY, value: FORMAT },
    { type: 'put', key: MEMBER_KEY, value: own },
  ]);
}

class LevelStore implements Store {
  readonly #path: string;
  readonly #database: Database;
  /** Last write of each stream, settled or not: the next one waits for it. */
  readonly #tails = new Map<StreamId, Promise<void>>();
  /** Index of the last write accepted, once it is known. */
  readonly #indexes = new Map<StreamId, LogIndex>();
  /** The first failed write. Later ones would leave a hole, so there are none (W5). */
  #failure: StoreError | null = null;
  #closing: Promise<void> | null = null;

  constructor(path: string, database: Database) {
    this.#path = path;
    this.#database = database;
  }

  async load(stream: StreamId): Promise<{ readonly appliedIndex: LogIndex; readonly rows: readonly StoredRow[] }> {
    assert(this.#closing === null, 'the store is open');
    await this.#tails.get(stream);
    const prefix = `${streamKey(stream)} `;
    const iterator = this.#database.iterator({ gt: prefix, lt: `${streamKey(stream)}!` });
    const rows: StoredRow[] = [];
    let appliedIndex = logIndex(0);
    try {
      for (let page = await iterator.nextv(LOAD_ROWS); page.length > 0; page = await iterator.nextv(LOAD_ROWS)) {
        for (const [key, value] of page) {
          if (key === indexKey(stream)) appliedIndex = parseIndex(this.#path, value);
          else rows.push(parseRow(this.#path, prefix, key, value));
        }
      }
    } catch (cause) {
      throw cause instanceof StoreError ? cause : describe(this.#path, cause);
    } finally {
      await iterator.close();
    }
    return { appliedIndex, rows };
  }

  write(stream: StreamId, appliedIndex: LogIndex, changes: readonly RowChange[]): Promise<void> {
    if (this.#closing !== null) return Promise.reject(new InvariantError('write to a closed store'));
    const before = this.#tails.get(stream) ?? Promise.resolve();
    const write = before.then(() => this.#write(stream, appliedIndex, changes));
    // The tail never rejects: a failure is kept in #failure, where the next write finds it.
    this.#tails.set(
      stream,
      write.catch(() => undefined),
    );
    return write;
  }

  async #write(stream: StreamId, appliedIndex: LogIndex, changes: readonly RowChange[]): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    try {
      const known = this.#indexes.get(stream) ?? (await this.#storedIndex(stream));
      assert(appliedIndex >= known, `the applied index goes back from ${known} to ${appliedIndex}`);
      await this.#database.batch([
        ...changes.map((change) => operation(stream, change)),
        { type: 'put', key: indexKey(stream), value: String(appliedIndex) },
      ]);
      this.#indexes.set(stream, appliedIndex);
    } catch (cause) {
      if (cause instanceof InvariantError) throw cause;
      this.#failure = cause instanceof StoreError ? cause : describe(this.#path, cause);
      throw this.#failure;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all(this.#tails.values());
    await this.#database.close();
  }

  async #storedIndex(stream: StreamId): Promise<LogIndex> {
    const value = await this.#database.get(indexKey(stream));
    return value === undefined ? logIndex(0) : parseIndex(this.#path, value);
  }
}

type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

function operation(stream: StreamId, change: RowChange): Operation {
  const key = `${streamKey(stream)} row ${change.table} ${change.key}`;
  return change.value === null ? { type: 'del', key } : { type: 'put', key, value: change.value };
}

function streamKey(stream: StreamId): string {
  return String(stream).padStart(16, '0');
}

function indexKey(stream: StreamId): string {
  return `${streamKey(stream)} index`;
}

function parseIndex(path: string, value: string): LogIndex {
  if (/^\d{1,16}$/.test(value) && Number.isSafeInteger(Number(value))) return logIndex(Number(value));
  throw corrupt(path, `its applied index reads ${JSON.stringify(value.slice(0, 40))}`);
}

function parseRow(path: string, prefix: string, key: string, value: string): StoredRow {
  const [kind, table, ...rest] = key.slice(prefix.length).split(' ');
  if (kind === 'row' && table !== undefined && rest.length > 0) return { table, key: rest.join(' '), value };
  throw corrupt(path, `it holds a key that nobody wrote: ${JSON.stringify(key.slice(0, 80))}`);
}

function corrupt(path: string, what: string, cause?: unknown): StoreError {
  return new StoreError(
    'corrupt',
    path,
    `The store in ${path} is damaged: ${what}. Move the folder away and start again; the member rebuilds it from its log.`,
    { cause },
  );
}

function otherFormat(path: string, format: string): StoreError {
  return new StoreError(
    'format',
    path,
    `The store in ${path} has format ${JSON.stringify(format.slice(0, 40))}, this version reads ${FORMAT}. Start the version that wrote it, or name another folder.`,
  );
}

function foreign(path: string, found: string, own: string): StoreError {
  return new StoreError(
    'foreign',
    path,
    `The store in ${path} belongs to ${JSON.stringify(found.slice(0, 160))}, but this is ${own}. Put the store back that belongs to this member, or move this one away: it is rebuilt from the log.`,
  );
}

/** What LevelDB said, as something to act on. Its reasons are codes and, for the operating system's errors, only text. */
function describe(path: string, error: unknown): StoreError {
  const chain: Error[] = [];
  for (let at: unknown = error; at instanceof Error && chain.length < 8; at = at.cause) chain.push(at);
  const codes = chain.map((at) => String((at as { code?: unknown }).code ?? ''));
  const text = chain.map(({ message }) => message).join(': ');
  if (codes.includes('LEVEL_LOCKED')) {
    return new StoreError(
      'locked',
      path,
      `The store in ${path} is in use by another process. Stop that process, or give this member a data folder of its own.`,
      { cause: error },
    );
  }
  if (codes.some((code) => code === 'EACCES' || code === 'EPERM') || /permission denied|EACCES|EPERM/i.test(text)) {
    return new StoreError(
      'permission',
      path,
      `No permission to use the store in ${path}. Let this process's user read and write the folder.`,
      { cause: error },
    );
  }
  // LevelDB makes what is missing of a new store; of one that exists, a file that is not there was lost.
  if (codes.includes('LEVEL_CORRUPTION') || /corruption|No such file/i.test(text)) return corrupt(path, text, error);
  return new StoreError(
    'io',
    path,
    `The store in ${path} cannot be read or written (${text}). Check the disk and its free space, then start again.`,
    { cause: error },
  );
}
