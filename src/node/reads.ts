/**
 * Reads (R3; Raft thesis, section 6.4): those that arrive in one turn share one ReadIndex request, and are answered once
 * the state machine has applied up to the index that was confirmed.
 *
 * RD1  A batch is confirmed for the moment when it was handed to the core, or later. So when it is ready, the state holds
 *      everything that was committed before that moment, and goes on holding it: `freshMs`.
 */
import type { LogIndex } from '../types/ids.ts';
import { READS_MAX } from '../types/limits.ts';

export type ReadAnswer = 'ready' | 'refused' | 'timed_out';

interface WaitingRead {
  readonly settle: (answer: ReadAnswer) => void;
  readonly deadlineMs: number;
}

interface Batch {
  reads: WaitingRead[];
  /** Rests on the leader's lease, so on clocks of others: no measure of freshness. */
  readonly lease: boolean;
  /** When it was handed to the core; on the monotonic clock. */
  askedMs: number;
  /** null until it was confirmed. */
  index: number | null;
}

export class Reads {
  readonly #batches = new Map<number, Batch>();
  /** What gathers for the next request, by whether a lease will do. */
  readonly #open = new Map<boolean, Batch>();
  #nextId = 1;
  #size = 0;
  #freshMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#size;
  }
  /** Everything that was committed before this moment is applied here (RD1). Milliseconds, monotonic. */
  get freshMs(): number {
    return this.#freshMs;
  }

  /** False: too many wait already. `started` is called when this read opens a new batch, to schedule `take`. */
  add(read: WaitingRead, lease: boolean, started: () => void): boolean {
    if (this.#size >= READS_MAX) return false;
    this.#size += 1;
    const open = this.#open.get(lease);
    if (open !== undefined) {
      open.reads.push(read);
      return true;
    }
    this.#open.set(lease, { reads: [read], lease, askedMs: 0, index: null });
    started();
    return true;
  }

  /** Closes the open batch, which goes to the core at `nowMs`, and names it; null when there is none. */
  take(lease: boolean, nowMs: number): number | null {
    const batch = this.#open.get(lease);
    if (batch === undefined) return null;
    this.#open.delete(lease);
    batch.askedMs = nowMs;
    const id = this.#nextId++;
    this.#batches.set(id, batch);
    return id;
  }

  confirmed(requestId: number, index: LogIndex, appliedIndex: LogIndex): void {
    const batch = this.#batches.get(requestId);
    if (batch === undefined) return;
    batch.index = index;
    if (appliedIndex >= index) this.#ready(requestId, batch);
  }

  refused(requestId: number): void {
    const batch = this.#batches.get(requestId);
    if (batch !== undefined) this.#settle(requestId, batch, 'refused');
  }

  applied(appliedIndex: LogIndex): void {
    for (const [id, batch] of this.#batches) {
      if (batch.index !== null && appliedIndex >= batch.index) this.#ready(id, batch);
    }
  }

  expire(nowMs: number): void {
    for (const [id, batch] of this.#batches) {
      if (batch.reads.some((read) => read.deadlineMs <= nowMs)) this.#expireBatch(id, batch, nowMs);
    }
  }

  settleAll(answer: ReadAnswer): void {
    for (const [id, batch] of this.#batches) this.#settle(id, batch, answer);
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const batch of open) this.#settleReads(batch.reads, answer);
  }

  #ready(id: number, batch: Batch): void {
    if (!batch.lease) this.#freshMs = Math.max(this.#freshMs, batch.askedMs);
    this.#settle(id, batch, 'ready');
  }

  #expireBatch(id: number, batch: Batch, nowMs: number): void {
    const late = batch.reads.filter((read) => read.deadlineMs <= nowMs);
    batch.reads = batch.reads.filter((read) => read.deadlineMs > nowMs);
    if (batch.reads.length === 0) this.#batches.delete(id);
    this.#settleReads(late, 'timed_out');
  }

  #settle(id: number, batch: Batch, answer: ReadAnswer): void {
    this.#batches.delete(id);
    this.#settleReads(batch.reads, answer);
  }

  #settleReads(reads: readonly WaitingRead[], answer: ReadAnswer): void {
    this.#size -= reads.length;
    for (const read of reads) read.settle(answer);
  }
}
