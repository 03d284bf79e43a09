/**
 * The lease of a leader (Raft thesis, section 6.4.1): a majority that has heard it does not vote for another for a while, so it
 * may answer reads without asking again.
 *
 * The assumption, and its bound: a follower counts `leaseTicks` from when a heartbeat *arrived*; the leader counts `leaseMs` from
 * before it was *sent* (known bug Q5), on its own monotonic clock. So the lease holds while, over one lease, the clocks of
 * leader and follower drift apart by less than leaseTicks × tick − one tick − leaseMs. A leader that was stopped reads a clock that
 * has moved on.
 */
import { isJoint } from './configuration.ts';
import { quorumIndex } from './quorum.ts';
import type { LeaderRole, State } from './state.ts';

/** True when no other leader can have been elected up to `state.nowMs`. The caller has committed in its term. */
export function hasReadLease(state: State, leader: LeaderRole): boolean {
  // TimeoutNow gets its target votes in spite of the lease.
  if (leader.transferBegun) return false;
  // Whom the next election needs must be certain.
  const { configuration, membership } = state;
  if (isJoint(configuration) || membership.current.index > state.commitIndex) return false;
  const confirmedMs = quorumIndex(configuration, (id) =>
    id === state.id ? state.nowMs : (leader.peerById.get(id)?.echoedMs ?? Number.NEGATIVE_INFINITY),
  );
  return confirmedMs > leader.leaseFloorMs && state.nowMs < confirmedMs + state.leaseMs;
}
