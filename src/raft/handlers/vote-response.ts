import { voteIn } from '../quorum.ts';
import { tallyVotes } from '../roles/candidate.ts';
import type { State } from '../state.ts';
import type { VoteResponse } from '../types.ts';

/** Counts a vote of the current term, once for each member however often it arrives (known bug E7). */
export function handleVoteResponse(state: State, message: VoteResponse): void {
  const { role } = state;
  if (role.kind !== 'candidate') return;
  role.votes.set(message.from, voteIn(message));
  tallyVotes(state, role);
}
