import { inVoteLease, leaderOf, type State } from '../state.ts';
import type { VoteRequest } from '../types.ts';

/**
 * One vote in each term, first come, first served, for a log that is at least as up to date (Raft paper, 5.2 and 5.4.1).
 * A vote that is given leaves once it is durable (known bug E1); a refusal promises nothing.
 */
export function handleVoteRequest(state: State, message: VoteRequest): void {
  const first = state.votedFor === null && leaderOf(state) === null;
  // The term may have come from elsewhere; a leader of an older one may still answer reads by its lease.
  const mayVote = first && (message.leadershipTransfer || !inVoteLease(state));
  const upToDate = state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  // A member that lost a part of its log cannot judge what it may have acknowledged (known bug D5): its vote is blank. What is left of
  // its log does not count either. Others may lack that, and be the only ones who can be elected.
  const given = (mayVote || state.votedFor === message.from) && (upToDate || state.recovery !== null);
  const granted = given && state.recovery === null;
  state.trace?.({ kind: 'vote', term: message.term, candidate: message.from, granted, pre: false });
  if (given && first) {
    state.votedFor = message.from;
    state.output.hardStateChanged();
    state.electionElapsed = 0;
  }
  const answer = { kind: 'voteResponse', from: state.id, to: message.from, term: state.term, granted } as const;
  const response = given && !granted ? { ...answer, blank: true as const } : answer;
  if (given) state.output.sendDurable(response);
  else state.output.send(response);
}
