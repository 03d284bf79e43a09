/** Rules about members that are slow or away (A1–A3). Feature level 3. The leader proposes; the state says what holds. */
import type { ClusterTimeMs, MemberId } from '../../types/ids.ts';

export type AvailabilityCommand =
  | { readonly kind: 'markLagging'; readonly member: MemberId; readonly lagging: boolean; readonly detail: string }
  /** `on`: for `permitAsyncMs` of the policy, then it clears itself. One member at a time, never a majority. */
  | { readonly kind: 'permitAsync'; readonly member: MemberId; readonly on: boolean }
  | { readonly kind: 'markIsolated'; readonly member: MemberId; readonly isolated: boolean }
  /** After the grace: removes the member where the voters left suffice, else blocks the eviction and pages. */
  | { readonly kind: 'evictMember'; readonly member: MemberId; readonly voters: readonly MemberId[] };

export type AvailabilityValue = {
  readonly kind: 'availabilityChanged';
  readonly eviction: '' | 'PENDING' | 'EVICTED' | 'BLOCKED';
};

/** There is a row only for a member of which something holds. */
export interface AvailabilityRow {
  readonly member: MemberId;
  /** Its fsyncs are slow: it is to be a learner until it keeps up (A1). */
  readonly lagging: boolean;
  /** It may acknowledge before fsync until then; 0: it may not (A2). */
  readonly asyncUntilMs: ClusterTimeMs | 0;
  /** pending_eviction since; 0: it is not isolated (A3). */
  readonly isolatedAtMs: ClusterTimeMs | 0;
  readonly evictAtMs: ClusterTimeMs | 0;
  readonly evictionBlocked: boolean;
  /** Issue about its isolation; 0: none. */
  readonly issue: number;
}

/** First word of the outcome of a `member.availability` event; the member follows behind a space. */
export type AvailabilityOutcome =
  | 'LAGGING'
  | 'KEEPS_UP'
  | 'ASYNC_ON'
  | 'ASYNC_OFF'
  | 'PENDING_EVICTION'
  | 'BACK'
  | 'EVICTED'
  | 'EVICTION_BLOCKED';
