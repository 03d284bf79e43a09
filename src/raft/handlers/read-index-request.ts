import { readOnLeader } from '../reads.ts';
import type { State } from '../state.ts';
import type { ReadIndexRequest } from '../types.ts';

/** A follower asks for its clients. Its term may be older: the answer is as good, because it is confirmed afterwards. */
export function handleReadIndexRequest(state: State, message: ReadIndexRequest): void {
  const { role } = state;
  const { from, requestId } = message;
  if (role.kind === 'leader' && role.peerById.has(from)) {
    if (message.term === state.term) role.peerById.get(from)?.heard(state.tick);
    readOnLeader(state, role, { from, requestId });
    return;
  }
  state.output.send({
    kind: 'readIndexResponse',
    from: state.id,
    to: from,
    term: state.term,
    requestId,
    readIndex: null,
  });
}
