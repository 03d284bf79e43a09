/** The end of an attempt by its own word: what commit and abort have in common. */
import type { FencingToken } from '../../types/ids.ts';
import { ok, type Result } from '../../types/result.ts';
import type { ApplyContext } from '../context.ts';
import { attemptEnded } from '../detection/watch.ts';
import type { LoopRow } from '../rows.ts';
import type { StoredRunRow } from '../tables.ts';
import type { PhaseRef, Rejection, VectorClock } from '../types.ts';
import { advanceLoopClock } from '../vector-clock.ts';
import { isFinal, passBarrier } from './round.ts';
import { checkFence, findRun, finishAttempt } from './run.ts';

export interface Ending {
  readonly state: 'CLEAN_EXIT' | 'ABORTED' | 'HARD_FAILED';
  readonly result: string;
  readonly abortReason: string;
}

/** Ends the attempt, and the round with it if it was the last phase to become final. Answers with the loop's open round. */
export function finishRun(
  context: ApplyContext,
  body: { readonly ref: PhaseRef; readonly token: FencingToken; readonly vectorClock: VectorClock },
  ending: Ending,
): Result<{ readonly nextG: number; readonly vectorClock: VectorClock }, Rejection> {
  const { state } = context;
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const { loop, plan, run, key } = found.value;
  const fence = checkFence(run, body.token);
  if (!fence.ok) return fence;
  const clock = advanceLoopClock(state.tables.domain.tombstone, loop, body.vectorClock, context.caller);
  if (!clock.ok) return clock;

  const ended: StoredRunRow = {
    ...run,
    ...ending,
    finishedAtMs: context.timeMs,
    changedRevision: context.revision,
    vectorClock: clock.value,
  };
  state.tables.run.put(key, ended);
  finishAttempt(context, found.value, ending.state, clock.value);
  if (state.feature.level >= 3) attemptEnded(context, found.value, ended, ending.state);
  const changed: LoopRow = { ...loop, changedRevision: context.revision, vectorClock: clock.value };
  state.tables.loop.put(loop.loop, changed);
  const nextG = isFinal(ending.state) ? passBarrier(context, changed, plan, run.position) : loop.g;
  return ok({ nextG, vectorClock: clock.value });
}
