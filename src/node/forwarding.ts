/**
 * A follower passes a mutation on to the leader, once (the leader never passes it on again). The answer may be lost
 * with the connection: then the outcome is unknown, and the client's session makes the retry safe.
 */
import type { MemberId } from '../types/ids.ts';
import type { MutationOutcome } from './types.ts';

interface Forwarded {
  readonly leader: MemberId;
  readonly settle: (outcome: MutationOutcome) => void;
  readonly deadlineMs: number;
}

export class Forwarding {
  readonly #waiting = new Map<number, Forwarded>();
  #nextId: number;

  /** `firstId` differs from one start of the member to the next, so that late answers to an earlier life fit nothing. */
  constructor(firstId: number) {
    this.#nextId = firstId;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(forwarded: Forwarded): number {
    const id = this.#nextId++;
    this.#waiting.set(id, forwarded);
    return id;
  }

  /** An answer; only the member that was asked may give it. */
  answered(from: MemberId, requestId: number, outcome: MutationOutcome): void {
    const forwarded = this.#waiting.get(requestId);
    if (forwarded === undefined || forwarded.leader !== from) return;
    this.#waiting.delete(requestId);
    forwarded.settle(outcome);
  }

  /** What was sent to `peer` may be lost, and so may its answer. */
  unreachable(peer: MemberId, outcome: MutationOutcome): void {
    this.#settleWhere((forwarded) => forwarded.leader === peer, outcome);
  }

  expire(nowMs: number, outcome: MutationOutcome): void {
    this.#settleWhere((forwarded) => forwarded.deadlineMs <= nowMs, outcome);
  }

  settleAll(outcome: MutationOutcome): void {
    this.#settleWhere(() => true, outcome);
  }

  #settleWhere(test: (forwarded: Forwarded) => boolean, outcome: MutationOutcome): void {
    for (const [id, forwarded] of this.#waiting) {
      if (!test(forwarded)) continue;
      this.#waiting.delete(id);
      forwarded.settle(outcome);
    }
  }
}
