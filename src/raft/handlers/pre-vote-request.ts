import { inLeaderLease, type State } from '../state.ts';
import { deferSuspicion } from '../suspicion.ts';
import type { PreVoteRequest } from '../types.ts';

/**
 * Says whether this member would vote for the sender, without changing anything here (thesis 9.6, known bug E9).
 * A refusal, and a blank vote with it, carries the own term, so that a sender that fell behind catches up.
 */
export function handlePreVoteRequest(state: State, message: PreVoteRequest): void {
  const upToDate = state.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  const given = message.term > state.term && !inLeaderLease(state) && (upToDate || state.recovery !== null);
  const granted = given && state.recovery === null;
  if (given) deferSuspicion(state);
  state.trace?.({ kind: 'vote', term: message.term, candidate: message.from, granted, pre: true });
  state.output.send({
    kind: 'preVoteResponse',
    from: state.id,
    to: message.from,
    term: granted ? message.term : state.term,
    granted,
    ...(given && !granted ? { blank: true as const } : {}),
  });
}
