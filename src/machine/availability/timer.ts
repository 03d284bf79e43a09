/** The timer of availability. Returns how much of the budget it used, at least 1 (timers.ts). */
import { assert } from '../../types/assert.ts';
import type { MemberId } from '../../types/ids.ts';
import type { ApplyContext } from '../context.ts';
import type { TimerRow } from '../tables.ts';
import { emitAvailability, putRow, rowOf } from './rows.ts';

/** permit-async clears itself (A2). */
export function asyncDue(context: ApplyContext, _key: string, due: Extract<TimerRow, { kind: 'async' }>): number {
  const row = rowOf(context.state, due.member as MemberId);
  assert(row.asyncUntilMs === due.dueMs, 'a permission knows its timer');
  putRow(context.state, { ...row, asyncUntilMs: 0 });
  emitAvailability(context, 'ASYNC_OFF', row.member);
  return 2;
}
