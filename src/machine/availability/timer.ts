/** The timer of availability. Returns how much of the budget it used, at least 1 (timers.ts). */
import { unreachable } from '../../types/assert.ts';
import type { MachineState } from '../state.ts';
import type { TimerRow } from '../tables.ts';

export function asyncDue(_state: MachineState, _key: string, _due: Extract<TimerRow, { kind: 'async' }>): number {
  return unreachable(undefined as never, 'not built yet');
}
