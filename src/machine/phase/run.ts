/** What the commands about a phase run have in common: finding it, and the right of an attempt to speak for it (P2). */
import { must } from '../../types/assert.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type EventBody, reject } from '../context.ts';
import { attemptKey, runKey } from '../keys.ts';
import type { AttemptRow, LoopRow, PlanRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { AttemptState, PhaseRef, Rejection } from '../types.ts';
import { checkRef } from '../validate.ts';
import { firstOpenRun, isFinal, planOf } from './round.ts';

export interface FoundRun {
  readonly loop: LoopRow;
  readonly plan: PlanRow;
  readonly run: StoredRunRow;
  readonly key: string;
}

/** The run that `ref` names. Refused: unknown loop or phase, a round before its barrier, a round no longer kept. */
export function findRun(state: MachineState, ref: PhaseRef): Result<FoundRun, Rejection> {
  const bad = checkRef(ref);
  if (bad !== null) return err(bad);
  const loop = state.tables.loop.get(ref.loop);
  if (loop === null) {
    return reject('LOOP_NOT_FOUND', `Create loop ${ref.loop} first, or check its name.`, { loop: ref.loop });
  }
  const plan = planOf(state, loop);
  const position = plan.phases.findIndex(({ name }) => name === ref.phase);
  if (position < 0) {
    const names = plan.phases.map(({ name }) => name).join(', ');
    return reject('PHASE_UNKNOWN', `Name a phase of plan ${plan.plan}: ${names}.`, {
      phase: ref.phase,
      plan: plan.plan,
    });
  }
  if (ref.g > loop.g) return barrierClosed(state, loop, ref.g);
  const key = runKey(ref.loop, ref.g, position);
  const run = state.tables.run.get(key);
  return run === null ? roundClosed(loop, ref.g) : ok({ loop, plan, run, key });
}

function barrierClosed(state: MachineState, loop: LoopRow, g: number): Result<never, Rejection> {
  const open = must(firstOpenRun(state, loop), 'the open round has an open phase');
  return reject(
    'BARRIER_CLOSED',
    `Wait for phase_ready of round ${g}: ${loop.loop} is in round ${loop.g}, where ${open.phase} is ${open.state}.`,
    { g, openG: loop.g, openPhase: open.phase, openPhaseState: open.state },
  );
}

export function roundClosed(loop: LoopRow, g: number): Result<never, Rejection> {
  return reject('ROUND_CLOSED', `Go on with round ${loop.g} of ${loop.loop}: round ${g} is closed.`, {
    g,
    openG: loop.g,
  });
}

export function phaseFinal(run: StoredRunRow): Result<never, Rejection> {
  return reject('PHASE_FINAL', `Go on with the next phase: ${run.phase} of round ${run.g} is ${run.state} for good.`, {
    attempt: run.attempt,
    state: run.state,
  });
}

/** D6: until its recovery has decided, nobody works on the run. */
export function phaseInterrupted(run: StoredRunRow): Result<never, Rejection> {
  return reject(
    'PHASE_INTERRUPTED',
    `Wait for the recovery of ${run.phase} in round ${run.g}: its attempt ${run.attempt} was interrupted.`,
    { attempt: run.attempt, state: run.state },
  );
}

/**
 * The attempt with `token` may change the run: it is the newest, and it is running. A token that is not the newest is stale
 * whatever the run's state. The answer names the newest attempt, never its token.
 */
export function checkFence(run: StoredRunRow, token: number): Result<null, Rejection> {
  if (token !== run.token) {
    return reject(
      'STALE_FENCE',
      `Stop this work: the token is not that of the newest attempt at ${run.phase}, which is ${run.attempt}.`,
      { currentAttempt: run.attempt },
    );
  }
  if (isFinal(run.state)) return phaseFinal(run);
  if (run.state === 'FAILED_PARTIAL') return phaseInterrupted(run);
  if (run.state === 'RUNNING') return ok(null);
  return reject('PHASE_NOT_RUNNING', `Begin ${run.phase} again first: its attempt ${run.attempt} is ${run.state}.`, {
    attempt: run.attempt,
    state: run.state,
  });
}

/** Ends the run's newest attempt in `state`, in the attempts table and as an event. The run row is the caller's to change. */
export function finishAttempt(
  context: ApplyContext,
  found: FoundRun,
  state: AttemptState,
  clock: LoopRow['vectorClock'],
): void {
  const { run, key } = found;
  const { attempt } = context.state.tables;
  const at = attemptKey(key, run.attempt);
  const row: AttemptRow = must(attempt.get(at), 'the newest attempt of a run');
  attempt.put(at, { ...row, state, finishedAtMs: context.timeMs });
  context.emit({ ...eventOf(found, clock), kind: 'phase_transition.finished', outcome: state });
}

/** An event about the run's newest attempt. */
export function eventOf(found: FoundRun, clock: LoopRow['vectorClock']): Omit<EventBody, 'kind'> {
  const { run } = found;
  return {
    loop: run.loop,
    g: run.g,
    phase: run.phase,
    attempt: run.attempt,
    token: run.token,
    outcome: '',
    vectorClock: clock,
  };
}
