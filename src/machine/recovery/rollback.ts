/** The steps of ROLLBACK (V3): what is compensated, what is restored, a bounded piece in each command. */
import { clusterTimeMs } from '../../types/ids.ts';
import { STEP_ROWS_MAX } from '../../types/limits.ts';
import type { ApplyContext, BodyOf } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { dropRivals } from '../detection/rivals.ts';
import { restoreTouched } from '../document/snapshot.ts';
import { noteIssue } from '../issue/issue.ts';
import { after, under } from '../keys.ts';
import { settleEffect, topEffect } from '../ledger/effects.ts';
import { moveTo } from './move.ts';
import { keyOf, type RecoveryIn, runOf, saveRecovery } from './rows.ts';
import type { RecoveryRow } from './types.ts';

/** Documents that one command restores: each may be DOCUMENT_LENGTH_MAX long. */
const RESTORED_PER_COMMAND = 32;

/** What came of the call of the compensator of effect `row.seq`. */
export function settle(
  context: ApplyContext,
  row: RecoveryIn<'ROLLBACK'>,
  body: BodyOf<'settleCompensation'>,
): RecoveryRow {
  const { state, timeMs } = context;
  const key = keyOf(row);
  if (body.done) {
    settleEffect(context, key, row.seq);
    noteIssue(context, row.issue, { remediated: `effect ${row.seq} is compensated` });
    const seq = topEffect(state, key, row.seq)?.seq ?? 0;
    return saveRecovery(context, { ...row, seq, tries: 0, nextTryAtMs: 0, lastError: '' });
  }
  const failed = { ...row, tries: row.tries + 1, lastError: body.error };
  if (body.circuitOpen || failed.tries >= policyValue(state, 'compensatorTriesMax')) {
    return moveTo(context, failed, 'exhausted', '');
  }
  // The leader draws it; whatever it says, the back-off is bounded (L3).
  const latestMs = timeMs + policyValue(state, 'compensatorBackoffMaxMs');
  const nextTryAtMs = clusterTimeMs(Math.min(Math.max(body.nextTryAtMs, timeMs), latestMs));
  return saveRecovery(context, { ...failed, nextTryAtMs });
}

/** The next piece of snapshot_apply: documents first, then what the run has reported, since its effects are undone. */
export function restoreNext(context: ApplyContext, row: RecoveryIn<'ROLLBACK'>): RecoveryRow {
  const key = keyOf(row);
  const { restoredThrough, done } = restoreTouched(context, key, row.restoredThrough, RESTORED_PER_COMMAND);
  const cleared = done && clearReports(context, row);
  if (cleared) return moveTo(context, { ...row, restoredThrough }, 'rolledBack', '');
  return saveRecovery(context, { ...row, restoredThrough });
}

/** True when no sub-step is left. A run that was given up keeps its record: it is final. */
function clearReports({ state }: ApplyContext, row: RecoveryRow): boolean {
  const { run, key } = runOf(state, row);
  if (run.state !== 'FAILED_PARTIAL') return true;
  const { subStep } = state.tables;
  const dropped = subStep.deleteRange(under(key), after(key), STEP_ROWS_MAX);
  if (dropped > 0) state.tables.run.put(key, { ...run, subStepsDone: run.subStepsDone - dropped });
  const rivals = dropRivals(state, key, STEP_ROWS_MAX);
  return dropped < STEP_ROWS_MAX && rivals < STEP_ROWS_MAX;
}
