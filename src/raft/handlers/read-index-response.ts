import { forwardReads } from '../reads.ts';
import { leaderOf, type State } from '../state.ts';
import type { ReadIndexResponse } from '../types.ts';

/** The leader's answer to the batch that waits; the id tells it from answers to earlier ones. */
export function handleReadIndexResponse(state: State, message: ReadIndexResponse): void {
  const { role } = state;
  if (role.kind !== 'follower') return;
  const requestIds = role.reads.answered(message.requestId);
  if (requestIds === null) return;
  for (const requestId of requestIds) {
    if (message.readIndex === null) {
      state.output.effect({ kind: 'readRefused', requestId, reason: 'not_leader', leader: leaderOf(state) });
    } else state.output.effect({ kind: 'readReady', requestId, index: message.readIndex });
  }
  forwardReads(state, role);
}
