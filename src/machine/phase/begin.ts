/** beginPhase: a new attempt at a phase run (P2, P3, P5). */
import { fencingToken } from '../../types/ids.ts';
import { NAME_LENGTH_MAX, PARTICIPANTS_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { attemptBegun, attemptEnded } from '../detection/watch.ts';
import { attemptKey, runKey } from '../keys.ts';
import { forgetSpending } from '../ledger/effects.ts';
import { checkFeatureLevel } from '../member/feature.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { Rejection, VectorClock } from '../types.ts';
import { checkInteger, checkText, firstOf, invalid } from '../validate.ts';
import { advanceLoopClock } from '../vector-clock.ts';
import { firstOpenRun, isFinal } from './round.ts';
import { eventOf, type FoundRun, findRun, finishAttempt, phaseFinal, phaseInterrupted, roundClosed } from './run.ts';

export function beginPhase(context: ApplyContext, body: BodyOf<'beginPhase'>): Outcome {
  const { state } = context;
  const participants = [...(body.participants ?? [])].sort();
  const bad = firstOf(
    checkInteger('supersedeAttempt', body.supersedeAttempt, 0, Number.MAX_SAFE_INTEGER),
    checkParticipants(state, participants),
  );
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const may = mayBegin(state, found.value, body.supersedeAttempt);
  if (!may.ok) return may;
  const clock = advanceLoopClock(state.tables.domain.tombstone, found.value.loop, body.vectorClock, context.caller);
  if (!clock.ok) return clock;

  const { loop, run, key } = found.value;
  if (run.state === 'RUNNING') supersede(context, found.value, clock.value);
  const begun: StoredRunRow = {
    // Progress, sub-steps and the checkpoint stay: an attempt goes on where the one before it was cut off (P5).
    ...run,
    state: 'RUNNING',
    attempt: run.attempt + 1,
    token: fencingToken(context.revision),
    caller: context.caller,
    traceId: context.traceId,
    result: '',
    abortReason: '',
    startedAtMs: context.timeMs,
    finishedAtMs: 0,
    changedRevision: context.revision,
    vectorClock: clock.value,
  };
  state.tables.run.put(key, begun);
  state.tables.loop.put(loop.loop, { ...loop, changedRevision: context.revision, vectorClock: clock.value });
  addAttempt(context, begun, key);
  if (state.feature.level >= DETECTION_LEVEL) attemptBegun(context, found.value, begun, participants);
  context.emit({ ...eventOf({ ...found.value, run: begun }, clock.value), kind: 'phase_transition.started' });
  return ok({
    kind: 'phaseBegun',
    attempt: begun.attempt,
    token: fencingToken(context.revision),
    subStepsDone: begun.subStepsDone,
    checkpoint: state.tables.checkpoint.get(key)?.checkpoint ?? '',
    vectorClock: clock.value,
  });
}

/** Detection, and so participants, came with this feature level. */
const DETECTION_LEVEL = 3;

function supersede(context: ApplyContext, found: FoundRun, clock: VectorClock): void {
  finishAttempt(context, found, 'SUPERSEDED', clock);
  if (context.state.feature.level >= DETECTION_LEVEL) attemptEnded(context, found, found.run, 'SUPERSEDED');
}

/** Sorted; nobody twice. */
function checkParticipants(state: MachineState, participants: readonly string[]): Rejection | null {
  if (participants.length === 0) return null;
  const bad = firstOf(
    checkFeatureLevel(state, DETECTION_LEVEL),
    checkInteger('participants', participants.length, 1, PARTICIPANTS_MAX),
    ...participants.map((name) => checkText('participants', name, 1, NAME_LENGTH_MAX)),
  );
  if (bad !== null) return bad;
  const twice = participants.find((name, i) => name === participants[i - 1]);
  return twice === undefined ? null : invalid('participants', `Name ${JSON.stringify(twice)} once.`);
}

/** The rules in their order: the first that is broken gives the answer. */
function mayBegin(state: MachineState, found: FoundRun, supersedeAttempt: number): Result<null, Rejection> {
  const { loop, run } = found;
  if (run.g < loop.g) return roundClosed(loop, run.g);
  if (run.position > 0) {
    // Runs become final in plan order and stay so: if the one before is final, all before it are.
    const before = state.tables.run.get(runKey(loop.loop, run.g, run.position - 1));
    if (before === null || !isFinal(before.state)) return outOfOrder(state, found);
  }
  if (isFinal(run.state)) return phaseFinal(run);
  if (run.state === 'FAILED_PARTIAL') return phaseInterrupted(run);
  if (supersedeAttempt === 0) {
    return run.state === 'RUNNING' ? running(run) : ok(null);
  }
  if (run.state === 'RUNNING' && run.attempt === supersedeAttempt) return ok(null);
  return reject(
    'ATTEMPT_MISMATCH',
    `Read the run again: attempt ${supersedeAttempt} is not running; the newest is ${run.attempt}, and the run is ${run.state}.`,
    { attempt: run.attempt, state: run.state, supersedeAttempt },
  );
}

function outOfOrder(state: MachineState, { loop, run }: FoundRun): Result<never, Rejection> {
  const open = firstOpenRun(state, loop);
  const phase = open?.phase ?? '';
  return reject('PHASE_OUT_OF_ORDER', `Finish ${phase} first: ${run.phase} comes after it in the plan.`, {
    openPhase: phase,
    openPhaseState: open?.state ?? '',
    phase: run.phase,
  });
}

function running(run: StoredRunRow): Result<never, Rejection> {
  const who = run.caller === '' ? 'an unnamed caller' : run.caller;
  return reject(
    'PHASE_RUNNING',
    `Wait, or take over by superseding attempt ${run.attempt}: ${who} is at work on ${run.phase}.`,
    { attempt: run.attempt, caller: run.caller, sinceMs: run.startedAtMs },
  );
}

/** Adds the attempt's row; the oldest beyond `attemptsKept` goes. */
function addAttempt(context: ApplyContext, run: StoredRunRow, key: string): void {
  const { tables, limits } = context.state;
  tables.attempt.put(attemptKey(key, run.attempt), {
    loop: run.loop,
    g: run.g,
    phase: run.phase,
    attempt: run.attempt,
    token: fencingToken(context.revision),
    state: 'RUNNING',
    caller: run.caller,
    traceId: run.traceId,
    startedAtMs: context.timeMs,
    finishedAtMs: 0,
  });
  const oldest = run.attempt - limits.attemptsKept;
  const gone = oldest >= 1 ? tables.attempt.get(attemptKey(key, oldest)) : null;
  if (gone === null) return;
  tables.attempt.delete(attemptKey(key, oldest));
  if (gone.traceId !== run.traceId) forgetSpending(context.state, gone.traceId, key);
}
