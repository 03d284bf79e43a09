/** The record of an interrupted run (D6, V5, V8). */
import { clusterTimeMs } from '../../types/ids.ts';
import type { ApplyContext } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import type { RecoveryCause } from '../detection/types.ts';
import { attemptEnded, firstWatch } from '../detection/watch.ts';
import { openIssue, raiseAlert } from '../issue/issue.ts';
import { amountText } from '../ledger/cost.ts';
import { capped, spendingKey } from '../ledger/effects.ts';
import { type FoundRun, finishAttempt } from '../phase/run.ts';
import type { StoredRunRow } from '../tables.ts';
import { keyOf, lockToken, recoveryEvent, saveRecovery, tracePrefix } from './rows.ts';
import type { RecoveryRow } from './types.ts';

/**
 * The RUNNING run fails in part: nobody may work on it until its recovery, whose record is opened here, has decided. `waiting`:
 * automation does not start it, a supervisor must (V5). An automatic recovery is counted now, so that it counts whatever
 * becomes of it.
 */
export function openRecovery(
  context: ApplyContext,
  found: FoundRun,
  cause: RecoveryCause,
  detail: string,
  faultAtMs: number,
): { waiting: boolean } {
  const { state, revision, timeMs } = context;
  const { loop, run, key } = found;
  const failed: StoredRunRow = { ...run, state: 'FAILED_PARTIAL', finishedAtMs: timeMs, changedRevision: revision };
  state.tables.run.put(key, failed);
  state.tables.loop.put(loop.loop, { ...loop, changedRevision: revision });
  finishAttempt(context, found, 'FAILED_PARTIAL', loop.vectorClock);
  attemptEnded(context, found, failed, 'FAILED_PARTIAL');

  const { watch, recovery, recoveryTrace } = state.tables.domain;
  const watched = watch.get(key) ?? firstWatch(run);
  const waiting = waitsFor(context, found, watched.autoAttempts);
  watch.put(key, { ...watched, autoAttempts: watched.autoAttempts + (waiting === '' ? 1 : 0) });
  // A run without a trace id gets one for its recovery, so that supervisors can name it.
  const traceId = run.traceId === '' ? `recovery-${revision}` : run.traceId;
  const seen = [`attempt ${run.attempt} was interrupted: ${cause}${detail === '' ? '' : `: ${detail}`}`];
  const { g, phase } = run;
  const issue = openIssue(context, { kind: 'RECOVERY', loop: loop.loop, g, phase, traceId, seen });
  const before = recovery.get(key);
  if (before !== null) recoveryTrace.delete(`${tracePrefix(before.traceId)} ${key}`);
  const row = saveRecovery(context, {
    ...newRecovery(context, run),
    traceId,
    cause,
    detail,
    waiting,
    token: lockToken(state, run.loop, run.phase),
    faultAtMs: clusterTimeMs(Math.min(faultAtMs, timeMs)),
    issue,
  });
  recoveryTrace.put(`${tracePrefix(traceId)} ${keyOf(row)}`, { run: key });
  context.emit(recoveryEvent(row, 'phase_recovery.interrupted', `RUNNING>INTERRUPTED ${cause}`));
  if (waiting !== '') sayItWaits(context, found, row, watched.autoAttempts);
  return { waiting: waiting !== '' };
}

function waitsFor({ state }: ApplyContext, { run, key }: FoundRun, autoAttempts: number): RecoveryRow['waiting'] {
  if (capped(state, run.traceId, key)) return 'COST_CAP_EXCEEDED';
  return autoAttempts >= policyValue(state, 'autoAttemptsMax') ? 'AUTO_ATTEMPTS' : '';
}

function sayItWaits(context: ApplyContext, { run, key }: FoundRun, row: RecoveryRow, autoAttempts: number): void {
  context.emit(recoveryEvent(row, 'phase_recovery.waiting', row.waiting));
  const spent = context.state.tables.domain.spending.get(spendingKey(run.traceId, key));
  const cost = `${amountText(spent?.spentMicros ?? '0')} spent on ${spent?.effects ?? 0} effects`;
  const what = `${row.phase} of round ${row.g} of ${row.loop} waits for a supervisor`;
  const text = `${what} (${row.waiting}) after ${autoAttempts} automatic recoveries, ${cost}; trace ${row.traceId}`;
  raiseAlert(context, 'recovery_waits', row.issue, text);
}

type Blank = Omit<RecoveryRow, 'traceId' | 'cause' | 'detail' | 'waiting' | 'token' | 'faultAtMs' | 'issue'>;

function newRecovery({ timeMs, revision }: ApplyContext, run: StoredRunRow): Blank {
  return {
    loop: run.loop,
    g: run.g,
    phase: run.phase,
    position: run.position,
    attempt: run.attempt,
    state: 'INTERRUPTED',
    step: '',
    seq: 0,
    tries: 0,
    nextTryAtMs: 0,
    lastError: '',
    restoredThrough: '',
    crc: 0,
    detectedAtMs: timeMs,
    stepStartedAtMs: timeMs,
    finishedAtMs: 0,
    blockedAtMs: 0,
    blockedUntilMs: 0,
    steps: [],
    result: '',
    changedRevision: revision,
  };
}
