/**
 * Fast failover (A4): the connection to the leader broke, so it may be dead. A follower need not wait for its election timeout,
 * but no vote is given, not even its own, while the leader may rely on it (`inVoteLease`).
 */
import { becomePreCandidate } from './roles/pre-candidate.ts';
import { inVoteLease, mark, mayCampaign, type State } from './state.ts';

/** Followers suspect at the same moment; those that draw differently do not split the vote. */
const JITTER_TICKS = 3;

/** `unreachable` input for the leader that this member follows. */
export function suspectLeader(state: State): void {
  if (state.suspicion !== null) return;
  mark(state, 'leader_suspected');
  // From the end of the lease, which is about the same for all: else nobody would draw anything.
  const leaseEnd = state.heardTick + state.leaseTicks;
  state.suspicion = { campaignTick: Math.max(state.tick, leaseEnd) + state.random.below(JITTER_TICKS) };
  if (mayCampaign(state)) tickSuspicion(state);
}

/** Starts the pre-vote when it is time, and again each heartbeat interval until a leader is heard or a campaign began. */
export function tickSuspicion(state: State): void {
  const { suspicion } = state;
  if (suspicion === null || state.tick < suspicion.campaignTick || inVoteLease(state)) return;
  suspicion.campaignTick = state.tick + state.heartbeatTicks + state.random.below(JITTER_TICKS);
  becomePreCandidate(state);
}

/** Another one got this member's pre-vote: it goes first. */
export function deferSuspicion(state: State): void {
  if (state.suspicion === null) return;
  state.suspicion.campaignTick = state.tick + state.heartbeatTicks + state.random.below(JITTER_TICKS);
}
