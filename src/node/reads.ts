/**
 * Linearizable reads (Raft thesis, section 6.4): reads that arrive in one turn share one ReadIndex request, and are
 * answered once the state machine has applied up to the index that a quorum confirmed.
 */

import type { LogIndex } from '../types/ids.ts';
import { READS_MAX } from '../types/limits.ts';

export type ReadAnswer = 'ready' | 'refused' | 'timed_out';

interface WaitingRead {
  readonly settle: (answer: ReadAnswer) => void;
  readonly deadlineMs: number;
}

interface Batch {
  readonly reads: WaitingRead[];
  /** null until a quorum confirmed it. */
  index: number | null;
}

export class Reads {
  readonly #batches = new Map<number, Batch>();
  #open: Batch | null = null;
  #nextId = 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** False: too many wait already. `started` is called when this read opens a new batch, to schedule `take`. */
  add(read: WaitingRead, started: () => void): boolean {
    if (this.#size >= READS_MAX) return false;
    this.#size += 1;
    if (this.#open === null) {
      this.#open = { reads: [], index: null };
      started();
    }
    this.#open.reads.push(read);
    return true;
  }

  /** Closes the open batch and names it; null when there is none. */
  take(): number | null {
    if (this.#open === null) return null;
    const id = this.#nextId++;
    this.#batches.set(id, this.#open);
    this.#open = null;
    return id;
  }

  confirmed(requestId: number, index: LogIndex, appliedIndex: LogIndex): void {
    const batch = this.#batches.get(requestId);
    if (batch === undefined) return;
    batch.index = index;
    if (appliedIndex >= index) this.#settle(requestId, batch, 'ready');
  }

  refused(requestId: number): void {
    const batch = this.#batches.get(requestId);
    if (batch !== undefined) this.#settle(requestId, batch, 'refused');
  }

  applied(appliedIndex: LogIndex): void {
    for (const [id, batch] of this.#batches) {
      if (batch.index !== null && appliedIndex >= batch.index) this.#settle(id, batch, 'ready');
    }
  }

  expire(nowMs: number): void {
    for (const [id, batch] of this.#batches) {
      if (batch.reads.some((read) => read.deadlineMs <= nowMs)) this.#expireBatch(id, batch, nowMs);
    }
  }

  settleAll(answer: ReadAnswer): void {
    for (const [id, batch] of this.#batches) this.#settle(id, batch, answer);
    const open = this.#open;
    this.#open = null;
    if (open !== null) this.#settleReads(open.reads, answer);
  }

  #expireBatch(id: number, batch: Batch, nowMs: number): void {
    const late = batch.reads.filter((read) => read.deadlineMs <= nowMs);
    const rest = batch.reads.filter((read) => read.deadlineMs > nowMs);
    if (rest.length === 0) this.#batches.delete(id);
    else this.#batches.set(id, { reads: rest, index: batch.index });
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
