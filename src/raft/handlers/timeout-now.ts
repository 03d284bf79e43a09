import { becomeCandidate } from '../roles/candidate.ts';
import { leaderOf, mark, mayCampaign, type State } from '../state.ts';
import type { TimeoutNow } from '../types.ts';

/** The leader hands over: campaign at once, without a pre-vote (thesis 3.10). Only its own followers obey, and only voters. */
export function handleTimeoutNow(state: State, message: TimeoutNow): void {
  if (state.role.kind !== 'follower' || leaderOf(state) !== message.from) return;
  if (!mayCampaign(state)) return;
  mark(state, 'timeout_now');
  becomeCandidate(state, true);
}
