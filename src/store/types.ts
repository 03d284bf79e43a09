/**
 * The mirror of the tables on disk, and the images of it that snapshots and backups are made of. Implementations:
 * `level-store.ts` here, a memory store in `test/`. One contract suite runs over both.
 *
 * A store holds for each stream one *generation* of rows and the mark that says which entry they stand after. A snapshot that
 * comes in is staged as a second generation beside it, and becomes the first in one small atomic write.
 */
import type { RowChange, StoredRow } from '../machine/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import type { StreamId } from '../types/ids.ts';

export interface StoredState {
  /**
   * null for a new store. Term 0 and no voters with an index above 0: the store was written by release 0.1, which kept the
   * index alone; the log, which that release never cut, has the rest. The next `write` brings it up to date.
   */
  readonly mark: SnapshotMark | null;
  /**
   * The log has not yet been told that it begins after `mark` (see `install`): the caller resets it, and then calls
   * `installed`.
   */
  readonly installing: boolean;
}

/** Where a read of an image goes on: after this row. */
export interface RowPosition {
  readonly table: string;
  readonly key: string;
}

/** The rows of one stream as they were at one moment; writes go on beside it. Must be closed, and soon: it holds disk space. */
export interface StoreImage {
  readonly mark: SnapshotMark;
  /** Rough size of the rows on disk, for a progress display; left out where nobody knows. */
  readonly bytesEstimate?: number;
  /**
   * Rows after `after` (null: from the start) in the order of the code points of (table, key), at most `bytesMax` of them in
   * UTF-8, but at least one; `next` is null at the end. The same call gives the same rows for as long as the image is open.
   * Rejects when the store had to reopen itself meanwhile (`no_space`): the image is lost then, and another can be taken.
   */
  read(
    after: RowPosition | null,
    bytesMax: number,
  ): Promise<{ readonly rows: readonly StoredRow[]; readonly next: RowPosition | null }>;
  close(): Promise<void>;
}

/** Rows of an image that comes in. One at a time for each stream: `stage` discards what was staged before. */
export interface Staging {
  /** Not durable by itself. In order. */
  add(rows: readonly StoredRow[]): Promise<void>;
  /**
   * Makes what was staged the rows of the stream, durably and atomically, with `mark` and `installing` set: after a crash the
   * store has the old rows or the new ones. Old rows go in the background. The mark never goes back.
   */
  install(mark: SnapshotMark): Promise<void>;
  /** Rows staged so far, in the order of `image().read`; to load the state from before `install`. */
  read(
    after: RowPosition | null,
    bytesMax: number,
  ): Promise<{ readonly rows: readonly StoredRow[]; readonly next: RowPosition | null }>;
  discard(): Promise<void>;
}

export interface Store {
  state(stream: StreamId): Promise<StoredState>;
  /**
   * Writes the changes and the mark in one atomic batch. Need not be durable at once: the log is, and replays what the
   * store missed. `mark.index` never goes back (asserted). Rejects with code `no_space` when the disk is full; the same write
   * may be tried again then (the store reopens itself if it must), and nothing of it is there before it succeeds. Writes of the
   * stream that were called before that was known fail with it. Any other failure is final.
   */
  write(stream: StreamId, mark: SnapshotMark, changes: readonly RowChange[]): Promise<void>;
  /** Resolves when every write that resolved before the call is durable: it survives a power loss. */
  sync(): Promise<void>;
  /** A consistent image of what is written now. null when nothing was written yet. */
  image(stream: StreamId): Promise<StoreImage | null>;
  stage(stream: StreamId): Promise<Staging>;
  /** The log begins after the mark now, durably: takes `installing` back. */
  installed(stream: StreamId): Promise<void>;
  /** Waits for writes in flight, closes images. Idempotent. */
  close(): Promise<void>;
}
