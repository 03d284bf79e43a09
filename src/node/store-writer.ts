/**
 * Write-behind: collects the rows that applies changed and writes them, with the applied index, in one batch.
 * Invariant S1: the store never holds an effect of an entry that is not durable in this member's own log, so that
 * after a power loss the log is never shorter than what the store has applied.
 */
import type { ReplicatedMachine } from '../machine/api.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../store/types.ts';
import type { LogIndex, StreamId } from '../types/ids.ts';

export class StoreWriter {
  readonly #stream: StreamId;
  readonly #machine: ReplicatedMachine;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #flushMs: number;
  readonly #durableIndex: () => LogIndex;
  readonly #onError: (error: Error) => void;
  #cancelTimer: (() => void) | null = null;
  #writing: Promise<void> | null = null;
  #writtenIndex: number;
  #stopped = false;

  constructor(options: {
    readonly stream: StreamId;
    readonly machine: ReplicatedMachine;
    readonly store: Store;
    readonly clock: Clock;
    readonly flushMs: number;
    readonly durableIndex: () => LogIndex;
    readonly onError: (error: Error) => void;
  }) {
    this.#stream = options.stream;
    this.#machine = options.machine;
    this.#store = options.store;
    this.#clock = options.clock;
    this.#flushMs = options.flushMs;
    this.#durableIndex = options.durableIndex;
    this.#onError = options.onError;
    this.#writtenIndex = options.machine.appliedIndex;
  }

  /** Rows changed; they will be written within `flushMs`, or as soon as the log has caught up (S1). */
  touch(): void {
    if (this.#stopped || this.#cancelTimer !== null || this.#writing !== null) return;
    this.#cancelTimer = this.#clock.after(this.#flushMs, () => {
      this.#cancelTimer = null;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#stopped || this.#writing !== null) return;
    const appliedIndex = this.#machine.appliedIndex;
    if (appliedIndex === this.#writtenIndex) return;
    if (appliedIndex > this.#durableIndex()) {
      this.touch();
      return;
    }
    this.#writing = this.#store.write(this.#stream, appliedIndex, this.#machine.takeChanges()).then(
      () => {
        this.#writing = null;
        this.#writtenIndex = appliedIndex;
        if (this.#machine.appliedIndex > appliedIndex) this.touch();
      },
      (error: unknown) => {
        this.#writing = null;
        this.#stopped = true;
        this.#onError(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  /** Writes what is left, if the log allows it, and waits. What is not written is replayed from the log. */
  async stop(): Promise<void> {
    await this.#writing;
    this.#disarm();
    this.#flush();
    const last = this.#writing;
    this.#stopped = true;
    await last;
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
