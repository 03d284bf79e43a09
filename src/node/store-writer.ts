/**
 * Write-behind: collects the rows that applies changed and writes them, with the mark of what was applied, in one batch.
 * Invariants:
 * S1  The store never holds an effect of an entry that is not durable in this member's own log, so that after a power loss
 *     the log is never shorter than what the store has applied.
 * S2  What the store has, it has whole: the rows of a batch that found no room are kept and written again, with the mark
 *     that they were taken for, before anything later.
 */
import type { ReplicatedMachine } from '../machine/api.ts';
import type { RowChange } from '../machine/types.ts';
import type { Clock } from '../ports/clock.ts';
import type { SnapshotMark } from '../raft/types.ts';
import type { Store } from '../store/types.ts';
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type StreamId } from '../types/ids.ts';

interface Batch {
  readonly mark: SnapshotMark;
  readonly changes: readonly RowChange[];
}

export interface StoreWriterOptions {
  readonly stream: StreamId;
  readonly store: Store;
  readonly clock: Clock;
  readonly flushMs: number;
  readonly flushBytes: number;
  readonly machine: () => ReplicatedMachine;
  /** What the machine has applied, as it will stand in the store. */
  readonly mark: () => SnapshotMark;
  readonly durableIndex: () => LogIndex;
  readonly onError: (error: Error) => void;
}

export class StoreWriter {
  readonly #options: StoreWriterOptions;
  #cancelTimer: (() => void) | null = null;
  #writing: Promise<void> | null = null;
  #storedIndex: LogIndex;
  #bytes = 0;
  /** Found no room; goes first. */
  #refused: Batch | null = null;
  #held = false;
  #stopped = false;

  constructor(options: StoreWriterOptions) {
    this.#options = options;
    this.#storedIndex = options.machine().appliedIndex;
  }

  /** What the store holds, durable or not. */
  get storedIndex(): LogIndex {
    return this.#storedIndex;
  }
  /** The disk has no room for the tables; what waits is written when `retry` finds some. */
  get noSpace(): boolean {
    return this.#refused !== null;
  }

  /** Entries of `bytes` were applied; they will be written when there is enough of them, or within `flushMs`. */
  touch(bytes: number): void {
    this.#bytes += bytes;
    if (this.#stopped || this.#held || this.#writing !== null) return;
    if (this.#bytes >= this.#options.flushBytes && this.#refused === null) {
      this.#disarm();
      this.#start();
      return;
    }
    this.#cancelTimer ??= this.#options.clock.after(this.#options.flushMs, () => {
      this.#cancelTimer = null;
      this.#start();
    });
  }

  /** Resolves when the store holds everything that was applied and durable at the call, or cannot. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#stopped || this.#held) return;
    this.#disarm();
    this.#start();
    await this.#writing;
  }

  /** Tries again to write what found no room. Resolves with `noSpace`. */
  async retry(): Promise<boolean> {
    if (this.#refused !== null) await this.flush();
    return this.noSpace;
  }

  /** Nothing is written from here on, until `resume`: the state is being replaced. Resolves when the store is quiet. */
  async hold(): Promise<void> {
    this.#held = true;
    this.#disarm();
    await this.#writing;
  }

  /** The store and the machine stand at `index` now. */
  resume(index: LogIndex): void {
    assert(this.#held && this.#writing === null, 'held before');
    this.#held = false;
    this.#refused = null;
    this.#bytes = 0;
    this.#storedIndex = index;
  }

  #start(): void {
    if (this.#stopped || this.#held || this.#writing !== null) return;
    const batch = this.#refused ?? this.#take();
    if (batch === null) return;
    this.#writing = this.#write(batch);
  }

  #take(): Batch | null {
    const { machine, mark, durableIndex, clock } = this.#options;
    const { appliedIndex } = machine();
    if (appliedIndex === this.#storedIndex) return null;
    if (appliedIndex > durableIndex()) {
      // S1: followers may have committed what this disk has not finished writing.
      this.#cancelTimer ??= clock.after(1, () => {
        this.#cancelTimer = null;
        this.#start();
      });
      return null;
    }
    this.#bytes = 0;
    const at = mark();
    assert(at.index === appliedIndex, 'the mark is of what was applied');
    return { mark: at, changes: machine().takeChanges() };
  }

  async #write(batch: Batch): Promise<void> {
    const { store, stream, onError } = this.#options;
    try {
      await store.write(stream, batch.mark, batch.changes);
    } catch (error) {
      this.#writing = null;
      if (isNoSpace(error)) {
        this.#refused = batch;
        return;
      }
      this.#stopped = true;
      onError(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#writing = null;
    this.#refused = null;
    this.#storedIndex = batch.mark.index;
    if (this.#options.machine().appliedIndex > this.#storedIndex) this.touch(0);
  }

  /** Writes what is left, if the log allows it, and waits. What is not written is replayed from the log. */
  async stop(): Promise<void> {
    await this.flush();
    this.#stopped = true;
    this.#disarm();
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  /** Forgets everything at once: the member failed. */
  abandon(): void {
    this.#stopped = true;
    this.#disarm();
  }
}

/** Stores say so by the code of their error. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && (error as { readonly code?: unknown }).code === 'no_space';
}

/** Index 0 and nothing known: the state before the first entry. */
export function emptyMark(configuration: SnapshotMark['configuration']): SnapshotMark {
  return { index: logIndex(0), term: 0 as SnapshotMark['term'], configuration };
}
