/**
 * `moveTo`: the one way from a recovery's state to the next (V1). It takes an arc of the table, and does all that belongs to
 * it: the lock, the step, the timer, the run and the barrier, the issue, the alert and the event.
 */
import { assert } from '../../types/assert.ts';
import { clusterTimeMs } from '../../types/ids.ts';
import { RECOVERY_STEPS_MAX } from '../../types/limits.ts';
import type { ApplyContext } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { noteIssue, raiseAlert } from '../issue/issue.ts';
import { topEffect } from '../ledger/effects.ts';
import type { DomainEventKind } from '../types.ts';
import { hardFailRun, rollRunBack, rollRunForward } from './outcome.ts';
import { blockedTimerKey, isLocked, keyOf, type RecoveryIn, recoveryEvent, saveRecovery, turnLock } from './rows.ts';
import { type ArcOf, arcTarget, isActive, type RecoveryState, type RecoveryStep, STEPS } from './transitions.ts';
import type { RecoveryRow } from './types.ts';

const EVENT_OF: { readonly [State in RecoveryState]: DomainEventKind } = {
  INTERRUPTED: 'phase_recovery.interrupted',
  RECONCILE: 'phase_recovery.reconcile',
  ROLLBACK: 'phase_recovery.rollback',
  BLOCKED_COMPENSATOR: 'phase_recovery.blocked',
  HARD_FAILED: 'phase_recovery.finished',
  CLEAN_EXIT: 'phase_recovery.finished',
};

/**
 * Goes along `arc`. Where that takes the lock, the lock must be free (asserted): `mayTakeLock` asks beforehand. `why` is for people;
 * '' adds nothing to the issue. Returns the row as it is now.
 */
export function moveTo<State extends RecoveryState, Name extends ArcOf<State>>(
  context: ApplyContext,
  row: RecoveryIn<State>,
  arc: Name,
  why: string,
): RecoveryRow {
  const from: RecoveryState = row.state;
  const to: RecoveryState = arcTarget(row.state, arc);
  const { state, timeMs } = context;
  if (row.blockedUntilMs !== 0) state.tables.timer.delete(blockedTimerKey(row.blockedUntilMs, keyOf(row)));
  const moved = saveRecovery(context, {
    ...row,
    ...standingIn(context, row, to),
    state: to,
    step: firstStep(to),
    waiting: '',
    token: tokenIn(context, row, to),
    steps: stepsWith(row, timeMs),
    stepStartedAtMs: timeMs,
  });
  if (moved.blockedUntilMs !== 0) {
    const { blockedUntilMs: dueMs } = moved;
    state.tables.timer.put(blockedTimerKey(dueMs, keyOf(row)), { kind: 'blocked', dueMs, run: keyOf(row) });
  }
  const because = from === 'INTERRUPTED' ? row.cause : row.step;
  const outcome = because === '' ? `${from}>${to}` : `${from}>${to} ${because}`;
  context.emit(recoveryEvent(moved, EVENT_OF[to], outcome));
  tellPeople(context, moved, arc, why);
  if (moved.result === 'ROLLED_FORWARD') rollRunForward(context, moved);
  else if (moved.result === 'ROLLED_BACK') rollRunBack(context, moved);
  else if (moved.result === 'HARD_FAILED') hardFailRun(context, moved);
  return moved;
}

/** The step of `row` is done and another follows in the same state. */
export function nextStep(context: ApplyContext, row: RecoveryRow): RecoveryRow {
  const steps: readonly RecoveryStep[] = row.state === 'RECONCILE' ? STEPS.RECONCILE : STEPS.ROLLBACK;
  const step = steps[steps.indexOf(row.step as RecoveryStep) + 1];
  assert(step !== undefined, 'a step follows');
  const moved = saveRecovery(context, {
    ...row,
    step,
    restoredThrough: '',
    steps: stepsWith(row, context.timeMs),
    stepStartedAtMs: context.timeMs,
  });
  context.emit(recoveryEvent(moved, 'phase_recovery.step', `${row.state} ${row.step}`));
  return moved;
}

/** The rollback begins again with its first step: what was compensated and restored stays so, everything else is looked at anew. */
export function startRollbackOver(context: ApplyContext, row: RecoveryIn<'ROLLBACK'>): RecoveryRow {
  noteIssue(context, row.issue, { seen: 'the checkpoint of the rollback was damaged: it begins again' });
  return saveRecovery(context, {
    ...row,
    ...standingIn(context, row, 'ROLLBACK'),
    step: firstStep('ROLLBACK'),
    stepStartedAtMs: context.timeMs,
  });
}

