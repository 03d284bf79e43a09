/**
 * Handlers of the recovery commands. The leader works on an active recovery and says what came of it, with the token of the
 * lock: one that is not the newest is refused (V4). Whatever the state can decide by itself it decides here.
 *
 * H1. The checkpoint's checksum is looked at before anything is built on it. If it is bad, the command is not carried out, and the
 *     recovery goes to ROLLBACK, or begins its rollback again (V4): the answer says where it stands.
 */
import { DETAIL_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Handler, type Outcome, reject } from '../context.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { findRun } from '../phase/run.ts';
import type { MachineState } from '../state.ts';
import type { PhaseRef, Rejection } from '../types.ts';
import { checkInteger, checkText, firstOf } from '../validate.ts';
import { isCheckpointGood } from './checkpoint.ts';
import { mayTakeLock, moveTo, nextStep, startRollbackOver } from './move.ts';
import { checkpointMismatch, mergeNext } from './reconcile.ts';
import { restoreNext, settle } from './rollback.ts';
import { isIn, keyOf, type RecoveryIn, saveRecovery, turnLock } from './rows.ts';
import type { RecoveryRow } from './types.ts';

const LEVEL = 3;

type ActiveRecovery = RecoveryIn<'RECONCILE'> | RecoveryIn<'ROLLBACK'>;

export const recoveryHandlers: {
  readonly [K in 'startRecovery' | 'takeOverRecovery' | 'completeStep' | 'settleCompensation']: Handler<K>;
} = { startRecovery, takeOverRecovery, completeStep, settleCompensation };

function startRecovery(context: ApplyContext, body: BodyOf<'startRecovery'>): Outcome {
  const found = findRecovery(context.state, body);
  if (!found.ok) return found;
  const row = found.value;
  if (!isIn(row, 'INTERRUPTED')) return wrongState(row, 'INTERRUPTED');
  if (row.waiting !== '') {
    return reject('RECOVERY_STATE', `Wait for a supervisor's override: ${row.phase} waits for ${row.waiting}.`, {
      state: row.state,
      waiting: row.waiting,
    });
  }
  const locked = checkLock(context, row);
  if (locked !== null) return err(locked);
  useFeatureLevel(context.state, LEVEL);
  return advanced(start(context, row, ''));
}

/** INTERRUPTED → RECONCILE; to ROLLBACK by H1, and where the attempt itself said that it is not to count. The lock is free. */
export function start(context: ApplyContext, row: RecoveryIn<'INTERRUPTED'>, why: string): RecoveryRow {
  if (!isCheckpointGood(row)) {
    return moveTo(context, row, 'forceRollback', 'the checkpoint of the recovery is damaged');
  }
  return moveTo(context, row, row.cause === 'ABORTED' || row.cause === 'GIVEN_UP' ? 'forceRollback' : 'start', why);
}

/** V4: the new leader holds the lock from now on, and goes on where the record says. */
function takeOverRecovery(context: ApplyContext, body: BodyOf<'takeOverRecovery'>): Outcome {
  const found = findActive(context.state, body);
  if (!found.ok) return found;
  useFeatureLevel(context.state, LEVEL);
  const row = found.value;
  const good = isCheckpointGood(row);
  const held = { ...row, token: turnLock(context, row, true) };
  return advanced(good ? saveRecovery(context, held) : rescue(context, held));
}

function completeStep(context: ApplyContext, body: BodyOf<'completeStep'>): Outcome {
  const bad = checkText('detail', body.detail, 0, DETAIL_LENGTH_MAX);
  if (bad !== null) return err(bad);
  const found = findActive(context.state, body);
  if (!found.ok) return found;
  const row = found.value;
  if (row.step !== body.step) return wrongState(row, body.step);
  if (isIn(row, 'ROLLBACK') && (!body.ok || (row.step === 'sel_compensate' && row.seq !== 0))) {
    return reject('RECOVERY_STATE', `Compensate effect ${row.seq} first: a rollback has no other way on.`, {
      seq: row.seq,
      state: row.state,
      step: row.step,
    });
  }
  useFeatureLevel(context.state, LEVEL);
  if (!isCheckpointGood(row)) return advanced(rescue(context, row));
  if (isIn(row, 'RECONCILE')) return advanced(reconcile(context, row, body));
  return advanced(row.step === 'sel_compensate' ? nextStep(context, row) : restoreNext(context, row));
}

