import { logIndex } from '../../types/ids.ts';
import { replicate } from '../replication.ts';
import { mark, type State } from '../state.ts';
import type { RecoverRequest } from '../types.ts';

/**
 * A member lost a part of its log. A leader forgets what that member acknowledged, once for each life of it, and names the end of
 * its own log: everything that the member can have acknowledged in this term is before it.
 */
export function handleRecoverRequest(state: State, message: RecoverRequest): void {
  const { role, log } = state;
  const { from: to, nonce } = message;
  const progress = role.kind === 'leader' ? role.peerById.get(to) : undefined;
  state.output.send({
    kind: 'recoverResponse',
    from: state.id,
    to,
    term: state.term,
    nonce,
    lastIndex: progress === undefined ? null : log.lastIndex,
    recovering: state.recovery !== null,
  });
  if (progress === undefined) return;
  if (message.term === state.term) progress.heard(state.tick);
  if (progress.startAnew(nonce, logIndex(log.lastIndex + 1))) mark(state, 'progress_anew');
  replicate(state, progress);
}
