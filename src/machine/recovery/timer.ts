/** The timer of recovery. Returns how much of the budget it used, at least 1 (timers.ts). */
import { assert, must } from '../../types/assert.ts';
import { clusterTimeMs } from '../../types/ids.ts';
import type { ApplyContext } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import type { TimerRow } from '../tables.ts';
import { moveTo } from './move.ts';
import { blockedTimerKey, isIn, saveRecovery } from './rows.ts';

/** T_blocked is over (V6): the run has failed for good, and the barrier does not wait for it any longer. */
export function blockedDue(context: ApplyContext, key: string, due: Extract<TimerRow, { kind: 'blocked' }>): number {
  const { counter, domain } = context.state.tables;
  const before = counter.writes;
  const row = must(domain.recovery.get(due.run), 'a blocked recovery');
  assert(blockedTimerKey(row.blockedUntilMs, due.run) === key, 'a blocked recovery knows its timer (RV4)');
  assert(isIn(row, 'BLOCKED_COMPENSATOR'), 'what has the timer is blocked (RV4)');
  if (policyValue(context.state, 'automationPaused') === 1) {
    // Nobody is to be given up meanwhile: the time begins again.
    const dueMs = clusterTimeMs(context.timeMs + policyValue(context.state, 'blockedMs'));
    context.state.tables.timer.delete(key);
    context.state.tables.timer.put(blockedTimerKey(dueMs, due.run), { ...due, dueMs });
    saveRecovery(context, { ...row, blockedUntilMs: dueMs });
    return counter.writes - before;
  }
  moveTo(context, row, 'timedOut', 'T_blocked is over');
  // It opens a round at times: what it wrote is what it cost.
  return counter.writes - before;
}
