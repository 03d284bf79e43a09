/** What a member keeps on disk, opened together: log, copy of its hard states, store (W4). */
import type { Clock } from '../ports/clock.ts';
import type { Disk } from '../ports/disk.ts';
import type { Configuration } from '../raft/types.ts';
import type { Store } from '../store/types.ts';
import type { StreamId } from '../types/ids.ts';
import type { Wal, WalOptions } from '../wal/types.ts';
import type { StorageProblem } from './marker.ts';

export type { StorageProblem } from './marker.ts';

export interface StorageOptions {
  /** The data folder. The copy of hard states and `recovering.json`, `async.json` are in it, and what is moved aside goes into it. */
  readonly root: Disk;
  /** Folder of the log in `root`. */
  readonly logFolder: string;
  readonly clock: Clock;
  /** `hardStateCopy` is set by `openStorage`. */
  readonly wal: Omit<WalOptions, 'hardStateCopy'>;
  /** Streams that a member has; a new log need not hold them. */
  readonly streams: readonly StreamId[];
  /** Rejects with an error whose `code` is `corrupt` when the store is damaged; may be called again after that. */
  readonly openStore: () => Promise<Store>;
  /**
   * Moves the store's files to `name` in the data folder, durably. The store is closed. No error when there is nothing to
   * move; continues what a crash left half moved.
   */
  readonly moveStoreAside: (name: string) => Promise<void>;
  /**
   * With what the log was begun: nobody for a member that was added later. For a member that lost both log and tables, and whose
   * cluster has not changed since: no entry would ever tell it that it is a voter. null: not known; then such a member does
   * not start, because one that is wrong about it could be elected by others than its peers.
   */
  readonly founding: Configuration | null;
  /** What whoever loaded the store found wrong with it: taken as damage, as if `openStore` had rejected. */
  readonly storeProblem?: Error;
}

export interface StorageReport {
  /**
   * sound: all that was there is there. rebuilt: the store was lost and is replayed from the log. recovering: a part of what the
   * member may have acknowledged is lost; it must not vote before its peers have brought it up to date.
   */
  readonly kind: 'sound' | 'rebuilt' | 'recovering';
  readonly problem: StorageProblem | null;
  /** Where what was damaged is kept, as messages call it. */
  readonly movedAside: readonly string[];
}

export interface Storage {
  readonly wal: Wal;
  readonly store: Store;
  readonly recovering: boolean;
  readonly report: StorageReport;
  /** The member has recovered: it may vote from the next start on too. Idempotent. */
  finishRecovery(): Promise<void>;
  /** The word that this member may have acknowledged what it has not fsync'd (A2). Both are durable when they resolve. */
  readonly asyncMark: { write(): Promise<void>; remove(): Promise<void> };
}
