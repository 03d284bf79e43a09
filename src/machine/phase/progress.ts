/** reportProgress: how far an attempt is, what it has finished, and where the next could go on (P5). */
import {
  CHECKPOINT_LENGTH_MAX,
  NOTE_LENGTH_MAX,
  SUB_STEP_ID_LENGTH_MAX,
  SUB_STEP_RESULT_LENGTH_MAX,
  SUB_STEPS_KNOWN_LENGTH_MAX,
  SUB_STEPS_PER_REPORT_MAX,
} from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { subStepKey } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { Rejection, SubStepReport } from '../types.ts';
import { checkInteger, checkText, checkToken, firstOf } from '../validate.ts';
import { checkFence, eventOf, findRun } from './run.ts';

export function reportProgress(context: ApplyContext, body: BodyOf<'reportProgress'>): Outcome {
  const { state } = context;
  const bad = checkReport(body);
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const { run, key } = found.value;
  const fence = checkFence(run, body.token);
  if (!fence.ok) return fence;
  const { fresh, known } = sortOut(state, key, body.subSteps);
  const subStepsDone = run.subStepsDone + fresh.size;
  if (subStepsDone > state.limits.subStepsMax) {
    return reject(
      'LIMIT_EXCEEDED',
      `Cut the work into fewer sub-steps: a phase run may have ${state.limits.subStepsMax}, and ${run.subStepsDone} are on record.`,
      { limit: state.limits.subStepsMax, subStepsDone: run.subStepsDone },
    );
  }

  for (const [id, result] of fresh) {
    const row = { id, result, attempt: run.attempt, recordedRevision: context.revision };
    state.tables.subStep.put(subStepKey(key, id), row);
  }
  if (body.checkpoint !== null) state.tables.checkpoint.put(key, { checkpoint: body.checkpoint });
  const reported: StoredRunRow = {
    ...run,
    completed: body.total === 0 ? run.completed : body.completed,
    total: body.total === 0 ? run.total : body.total,
    note: body.note === '' ? run.note : body.note,
    subStepsDone,
    progressAtMs: context.timeMs,
    changedRevision: context.revision,
  };
  state.tables.run.put(key, reported);
  context.emit({ ...eventOf(found.value, run.vectorClock), kind: 'phase_transition.progress' });
  return ok({ kind: 'progressReported', subStepsRecorded: fresh.size, subStepsKnown: known });
}

/**
 * The first result of a sub-step stands, within a report too. The ids in the answer are cut: sessions remember answers,
 * and a client that never acknowledges must not make them hold the ids of whole reports (R6). How many are known in all
 * is what the report had less what was recorded.
 */
function sortOut(
  state: MachineState,
  key: string,
  reports: readonly SubStepReport[],
): { readonly fresh: ReadonlyMap<string, string>; readonly known: readonly string[] } {
  const fresh = new Map<string, string>();
  const known: string[] = [];
  let room = SUB_STEPS_KNOWN_LENGTH_MAX;
  for (const { id, result } of reports) {
    if (!fresh.has(id) && !state.tables.subStep.has(subStepKey(key, id))) {
      fresh.set(id, result);
      continue;
    }
    // At the first id that does not fit the list is over: it is a prefix.
    room -= id.length;
    if (room >= 0) known.push(id);
  }
  return { fresh, known };
}

function checkReport(body: BodyOf<'reportProgress'>): Rejection | null {
  const bad = firstOf(
    checkToken(body.token),
    checkInteger('total', body.total, 0, Number.MAX_SAFE_INTEGER),
    checkInteger('completed', body.completed, 0, body.total),
    checkText('note', body.note, 0, NOTE_LENGTH_MAX),
    checkInteger('subSteps', body.subSteps.length, 0, SUB_STEPS_PER_REPORT_MAX),
    body.checkpoint === null ? null : checkText('checkpoint', body.checkpoint, 0, CHECKPOINT_LENGTH_MAX),
  );
  if (bad !== null) return bad;
  for (const { id, result } of body.subSteps) {
    const wrong = firstOf(
      checkText('subSteps.id', id, 1, SUB_STEP_ID_LENGTH_MAX),
      checkText('subSteps.result', result, 0, SUB_STEP_RESULT_LENGTH_MAX),
    );
    if (wrong !== null) return wrong;
  }
  return null;
}
