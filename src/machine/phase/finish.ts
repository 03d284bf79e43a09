/**
 * The end of an attempt by its own word: what commit and abort have in common.
 *
 * F1. Nothing stays half done. A commit is refused while it is open whether an effect has happened. An abort that leaves effects behind,
 *     or one for good that leaves documents behind, ends in a recovery that undoes them: only then is the run what was asked for.
 */
import type { FencingToken } from '../../types/ids.ts';
import { EFFECT_KEYS_NAMED_MAX } from '../../types/limits.ts';
import { ok, type Result } from '../../types/result.ts';
import { type ApplyContext, reject } from '../context.ts';
import { attemptEnded } from '../detection/watch.ts';
import { touchedDocuments } from '../document/snapshot.ts';
import { openEffects } from '../ledger/effects.ts';
import { openRecovery } from '../recovery/record.ts';
import type { LoopRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { PhaseRef, Rejection, VectorClock } from '../types.ts';
import { advanceLoopClock } from '../vector-clock.ts';
import { isFinal, passBarrier } from './round.ts';
import { checkFence, type FoundRun, findRun, finishAttempt } from './run.ts';

export interface Ending {
  readonly state: 'CLEAN_EXIT' | 'ABORTED' | 'HARD_FAILED';
  readonly result: string;
  readonly abortReason: string;
}

export interface Finished {
  /** The loop's open round. */
  readonly nextG: number;
  readonly vectorClock: VectorClock;
  /** The run is FAILED_PARTIAL: a recovery undoes what the attempt leaves behind first. */
  readonly rollingBack: boolean;
}

/** Ends the attempt, and the round with it if it was the last phase to become final; or hands it to a recovery (F1). */
export function finishRun(
  context: ApplyContext,
  body: { readonly ref: PhaseRef; readonly token: FencingToken; readonly vectorClock: VectorClock },
  ending: Ending,
): Result<Finished, Rejection> {
  const { state } = context;
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const { loop, plan, run, key } = found.value;
  const fence = checkFence(run, body.token);
  if (!fence.ok) return fence;
  if (ending.state === 'CLEAN_EXIT') {
    const settled = checkEffectsSettled(state, found.value);
    if (!settled.ok) return settled;
  }
  const clock = advanceLoopClock(state.tables.domain.tombstone, loop, body.vectorClock, context.caller);
  if (!clock.ok) return clock;
  if (ending.state !== 'CLEAN_EXIT' && leavesBehind(state, key, ending.state)) {
    const left = { ...found.value, loop: { ...loop, vectorClock: clock.value } };
    rollBack(context, left, ending);
    return ok({ nextG: loop.g, vectorClock: clock.value, rollingBack: true });
  }

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
  return ok({ nextG, vectorClock: clock.value, rollingBack: false });
}

/** Refused while an effect of the run is in INTENT; names the first of them. */
function checkEffectsSettled(state: MachineState, { run, key }: FoundRun): Result<null, Rejection> {
  const open = openEffects(state.tables.domain, key).filter((effect) => effect.state === 'INTENT');
  if (open.length === 0) return ok(null);
  const named = open.slice(0, EFFECT_KEYS_NAMED_MAX).map((effect) => effect.key);
  return reject(
    'EFFECTS_OPEN',
    `Confirm or withdraw first what ${run.phase} has announced: ${open.length} effects are open, the first is ${named[0] ?? ''}.`,
    // Keys are free text.
    { keys: JSON.stringify(named), open: open.length },
  );
}

/** Documents stay while the run may be begun again: its snapshot is held, and the next attempt goes on with them. */
function leavesBehind(state: MachineState, key: string, ending: 'ABORTED' | 'HARD_FAILED'): boolean {
  const rows = state.tables.domain;
  if (openEffects(rows, key).length > 0) return true;
  return ending === 'HARD_FAILED' && touchedDocuments(rows, key, '', 1).length > 0;
}

function rollBack(context: ApplyContext, found: FoundRun, { state, abortReason }: Ending): void {
  const run = { ...found.run, abortReason, vectorClock: found.loop.vectorClock };
  const cause = state === 'HARD_FAILED' ? 'GIVEN_UP' : 'ABORTED';
  openRecovery(context, { ...found, run }, cause, abortReason, context.timeMs);
}
