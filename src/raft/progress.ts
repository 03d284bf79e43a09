/**
 * What a leader knows of one follower.
 *
 * probe:     where the logs agree is not known: one append at a time, `nextIndex` stays until it is answered.
 * replicate: appends are pipelined: `nextIndex` moves when an append is sent, within the in-flight window.
 * snapshot:  the follower needs entries that the log does not hold any more; an image is on its way, no appends go out.
 */
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type MemberId } from '../types/ids.ts';
import { Inflight } from './inflight.ts';
import type { ProgressState, RaftLimits } from './types.ts';

interface Departure {
  readonly index: LogIndex;
  readonly tick: number;
  /** Clock reading of the first heartbeat that said that the entry is committed. */
  toldMs: number | null;
}

export class Progress {
  readonly id: MemberId;
  #state: ProgressState = 'probe';
  #matchIndex: LogIndex = logIndex(0);
  #nextIndex: LogIndex;
  readonly #inflight: Inflight;
  /** In probe: an append is out, or sending is pointless until the follower is heard again. */
  #paused = false;
  /** A readLog effect is out for entries from this index on. */
  #readingFrom: LogIndex | null = null;
  /** Tick at which something last went on: an append sent or acknowledged. */
  #progressTick: number;
  #heardTick: number;
  #readSequence = 0;
  #echoedMs = Number.NEGATIVE_INFINITY;
  /** A member that lost a part of its log asked with this number; null: never in this term. */
  /** Where the leader's log ended when the follower said that it had lost a part of its own. */
  #recoversTo: LogIndex = logIndex(0);
  #recoveryNonce: number | null = null;
  /** Left the configuration with this entry, at this tick. */
  #departure: Departure | null = null;
  #commitSent: LogIndex = logIndex(0);

  constructor(id: MemberId, nextIndex: LogIndex, tick: number, limits: RaftLimits) {
    this.id = id;
    this.#nextIndex = nextIndex;
    this.#inflight = new Inflight(limits.inflightMessagesMax, limits.inflightBytesMax);
    this.#progressTick = tick;
    this.#heardTick = tick;
  }

