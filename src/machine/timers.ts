/**
 * Deadlines as rows, ordered by (time, key). Rule: every command first brings the time forward and then runs what is due,
 * so that nothing is decided on state that has expired. The work of one apply is bounded in rows; the rest is done with
 * the next command, and `nextTimerMs` stays in the past until then, so that the leader proposes one.
 */
import { must, unreachable } from '../types/assert.ts';
import type { ClusterTimeMs } from '../types/ids.ts';
import { asyncDue } from './availability/timer.ts';
import type { ApplyContext } from './context.ts';
import { tombstoneDue } from './document/timer.ts';
import { KEY_END, padded } from './keys.ts';
import { nonceDue } from './override/timer.ts';
import { dropRound } from './phase/round.ts';
import { blockedDue } from './recovery/timer.ts';
import { sessionDue } from './session.ts';
import type { MachineState } from './state.ts';

export function timersAreDue(state: MachineState): boolean {
  const key = state.tables.timer.firstKey();
  return key !== undefined && key < padded(state.timeMs + 1);
}

export function runDueTimers(context: ApplyContext): void {
  const { state } = context;
  const { timer } = state.tables;
  const notDue = padded(state.timeMs + 1);
  let budget = state.limits.timerRowsPerApplyMax;
  while (budget > 0) {
    const key = timer.firstKey();
    if (key === undefined || key >= notDue) return;
    const due = must(timer.get(key), 'the first timer');
    // Each step takes at least one from the budget: the timer row itself.
    switch (due.kind) {
      case 'session':
        budget -= sessionDue(state, key, due.session);
        break;
      case 'round':
        budget -= dropRound(state, key, due.loop, due.g, budget);
        break;
      case 'blocked':
        budget -= blockedDue(context, key, due);
        break;
      case 'tombstone':
        budget -= tombstoneDue(state, key, due);
        break;
      case 'async':
        budget -= asyncDue(context, key, due);
        break;
      case 'nonce':
        budget -= nonceDue(state, key, due);
        break;
      default:
        unreachable(due, 'timer');
    }
  }
}

export function nextTimerMs(state: MachineState): ClusterTimeMs | null {
  const first = state.tables.timer.range('', KEY_END, 1)[0];
  return first === undefined ? null : first[1].dueMs;
}
