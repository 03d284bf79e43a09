/**
 * Pre-candidate (Raft thesis, section 9.6): asks whether a campaign could be won before it disturbs anyone. Neither side
 * changes its term or its vote.
 */
import { assert } from '../../types/assert.ts';
import { term } from '../../types/ids.ts';
import { otherVoters } from '../configuration.ts';
import { electionResult } from '../quorum.ts';
import { mayCampaign, type PreCandidateRole, resetElectionTimer, type State } from '../state.ts';
import { becomeCandidate } from './candidate.ts';
import { becomeFollower } from './follower.ts';

export function becomePreCandidate(state: State): void {
  assert(state.role.kind !== 'leader', 'a leader does not campaign');
  assert(mayCampaign(state), 'I9: only voters campaign');
  // Leaves the old role, so that what waited for its leader is refused.
  if (state.role.kind === 'follower') becomeFollower(state, state.term, null);
  const role: PreCandidateRole = { kind: 'preCandidate', votes: new Map([[state.id, 'granted']]) };
  state.role = role;
  resetElectionTimer(state);
  for (const to of otherVoters(state.configuration, state.id)) {
    state.output.send({
      kind: 'preVoteRequest',
      from: state.id,
      to,
      term: term(state.term + 1),
      lastLogIndex: state.log.lastIndex,
      lastLogTerm: state.log.lastTerm,
    });
  }
  tallyPreVotes(state, role);
}

export function tallyPreVotes(state: State, role: PreCandidateRole): void {
  const result = electionResult(state.configuration, (id) => role.votes.get(id));
  if (result === 'won') becomeCandidate(state, false);
  else if (result === 'lost') becomeFollower(state, state.term, null);
}
