/** The timer of availability. Returns how much of the budget it used, at least 1 (timers.ts). */
import { assert } from '../../types/assert.ts';
import type { MemberId } from '../../types/ids.ts';
import type { MachineState } from '../state.ts';
import type { TimerRow } from '../tables.ts';
import { putRow, rowOf } from './rows.ts';

/** permit-async clears itself (A2). */
export function asyncDue(state: MachineState, _key: string, due: Extract<TimerRow, { kind: 'async' }>): number {
  const row = rowOf(state, due.member as MemberId);
  assert(row.asyncUntilMs === due.dueMs, 'a permission knows its timer');
  putRow(state, { ...row, asyncUntilMs: 0 });
  return 2;
}
