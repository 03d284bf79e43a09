import { assert } from '../../types/assert.ts';
import { clampCommit } from '../recovery.ts';
import { heardLeader } from '../roles/follower.ts';
import { commitTo, type State } from '../state.ts';
import type { HeartbeatRequest } from '../types.ts';

/** The leader of the current term is alive. Its commit index is at most what this member acknowledged in this term. */
export function handleHeartbeatRequest(state: State, message: HeartbeatRequest): void {
  heardLeader(state, message.from);
  const leaderCommit = clampCommit(state, message.leaderCommit);
  assert(leaderCommit <= state.log.lastIndex, 'I5: what was acknowledged is still in the log');
  commitTo(state, leaderCommit);
  state.output.send({
    kind: 'heartbeatResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    readSequence: message.readSequence,
    sentMs: message.sentMs,
  });
}
