/**
 * Linearizable reads without writing to the log (Raft thesis, section 6.4).
 *
 * On the leader, reads gather into rounds. A round takes the commit index when it starts and a read sequence that
 * the next heartbeats carry; once a majority has echoed that sequence, no later leader can have committed anything
 * before the round began, and its reads may be answered at that index. On a follower, reads gather into batches of
 * which one at a time is with the leader.
 */
import { assert } from '../types/assert.ts';
import type { LogIndex, MemberId } from '../types/ids.ts';

/** Someone who waits for a read index: a local client (`from` null) or a follower. */
export interface ReadRequest {
  readonly from: MemberId | null;
  readonly requestId: number;
}

export interface ReadRound {
  readonly sequence: number;
  readonly index: LogIndex;
  readonly requests: readonly ReadRequest[];
}

/** Reads of one leadership. */
export class LeaderReads {
  readonly #readsMax: number;
  #sequence = 0;
  #waiting: ReadRequest[] = [];
  #rounds: ReadRound[] = [];
  #count = 0;

  constructor(readsMax: number) {
    this.#readsMax = readsMax;
  }

  /** The newest round's sequence: what heartbeats carry. */
  get sequence(): number {
    return this.#sequence;
  }
  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }
  get hasRounds(): boolean {
    return this.#rounds.length > 0;
  }

  /** Queues a read for the next round; false when there are too many already. */
  add(request: ReadRequest): boolean {
    if (this.#count >= this.#readsMax) return false;
    this.#count++;
    this.#waiting.push(request);
    return true;
  }

  /** Turns what waits into a round. The caller has committed in its term, and sends heartbeats next. */
  startRound(commitIndex: LogIndex): void {
    assert(this.hasWaiting, 'a round of reads has reads');
    this.#sequence++;
    this.#rounds.push({ sequence: this.#sequence, index: commitIndex, requests: this.#waiting });
    this.#waiting = [];
  }

  /** A majority has confirmed `sequence`: removes and returns the rounds that it covers. */
  confirm(sequence: number): readonly ReadRound[] {
    let done = 0;
    for (const round of this.#rounds) {
      if (round.sequence > sequence) break;
      this.#count -= round.requests.length;
      done++;
    }
    return done === 0 ? [] : this.#rounds.splice(0, done);
  }

  /** Removes and returns every read: leadership is lost. */
  drain(): readonly ReadRequest[] {
    const all = [...this.#rounds.flatMap((round) => round.requests), ...this.#waiting];
    this.#rounds = [];
    this.#waiting = [];
    this.#count = 0;
    return all;
  }
}

interface ForwardedBatch {
  readonly wireId: number;
  readonly requestIds: readonly number[];
  readonly firstSentTick: number;
  sentTick: number;
}

/** Reads of a follower's clients, for one leader. */
export class ForwardedReads {
  readonly #readsMax: number;
  #queued: number[] = [];
  #batch: ForwardedBatch | null = null;

  constructor(readsMax: number) {
    this.#readsMax = readsMax;
  }

  get canSend(): boolean {
    return this.#batch === null && this.#queued.length > 0;
  }

  /** False when there are too many already. */
  add(requestId: number): boolean {
    if (this.#queued.length + (this.#batch?.requestIds.length ?? 0) >= this.#readsMax) return false;
    this.#queued.push(requestId);
    return true;
  }

  /**
   * What is queued goes to the leader as one request. A read never joins a batch that was sent before it arrived:
   * the leader's answer may be older than the read.
   */
  send(wireId: number, tick: number): void {
    assert(this.canSend, 'one batch of reads at a time');
    this.#batch = { wireId, requestIds: this.#queued, firstSentTick: tick, sentTick: tick };
    this.#queued = [];
  }

  /** The batch's id when its request should go out again, which is harmless, else null. */
  resend(tick: number, ticks: number): number | null {
    if (this.#batch === null || tick - this.#batch.sentTick < ticks) return null;
    this.#batch.sentTick = tick;
    return this.#batch.wireId;
  }

  /** True when the batch has waited for `ticks`. */
  expired(tick: number, ticks: number): boolean {
    return this.#batch !== null && tick - this.#batch.firstSentTick >= ticks;
  }

  /** Removes and returns the reads of the batch `wireId`; null when it is not the one that waits. */
  answered(wireId: number): readonly number[] | null {
    if (this.#batch === null || this.#batch.wireId !== wireId) return null;
    const { requestIds } = this.#batch;
    this.#batch = null;
    return requestIds;
  }

  drain(): readonly number[] {
    const all = [...(this.#batch?.requestIds ?? []), ...this.#queued];
    this.#batch = null;
    this.#queued = [];
    return all;
  }
}
