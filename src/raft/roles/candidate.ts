/** Candidate (Raft paper, section 5.2): a real campaign, in a term of its own. */
import { assert } from '../../types/assert.ts';
import { term } from '../../types/ids.ts';
import { otherVoters } from '../configuration.ts';
import { electionResult } from '../quorum.ts';
import { type CandidateRole, mark, mayCampaign, resetElectionTimer, type State } from '../state.ts';
import { becomeFollower } from './follower.ts';
import { becomeLeader } from './leader.ts';

/**
 * Enters a new term and votes for itself. The requests, too, wait until term and vote are durable: they name the
 * last entry of this log, and a candidate that forgot both in a crash could otherwise collect, with a shorter log,
 * votes that were given to the longer one.
 */
export function becomeCandidate(state: State, leadershipTransfer: boolean): void {
  assert(state.role.kind !== 'leader', 'a leader does not campaign');
  assert(mayCampaign(state), 'I9: only voters campaign');
  if (state.role.kind === 'follower') becomeFollower(state, term(state.term + 1), null);
  else state.term = term(state.term + 1);
  state.votedFor = state.id;
  state.output.hardStateChanged();
  state.role = { kind: 'candidate', votes: new Map(), selfVoteSequence: state.durability.nextSequence };
  // A lost election backs off as usual: two that suspect the leader at once must not collide again and again.
  state.suspicion = null;
  state.trace?.({ kind: 'campaign', term: state.term, lastIndex: state.log.lastIndex, lastTerm: state.log.lastTerm });
  resetElectionTimer(state);
  for (const to of otherVoters(state.configuration, state.id)) {
    state.output.sendDurable({
      kind: 'voteRequest',
      from: state.id,
      to,
      term: state.term,
      lastLogIndex: state.log.lastIndex,
      lastLogTerm: state.log.lastTerm,
      leadershipTransfer,
    });
  }
}

/** The own vote is durable: it counts from now on. */
export function countOwnVote(state: State, candidate: CandidateRole): void {
  if (candidate.votes.has(state.id) || state.durability.durableSequence < candidate.selfVoteSequence) return;
  candidate.votes.set(state.id, 'granted');
  tallyVotes(state, candidate);
}

export function tallyVotes(state: State, candidate: CandidateRole): void {
  const result = electionResult(state.configuration, (id) => candidate.votes.get(id));
  if (result === 'won') {
    if ([...candidate.votes.values()].includes('blank')) mark(state, 'elected_beside_blank_vote');
    becomeLeader(state);
  } else if (result === 'lost') becomeFollower(state, state.term, null);
}
