import { inVoteLease, leaderOf, type State } from '../state.ts';
import type { VoteRequest } from '../types.ts';

/**
 * One vote in each term, first come, first served, for a log that is at least as up to date (Raft paper, 5.2 and 5.4.1).
 * A granted vote leaves once it is durable (known bug E1); a refusal promises nothing.
 */
export function handleVoteRequest(state: State, message: VoteRequest): void {
  const first = state.votedFor === null && leaderOf(state) === null;
  // The term may have come from elsewhere; a leader of an older one may still answer reads by its lease.
  const mayVote = first && (message.leadershipTransfer || !inVoteLease(state));
  // A member that lost a part of its log cannot judge what it may have acknowledged (known bug D5).
  const granted =
    state.recovery === null &&
    (mayVote || state.votedFor === message.from) &&
    state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  state.trace?.({ kind: 'vote', term: message.term, candidate: message.from, granted, pre: false });
  if (granted && first) {
    state.votedFor = message.from;
    state.output.hardStateChanged();
    state.electionElapsed = 0;
  }
  const response = { kind: 'voteResponse', from: state.id, to: message.from, term: state.term, granted } as const;
  if (granted) state.output.sendDurable(response);
  else state.output.send(response);
}
