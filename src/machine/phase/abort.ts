/** abortPhase: the newest attempt gives up, for now or, with `hardFail`, for good. What it leaves behind is undone (finish.ts, F1). */
import { ABORT_REASON_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import type { ApplyContext, BodyOf, Outcome } from '../context.ts';
import { checkText, checkToken, firstOf } from '../validate.ts';
import { finishRun } from './finish.ts';

export function abortPhase(context: ApplyContext, body: BodyOf<'abortPhase'>): Outcome {
  const bad = firstOf(checkToken(body.token), checkText('reason', body.reason, 0, ABORT_REASON_LENGTH_MAX));
  if (bad !== null) return err(bad);
  const state = body.hardFail ? 'HARD_FAILED' : 'ABORTED';
  const finished = finishRun(context, body, { state, result: '', abortReason: body.reason });
  if (!finished.ok) return finished;
  const { nextG, vectorClock, rollingBack } = finished.value;
  return ok({ kind: rollingBack ? 'phaseRollingBack' : 'phaseAborted', nextG, vectorClock });
}