/** V2: roll forward first, and only what fits. */
function reconcile(context: ApplyContext, row: RecoveryIn<'RECONCILE'>, body: BodyOf<'completeStep'>): RecoveryRow {
  const { state } = context;
  const key = keyOf(row);
  if (!body.ok) return moveTo(context, row, 'mismatch', `${row.step}: ${body.detail}`);
  if (row.step === 'wal_fsync') return nextStep(context, row);
  if (row.step === 'checkpoint_flush') {
    const mismatch = checkpointMismatch(state, key);
    return mismatch === null ? nextStep(context, row) : moveTo(context, row, 'mismatch', `${row.step}: ${mismatch}`);
  }
  const { mismatch, done, through } = mergeNext(state, row.loop, key, row.restoredThrough);
  if (mismatch !== null) return moveTo(context, row, 'mismatch', `${row.step}: ${mismatch}`);
  if (done) return moveTo(context, row, 'rolledForward', body.detail);
  return saveRecovery(context, { ...row, restoredThrough: through });
}

function settleCompensation(context: ApplyContext, body: BodyOf<'settleCompensation'>): Outcome {
  const bad = firstOf(
    checkInteger('seq', body.seq, 1, Number.MAX_SAFE_INTEGER),
    checkText('error', body.error, 0, DETAIL_LENGTH_MAX),
    checkInteger('nextTryAtMs', body.nextTryAtMs, 0, Number.MAX_SAFE_INTEGER),
  );
  if (bad !== null) return err(bad);
  const found = findActive(context.state, body);
  if (!found.ok) return found;
  const row = found.value;
  if (!isIn(row, 'ROLLBACK') || row.step !== 'sel_compensate' || row.seq !== body.seq) {
    return wrongState(row, `sel_compensate of effect ${body.seq}`);
  }
  useFeatureLevel(context.state, LEVEL);
  if (!isCheckpointGood(row)) return advanced(rescue(context, row));
  return advanced(settle(context, row, body));
}

/** H1. */
function rescue(context: ApplyContext, row: ActiveRecovery): RecoveryRow {
  if (isIn(row, 'RECONCILE')) return moveTo(context, row, 'mismatch', 'the checkpoint of the recovery is damaged');
  return startRollbackOver(context, row);
}

/** The recovery that a command of the leader is about, with the token that it has. */
function findRecovery(
  state: MachineState,
  body: { readonly ref: PhaseRef; readonly token: number },
): Result<RecoveryRow, Rejection> {
  const bad = firstOf(checkFeatureLevel(state, LEVEL), checkInteger('token', body.token, 0, Number.MAX_SAFE_INTEGER));
  if (bad !== null) return err(bad);
  const run = findRun(state, body.ref);
  if (!run.ok) return run;
  const row = state.tables.domain.recovery.get(run.value.key);
  if (row === null) {
    return reject('RECOVERY_NOT_FOUND', `Look at the run: ${body.ref.phase} of round ${body.ref.g} has no recovery.`, {
      state: run.value.run.state,
    });
  }
  if (row.token === body.token) return ok(row);
  return reject('STALE_FENCE', `Stop: the recovery of ${row.phase} has changed hands, and its token is another.`, {
    state: row.state,
    token: row.token,
  });
}

function findActive(
  state: MachineState,
  body: { readonly ref: PhaseRef; readonly token: number },
): Result<ActiveRecovery, Rejection> {
  const found = findRecovery(state, body);
  if (!found.ok) return found;
  const row = found.value;
  if (isIn(row, 'RECONCILE') || isIn(row, 'ROLLBACK')) return ok(row);
  return wrongState(row, 'RECONCILE or ROLLBACK');
}

export function wrongState(row: RecoveryRow, wanted: string): { readonly ok: false; readonly error: Rejection } {
  const now = row.step === '' ? row.state : `${row.state}, ${row.step} of effect ${row.seq}`;
  return reject('RECOVERY_STATE', `Look at the recovery again: it stands at ${now}, not at ${wanted}.`, {
    seq: row.seq,
    state: row.state,
    step: row.step,
  });
}

/** RV1: another round's recovery of the phase may be active, resumed by a supervisor. */
export function checkLock(context: ApplyContext, row: RecoveryRow): Rejection | null {
  if (mayTakeLock(context, row, 'RECONCILE')) return null;
  const refused = reject(
    'RECOVERY_STATE',
    `Wait: another recovery of ${row.phase} of ${row.loop} is active, and a phase has one at a time.`,
    { state: row.state },
  );
  return refused.error;
}

function advanced({ state, step, token }: RecoveryRow): Outcome {
  return ok({ kind: 'recoveryAdvanced', state, step, token });
}
