/** What the overrides of supervisors do to recoveries (O1). Signatures are the affair of whoever calls. */
import { OVERRIDE_RECOVERIES_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, reject } from '../context.ts';
import { after, next, under } from '../keys.ts';
import { useFeatureLevel } from '../member/feature.ts';
import type { OverrideAction } from '../override/types.ts';
import type { Rejection } from '../types.ts';
import { checkLock, start } from './handlers.ts';
import { moveTo } from './move.ts';
import { isIn, tracePrefix } from './rows.ts';
import type { RecoveryState } from './transitions.ts';
import type { RecoveryRow } from './types.ts';

/** States that an action moves on from. */
export const OVERRIDABLE: { readonly [Action in OverrideAction]: readonly RecoveryState[] } = {
  /** On with it: also what automation may not start, and what was given up. */
  resume: ['INTERRUPTED', 'BLOCKED_COMPENSATOR', 'HARD_FAILED'],
  /** Give it up; the barrier waits no longer. */
  abort: ['INTERRUPTED', 'BLOCKED_COMPENSATOR'],
  'force-rollback': ['INTERRUPTED', 'RECONCILE'],
};

export interface OverrideTargets {
  /** Runs whose recoveries the action moves on, in order; at most OVERRIDE_RECOVERIES_MAX. */
  readonly runs: readonly string[];
  /** Why it moves none; null: there is nothing that has the trace id. */
  readonly refused: Rejection | null;
}

/** What an action on a trace moves. All recoveries of the trace are looked at: those that are over must not hide those that are not. */
export function overrideTargets(context: ApplyContext, traceId: string, action: OverrideAction): OverrideTargets {
  const prefix = tracePrefix(traceId);
  const { recoveryTrace } = context.state.tables.domain;
  const runs: string[] = [];
  let refused: Rejection | null = null;
  let from = under(prefix);
  for (;;) {
    const page = recoveryTrace.range(from, after(prefix), OVERRIDE_RECOVERIES_MAX);
    for (const [key, { run }] of page) {
      const refusal = checkOverride(context, run, action);
      if (refusal === null) runs.push(run);
      refused ??= refusal;
      if (runs.length === OVERRIDE_RECOVERIES_MAX) return { runs, refused };
      from = next(key);
    }
    if (page.length < OVERRIDE_RECOVERIES_MAX) return { runs, refused };
  }
}

/** null: {@link overrideRecovery} would carry it out now. Changes nothing. */
export function checkOverride(context: ApplyContext, runKey: string, action: OverrideAction): Rejection | null {
  const row = context.state.tables.domain.recovery.get(runKey);
  if (row === null) return reject('RECOVERY_NOT_FOUND', 'List the recoveries: the run has none.').error;
  if (!OVERRIDABLE[action].includes(row.state)) {
    const states = OVERRIDABLE[action].join(', ');
    return reject('RECOVERY_STATE', `Look at the recovery: ${action} goes on from ${states}, and it is ${row.state}.`, {
      action,
      state: row.state,
    }).error;
  }
  return action === 'abort' ? null : checkLock(context, row);
}

/** Moves one recovery. Refused without any change where its state has no such arc, or its phase's lock is held by another. */
export function overrideRecovery(
  context: ApplyContext,
  runKey: string,
  action: OverrideAction,
): Result<null, Rejection> {
  const refused = checkOverride(context, runKey, action);
  if (refused !== null) return err(refused);
  useFeatureLevel(context.state, 3);
  const row = context.state.tables.domain.recovery.get(runKey);
  if (row !== null) carryOut(context, row, action);
  return ok(null);
}

function carryOut(context: ApplyContext, row: RecoveryRow, action: OverrideAction): RecoveryRow {
  const why = `${action} by override`;
  if (isIn(row, 'INTERRUPTED')) {
    if (action === 'resume') return start(context, row, why);
    return moveTo(context, row, action === 'abort' ? 'giveUp' : 'forceRollback', why);
  }
  if (isIn(row, 'RECONCILE')) return moveTo(context, row, 'forceRollback', why);
  if (isIn(row, 'BLOCKED_COMPENSATOR')) return moveTo(context, row, action === 'abort' ? 'giveUp' : 'resume', why);
  if (isIn(row, 'HARD_FAILED')) return moveTo(context, row, 'resume', why);
  return row;
}