/** True unless going to `to` takes a lock that another recovery holds (RV1). */
export function mayTakeLock(context: ApplyContext, row: RecoveryRow, to: RecoveryState): boolean {
  return !isActive(to) || isActive(row.state) || !isLocked(context.state, row.loop, row.phase);
}

function tokenIn(context: ApplyContext, row: RecoveryRow, to: RecoveryState): RecoveryRow['token'] {
  const held = isActive(to);
  if (held === isActive(row.state)) return row.token;
  assert(mayTakeLock(context, row, to), 'the lock of a phase has one holder (RV1)');
  return turnLock(context, row, held);
}

function firstStep(state: RecoveryState): RecoveryStep | '' {
  if (state === 'RECONCILE') return STEPS.RECONCILE[0];
  return state === 'ROLLBACK' ? STEPS.ROLLBACK[0] : '';
}

function stepsWith(
  { step, steps, stepStartedAtMs }: RecoveryRow,
  finishedAtMs: ApplyContext['timeMs'],
): RecoveryRow['steps'] {
  if (step === '') return steps;
  return [...steps.slice(1 - RECOVERY_STEPS_MAX), { step, startedAtMs: stepStartedAtMs, finishedAtMs }];
}

type Standing = Pick<
  RecoveryRow,
  'seq' | 'tries' | 'nextTryAtMs' | 'restoredThrough' | 'finishedAtMs' | 'blockedAtMs' | 'blockedUntilMs' | 'result'
>;

/** Where a recovery stands when it comes into a state. */
function standingIn({ state, timeMs }: ApplyContext, row: RecoveryRow, to: RecoveryState): Standing {
  const { seq, tries, restoredThrough, blockedAtMs } = row;
  const over = { nextTryAtMs: 0 as const, blockedUntilMs: 0 as const };
  const atStart = { ...over, seq: 0, tries: 0, restoredThrough: '', finishedAtMs: 0 as const, blockedAtMs };
  switch (to) {
    case 'INTERRUPTED':
    case 'RECONCILE':
      return { ...atStart, result: '' };
    case 'ROLLBACK':
      return { ...atStart, seq: topEffect(state, keyOf(row), Number.MAX_SAFE_INTEGER)?.seq ?? 0, result: '' };
    case 'BLOCKED_COMPENSATOR': {
      const blockedUntilMs = clusterTimeMs(timeMs + policyValue(state, 'blockedMs'));
      return { ...atStart, seq, tries, restoredThrough, blockedAtMs: timeMs, blockedUntilMs, result: '' };
    }
    case 'HARD_FAILED':
      return { ...atStart, seq, tries, restoredThrough, finishedAtMs: timeMs, result: 'HARD_FAILED' };
    case 'CLEAN_EXIT': {
      const result = row.state === 'ROLLBACK' ? 'ROLLED_BACK' : 'ROLLED_FORWARD';
      return { ...atStart, finishedAtMs: timeMs, result };
    }
  }
}

function tellPeople(context: ApplyContext, row: RecoveryRow, arc: string, why: string): void {
  const { loop, g, phase, issue, seq, tries, lastError } = row;
  const what = `${phase} of round ${g} of ${loop}`;
  const because = why === '' ? '' : `: ${why}`;
  if (row.state === 'BLOCKED_COMPENSATOR') {
    const stuck = `the compensator of effect ${seq} failed after ${tries} tries: ${lastError}`;
    noteIssue(context, issue, { isolated: stuck });
    raiseAlert(context, 'sel_compensator_failed', issue, `${what}: ${stuck}`);
  } else if (row.state === 'HARD_FAILED') {
    noteIssue(context, issue, { isolated: `HARD_FAILED (${arc})${because}` });
    if (arc !== 'timedOut') return;
    const text = `${what} is HARD_FAILED with effect ${seq} not compensated; the next round may begin.`;
    raiseAlert(context, 'compensator_timeout', issue, text);
  } else if (row.state === 'CLEAN_EXIT') {
    noteIssue(context, issue, { remediated: `${row.result}${because}`, close: true });
  } else if (why !== '') {
    noteIssue(context, issue, { isolated: `${arc}${because}` });
  }
}
