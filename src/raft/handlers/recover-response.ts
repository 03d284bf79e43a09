import { noteWhole } from '../recovery.ts';
import { heardLeader } from '../roles/follower.ts';
import { leaderOf, mark, type State } from '../state.ts';
import type { RecoverResponse } from '../types.ts';

/** An answer to this life of the member, in the current term. The first index that the leader names is enough. */
export function handleRecoverResponse(state: State, message: RecoverResponse): void {
  const { recovery } = state;
  if (recovery === null || message.nonce !== recovery.nonce) {
    mark(state, 'recover_response_stale');
    return;
  }
  const { lastIndex, from, term } = message;
  if (lastIndex !== null) {
    heardLeader(state, from);
    if (recovery.named?.term !== term) recovery.named = { term, index: lastIndex };
    return;
  }
  if (leaderOf(state) !== null) return;
  if (message.recovering) recovery.others.set(from, state.tick);
  else noteWhole(recovery, from);
}