  get state(): ProgressState {
    return this.#state;
  }
  /** Durable there, and equal to the leader's log, up to this index. */
  get matchIndex(): LogIndex {
    return this.#matchIndex;
  }
  /** It lost a part of its log and does not have all of it back: its vote is blank. */
  get recovering(): boolean {
    return this.#matchIndex < this.#recoversTo;
  }
  get nextIndex(): LogIndex {
    return this.#nextIndex;
  }
  get inflightMessages(): number {
    return this.#inflight.count;
  }
  get inflightBytes(): number {
    return this.#inflight.bytes;
  }
  /** The highest read sequence that the follower has confirmed in this term. */
  get readSequence(): number {
    return this.#readSequence;
  }
  /** The highest commit index that was sent to the follower and that it could use. */
  get commitSent(): LogIndex {
    return this.#commitSent;
  }
  /** When the newest heartbeat that the follower answered was sent: the leader's clock, milliseconds. */
  get echoedMs(): number {
    return this.#echoedMs;
  }
  /** Entry of the configuration that the follower is in no more; null: it is in the one in force. */
  get departedWith(): LogIndex | null {
    return this.#departure?.index ?? null;
  }
  get readingFrom(): LogIndex | null {
    return this.#readingFrom;
  }
  /** True when an append may be sent now. */
  get ready(): boolean {
    if (this.#readingFrom !== null || this.#state === 'snapshot') return false;
    return this.#state === 'probe' ? !this.#paused : !this.#inflight.full;
  }
  /** Tick at which it was heard last; that of the election before it was. */
  get heardTick(): number {
    return this.#heardTick;
  }
  heard(tick: number): void {
    this.#heardTick = tick;
  }
  /** Heard from within the last `ticks` ticks. */
  isActive(tick: number, ticks: number): boolean {
    return tick - this.#heardTick < ticks;
  }

  /** An append with these entries goes out now. */
  sent(lastIndex: LogIndex, bytes: number, tick: number): void {
    assert(this.ready, 'sent only when ready');
    if (this.#state === 'probe') {
      this.#paused = true;
      this.#progressTick = tick;
      return;
    }
    assert(lastIndex >= this.#nextIndex, 'a pipelined append moves on');
    // The clock for a lost acknowledgement starts with the first append that waits for one.
    if (this.#matchIndex + 1 === this.#nextIndex) this.#progressTick = tick;
    this.#inflight.add(lastIndex, bytes);
    this.#nextIndex = logIndex(lastIndex + 1);
  }

  commitWasSent(index: LogIndex): void {
    if (index > this.#commitSent) this.#commitSent = index;
  }

  /** The follower acknowledged everything up to `matchIndex`. Returns whether that was news. */
  accepted(matchIndex: LogIndex, tick: number): boolean {
    this.#progressTick = tick;
    const advanced = matchIndex > this.#matchIndex;
    if (advanced) this.#matchIndex = matchIndex;
    if (this.#matchIndex >= this.#nextIndex) this.#nextIndex = logIndex(this.#matchIndex + 1);
    // An image that was taken over is acknowledged like an append; its transfer ends by itself.
    if (this.#state === 'snapshot') return advanced;
    // An empty probe may succeed right at matchIndex: that, too, shows where the logs agree.
    if (this.#state === 'probe' && matchIndex === this.#matchIndex) this.#becomeReplicate();
    else this.#inflight.freeTo(this.#matchIndex);
    return advanced;
  }

  /**
   * The follower's log did not agree at `prevLogIndex`; it may agree at `agreeIndex`. Returns false when the answer is
   * stale: it tells about an append that a later answer has overtaken.
   */
  rejected(prevLogIndex: LogIndex, agreeIndex: LogIndex): boolean {
    if (this.#state === 'snapshot') return false;
    if (prevLogIndex <= this.#matchIndex) {
      // One that lost a part of its log says so with its nonce; an acknowledgement of its earlier life may have come later.
      if (this.#recoveryNonce === null) return false;
      this.#matchIndex = logIndex(0);
    }
    if (this.#state === 'replicate' && prevLogIndex >= this.#nextIndex) return false;
    if (this.#state === 'probe' && prevLogIndex !== this.#nextIndex - 1) return false;
    const next = Math.max(this.#matchIndex + 1, Math.min(prevLogIndex, agreeIndex + 1));
    this.#becomeProbe(logIndex(next), false);
    return true;
  }

  /** Messages may have been lost: ask first where the follower stands, once it is heard again. */
  unreachable(): void {
    if (this.#state === 'replicate') this.#becomeProbe(logIndex(this.#matchIndex + 1), true);
  }

  /** True when nothing went on for `ticks` although something was sent: it may be lost. */
  isStalled(tick: number, ticks: number): boolean {
    if (this.#state === 'snapshot') return false;
    const waiting = this.#state === 'probe' ? this.#paused : this.#nextIndex > this.#matchIndex + 1;
    return waiting && tick - this.#progressTick >= ticks;
  }
  /** In probe: lets the next append go. In replicate: an empty append goes out beside the window. */
  retry(tick: number): void {
    this.#paused = false;
    this.#progressTick = tick;
  }

  /** What is in flight is given up: its entries are compacted. */
  giveUpWindow(): void {
    if (this.#state === 'replicate') this.#becomeProbe(logIndex(this.#matchIndex + 1), false);
  }

  readStarted(from: LogIndex): void {
    assert(this.#readingFrom === null, 'one log read at a time for each follower');
    this.#readingFrom = from;
  }
  readEnded(): void {
    this.#readingFrom = null;
  }

  /** The follower confirmed this leadership for reads up to `sequence`. */
  readConfirmed(sequence: number): void {
    if (sequence > this.#readSequence) this.#readSequence = sequence;
  }

  /** The follower answered a heartbeat that was sent at `sentMs`. */
  echoed(sentMs: number): void {
    if (sentMs > this.#echoedMs) this.#echoedMs = sentMs;
  }

  /** Only an image helps: appends stop until its transfer has ended. */
  becomeSnapshot(): void {
    this.#state = 'snapshot';
    this.#inflight.clear();
  }

  /** The transfer of an image is over. Where the follower stands is found out with the next heartbeat, or at once. */
  snapshotEnded(installed: boolean, nextIndex: LogIndex, tick: number): void {
    this.#becomeProbe(logIndex(Math.max(nextIndex, this.#matchIndex + 1)), !installed);
    this.#progressTick = tick;
  }

  /**
   * The follower lost a part of its log: what it acknowledged before counts no more. Once for each life of it, told by
   * `nonce`; returns false when that was done.
   */
  startAnew(nonce: number, nextIndex: LogIndex): boolean {
    if (this.#recoveryNonce === nonce) return false;
    this.#recoveryNonce = nonce;
    this.#recoversTo = logIndex(nextIndex - 1);
    this.#matchIndex = logIndex(0);
    this.#commitSent = logIndex(0);
    if (this.#state !== 'snapshot') this.#becomeProbe(nextIndex, false);
    return true;
  }

  /** The follower is no member any more since the entry `index`: it counts in nothing, and is told. */
  depart(index: LogIndex, tick: number): void {
    if (this.#departure === null) this.#departure = { index, tick, toldMs: null };
  }
  /** The follower is a member again. */
  rejoin(): void {
    this.#departure = null;
  }
  departedFor(tick: number): number {
    return this.#departure === null ? 0 : tick - this.#departure.tick;
  }
  /** A heartbeat goes out at `nowMs` that names the commit index `commit`. */
  departureTold(commit: LogIndex, nowMs: number): void {
    const departure = this.#departure;
    if (departure !== null && departure.toldMs === null && commit >= departure.index) departure.toldMs = nowMs;
  }
  /** True when the follower has answered a heartbeat from which it knows that its removal is committed. */
  get knowsDeparture(): boolean {
    const toldMs = this.#departure?.toldMs ?? null;
    return toldMs !== null && this.#echoedMs > toldMs;
  }

  #becomeProbe(nextIndex: LogIndex, paused: boolean): void {
    this.#state = 'probe';
    this.#nextIndex = nextIndex;
    this.#paused = paused;
    this.#inflight.clear();
  }

  #becomeReplicate(): void {
    this.#state = 'replicate';
    this.#nextIndex = logIndex(this.#matchIndex + 1);
    this.#paused = false;
    this.#inflight.clear();
  }
}
