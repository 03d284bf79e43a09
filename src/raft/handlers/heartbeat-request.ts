import { assert } from '../../types/assert.ts';
import { clampCommit } from '../recovery.ts';
import { heardLeader } from '../roles/follower.ts';
import { commitTo, type State } from '../state.ts';
import type { HeartbeatRequest } from '../types.ts';

/** No damage showed when the log was opened, so nothing but this says it: see "Torn tail or damage" in wal/FORMAT.md. */
const LOST = 'its end was lost unnoticed (a disk that lies about fsync?); replace this member (quorate member replace)';

/** The leader of the current term is alive. Its commit index is at most what this member acknowledged in this term. */
export function handleHeartbeatRequest(state: State, message: HeartbeatRequest): void {
  heardLeader(state, message.from);
  const leaderCommit = clampCommit(state, message.leaderCommit);
  const { lastIndex } = state.log;
  assert(leaderCommit <= lastIndex, `I5: the log ends at ${lastIndex}, but ${leaderCommit} was acknowledged: ${LOST}`);
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
