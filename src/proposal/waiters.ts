/**
 * Who waits for which log entry. Invariants:
 * P1  A waiter is keyed by index AND term: an entry of another term at the index is somebody else's (known-bugs R18).
 * P2  A waiter is settled exactly once and then forgotten.
 */
import { assert } from '../types/assert.ts';

export interface Waiter<T> {
  readonly settle: (outcome: T) => void;
  /** On the monotonic clock, milliseconds. */
  readonly deadlineMs: number;
}

interface Placed<T> {
  readonly term: number;
  readonly waiter: Waiter<T>;
}

export class Waiters<T> {
  /** Waiters whose proposal the core has not placed in the log yet, by proposal id. */
  readonly #unplaced = new Map<number, Waiter<T>>();
  /** Waiters by log index; the newest placement at an index wins, older ones were settled by it. */
  readonly #placed = new Map<number, Placed<T>>();

  get size(): number {
    return this.#unplaced.size + this.#placed.size;
  }

  add(proposalId: number, waiter: Waiter<T>): void {
    assert(!this.#unplaced.has(proposalId), 'proposal ids are unique');
    this.#unplaced.set(proposalId, waiter);
  }

  /**
   * The proposal is in the log at (index, term). An older waiter at that index has lost its place in this log, which
   * does not say that its entry can never be committed: `displaced` is its outcome.
   */
  place(proposalId: number, index: number, term: number, displaced: T): void {
    const waiter = this.#unplaced.get(proposalId);
    this.#unplaced.delete(proposalId);
    const older = this.#placed.get(index);
    if (older !== undefined) {
      assert(older.term < term, 'an index is placed once for each term');
      this.#placed.delete(index);
      older.waiter.settle(displaced);
    }
    if (waiter !== undefined) this.#placed.set(index, { term, waiter });
  }

  /** The proposal never reached the log. */
  refuse(proposalId: number, outcome: T): void {
    const waiter = this.#unplaced.get(proposalId);
    this.#unplaced.delete(proposalId);
    waiter?.settle(outcome);
  }

  /** The entry (index, term) was applied. A waiter of another term at the index lost its entry (P1). */
  applied(index: number, term: number, outcome: () => T, lost: T): void {
    const placed = this.#placed.get(index);
    if (placed === undefined) return;
    this.#placed.delete(index);
    placed.waiter.settle(placed.term === term ? outcome() : lost);
  }

  /** Settles every waiter whose deadline has passed. */
  expire(nowMs: number, outcome: T): void {
    for (const [id, waiter] of this.#unplaced) {
      if (waiter.deadlineMs > nowMs) continue;
      this.#unplaced.delete(id);
      waiter.settle(outcome);
    }
    for (const [index, placed] of this.#placed) {
      if (placed.waiter.deadlineMs > nowMs) continue;
      this.#placed.delete(index);
      placed.waiter.settle(outcome);
    }
  }

  /** The entries up to `index` were taken over as a whole: what became of each of them is not known. */
  settleUpTo(index: number, outcome: T): void {
    for (const [at, placed] of this.#placed) {
      if (at > index) continue;
      this.#placed.delete(at);
      placed.waiter.settle(outcome);
    }
  }

  /** Settles everybody: the member stops. */
  settleAll(outcome: T): void {
    this.expire(Number.POSITIVE_INFINITY, outcome);
  }
}
