import { assert } from '../../types/assert.ts';
import { announceCommit, replicate } from '../replication.ts';
import { advanceCommit } from '../roles/leader.ts';
import { mark, type State } from '../state.ts';
import { continueTransfer } from '../transfer.ts';
import type { AppendResponse } from '../types.ts';

/** A follower's answer to an append of the current term. */
export function handleAppendResponse(state: State, message: AppendResponse): void {
  const { role } = state;
  if (role.kind !== 'leader') return;
  const progress = role.peerById.get(message.from);
  if (progress === undefined) return;
  progress.heard(state.tick);
  const { outcome } = message;
  if (outcome.kind === 'rejected') {
    const agreeIndex = state.log.lastIndexOfTermAtMost(outcome.hintIndex, outcome.hintTerm);
    if (!progress.rejected(outcome.prevLogIndex, agreeIndex)) {
      mark(state, 'stale_rejection');
      return;
    }
    replicate(state, progress);
    return;
  }
  assert(outcome.matchIndex <= state.log.lastIndex, `${message.from} acknowledged what was never sent`);
  const advanced = progress.accepted(outcome.matchIndex, state.tick);
  if (advanced) advanceCommit(state, role);
  // It may have committed its own removal.
  if (state.role !== role) return;
  replicate(state, progress);
  announceCommit(state, role);
  if (advanced) continueTransfer(state, role);
}
