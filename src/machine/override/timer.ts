/** The timer of override. Returns how much of the budget it used, at least 1 (timers.ts). */
import { assert } from '../../types/assert.ts';
import type { MachineState } from '../state.ts';
import type { TimerRow } from '../tables.ts';

/** The override has expired: it is refused for that from now on, and its nonce may be forgotten. */
export function nonceDue(state: MachineState, key: string, due: Extract<TimerRow, { kind: 'nonce' }>): number {
  state.tables.timer.delete(key);
  assert(state.tables.domain.nonce.delete(due.nonce), 'a nonce timer without a nonce');
  return 1;
}
