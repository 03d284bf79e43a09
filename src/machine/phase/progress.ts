/** reportProgress: how far an attempt is, what it has finished, and where the next could go on (P5). */
import { assert } from '../../types/assert.ts';
import {
  CHECKPOINT_LENGTH_MAX,
  NAME_LENGTH_MAX,
  NOTE_LENGTH_MAX,
  SUB_STEP_ID_LENGTH_MAX,
  SUB_STEP_RESULT_LENGTH_MAX,
  SUB_STEPS_KNOWN_LENGTH_MAX,
  SUB_STEPS_PER_REPORT_MAX,
} from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import type { ToldReport } from '../detection/rivals.ts';
import { progressed } from '../detection/watch.ts';
import { subStepKey } from '../keys.ts';
import { checkFeatureLevel } from '../member/feature.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { Rejection, SubStepReport } from '../types.ts';
import { checkInteger, checkText, checkToken, firstOf, invalid } from '../validate.ts';
import { advanceLoopClock, received } from '../vector-clock.ts';
import { checkFence, eventOf, type FoundRun, findRun } from './run.ts';

export function reportProgress(context: ApplyContext, body: BodyOf<'reportProgress'>): Outcome {
  const { state } = context;
  const bad = checkReport(body);
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const { run, key } = found.value;
  const fence = checkFence(run, body.token);
  if (!fence.ok) return fence;
  const history = checkHistory(context, found.value, body);
  if (!history.ok) return history;
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
  if (state.feature.level >= HISTORY_LEVEL) progressed(context, found.value, reported, toldBy(context, body, fresh));
  context.emit({ ...eventOf(found.value, run.vectorClock), kind: 'phase_transition.progress' });
  return ok({ kind: 'progressReported', subStepsRecorded: fresh.size, subStepsKnown: known });
}

/** Checksums and clocks of what is told came with this feature level. */
const HISTORY_LEVEL = 3;
const CRC_MAX = 0xffff_ffff;

function checkHistory(
  { state, caller }: ApplyContext,
  { loop }: FoundRun,
  { checkpoint, checkpointCrc, vectorClock, participant }: BodyOf<'reportProgress'>,
): Result<unknown, Rejection> {
  if (checkpointCrc === undefined && vectorClock === undefined && participant === undefined) return ok(null);
  const bad = firstOf(
    checkFeatureLevel(state, HISTORY_LEVEL),
    checkpointCrc === undefined ? null : checkInteger('checkpointCrc', checkpointCrc, 0, CRC_MAX),
    checkpointCrc !== undefined && checkpoint === null
      ? invalid('checkpointCrc', 'Send checkpointCrc with the checkpoint that it is of, or not at all.')
      : null,
    participant === undefined ? null : checkText('participant', participant, 1, NAME_LENGTH_MAX),
  );
  if (bad !== null) return err(bad);
  // Only looked at, for what it contradicts (P8): a report does not move the loop's clock.
  if (vectorClock === undefined || vectorClock.length === 0) return ok(null);
  return advanceLoopClock(state.tables.domain.tombstone, loop, vectorClock, caller);
}

function toldBy(
  { caller }: ApplyContext,
  body: BodyOf<'reportProgress'>,
  fresh: ReadonlyMap<string, string>,
): ToldReport {
  const clock = received(body.vectorClock ?? []);
  assert(clock.ok, 'the clock was checked');
  return {
    subSteps: body.subSteps,
    fresh,
    vectorClock: clock.value,
    participant: body.participant ?? caller,
    checkpointGiven: body.checkpoint !== null,
    checkpointCrc: body.checkpointCrc ?? null,
  };
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
