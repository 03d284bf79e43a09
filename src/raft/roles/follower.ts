/** Follower (Raft paper, section 5.2), and the way back to it from every other role. */
import { assert, unreachable } from '../../types/assert.ts';
import type { MemberId, Term } from '../../types/ids.ts';
import { ForwardedReads } from '../read-index.ts';
import { refuseForwardedReads, refuseLeaderReads } from '../reads.ts';
import { noteLeader } from '../recovery.ts';
import { resetElectionTimer, type State } from '../state.ts';
import { settleTransfer } from '../transfer.ts';

/**
 * Follows `leader`, or nobody yet, in `term`. A rise of the term takes the vote back; it is persisted with whatever else
 * the step changes. For one who was a follower already the election timer keeps running until a leader is heard or a
 * vote is granted (Raft paper, 5.2): a candidate that cannot win must not keep others from campaigning.
 */
export function becomeFollower(state: State, term: Term, leader: MemberId | null): void {
  assert(term >= state.term, 'I7: the term does not go back');
  const previous = state.role;
  if (term > state.term) {
    state.term = term;
    state.votedFor = null;
    state.output.hardStateChanged();
    // It was about a leader of an older term.
    state.suspicion = null;
  }
  state.role = { kind: 'follower', leader, reads: new ForwardedReads(state.limits.readsMax) };
  if (previous.kind === 'leader') refuseLeaderReads(state, previous.reads);
  if (previous.kind === 'follower') refuseForwardedReads(state, previous.reads);
  if (previous.kind !== 'follower' || leader !== null) resetElectionTimer(state);
  if (leader !== null) settleTransfer(state, leader);
}

/** An append or heartbeat of the current term came from `from`: it leads, and it is alive. */
export function heardLeader(state: State, from: MemberId): void {
  const { role } = state;
  switch (role.kind) {
    case 'leader':
      assert(false, `I8: ${from} and ${state.id} both lead term ${state.term}`);
      break;
    case 'preCandidate':
    case 'candidate':
      becomeFollower(state, state.term, from);
      break;
    case 'follower':
      if (role.leader === null) becomeFollower(state, state.term, from);
      else assert(role.leader === from, `I8: ${from} and ${role.leader} both lead term ${state.term}`);
      break;
    default:
      unreachable(role, 'role');
  }
  state.electionElapsed = 0;
  state.heardTick = state.tick;
  state.suspicion = null;
  noteLeader(state);
}
