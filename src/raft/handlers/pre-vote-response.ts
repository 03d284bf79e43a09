import { voteIn } from '../quorum.ts';
import { tallyPreVotes } from '../roles/pre-candidate.ts';
import type { State } from '../state.ts';
import type { PreVoteResponse } from '../types.ts';

/** Counts an answer to the running pre-vote; one for another term, or to nothing, is dropped (known bug E10). */
export function handlePreVoteResponse(state: State, message: PreVoteResponse): void {
  const { role } = state;
  if (role.kind !== 'preCandidate') return;
  if (message.granted && message.term !== state.term + 1) return;
  role.votes.set(message.from, voteIn(message));
  tallyPreVotes(state, role);
}
