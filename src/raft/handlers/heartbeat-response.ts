import { forgetPeer } from '../leader-log.ts';
import { confirmReads } from '../reads.ts';
import { recoverLost, replicate } from '../replication.ts';
import { mark, type State } from '../state.ts';
import type { HeartbeatResponse } from '../types.ts';

/** The follower still follows this leader: confirms reads, and moves a follower on whose messages were lost. */
export function handleHeartbeatResponse(state: State, message: HeartbeatResponse): void {
  const { role } = state;
  if (role.kind !== 'leader') return;
  const progress = role.peerById.get(message.from);
  if (progress === undefined) return;
  progress.heard(state.tick);
  if (message.readSequence > progress.readSequence && message.readSequence <= role.reads.sequence) {
    progress.readConfirmed(message.readSequence);
    confirmReads(state, role);
  }
  // Only what this clock has shown is an echo of it. 0: a member of an older version, which gives no lease.
  if (message.sentMs > 0 && message.sentMs <= state.nowMs) progress.echoed(message.sentMs);
  if (progress.knowsDeparture) {
    mark(state, 'removed_member_knows');
    forgetPeer(role, progress);
    return;
  }
  recoverLost(state, progress);
  replicate(state, progress);
}
