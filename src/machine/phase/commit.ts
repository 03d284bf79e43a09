/** commitPhase: the newest attempt has done the work. */
import { PHASE_RESULT_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import type { ApplyContext, BodyOf, Outcome } from '../context.ts';
import { checkText, checkToken, firstOf } from '../validate.ts';
import { finishRun } from './finish.ts';

export function commitPhase(context: ApplyContext, body: BodyOf<'commitPhase'>): Outcome {
  const bad = firstOf(checkToken(body.token), checkText('result', body.result, 0, PHASE_RESULT_LENGTH_MAX));
  if (bad !== null) return err(bad);
  const finished = finishRun(context, body, { state: 'CLEAN_EXIT', result: body.result, abortReason: '' });
  if (!finished.ok) return finished;
  const { nextG, vectorClock } = finished.value;
  return ok({ kind: 'phaseCommitted', g: body.ref.g, nextG, vectorClock });
}
