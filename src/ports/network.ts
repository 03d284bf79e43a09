/** Delivery of opaque-to-the-port envelopes between members. At-most-once, unordered across reconnects, lossy. */
import type { MemberId } from '../types/ids.ts';

export interface Network<Envelope> {
  /**
   * Queues `envelope` for `to`; never blocks, never throws. False: it was dropped, because the peer is away or its queue
   * is full, and has certainly not been sent. True says nothing about its arrival.
   */
  send(to: MemberId, envelope: Envelope): boolean;
}

/** What a network calls on the member that owns it. */
export interface NetworkHandler<Envelope> {
  /** An envelope arrived; `from` was authenticated by the network as far as it can. */
  receive(from: MemberId, envelope: Envelope): void;
  /** Envelopes to `peer` may have been lost (a broken stream, a full queue). */
  unreachable(peer: MemberId): void;
}
