/** interruptPhase: an attempt is given up from outside, and a recovery record is opened for its run (D6). */
import { DETAIL_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok, type Result } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { isFinal } from '../phase/round.ts';
import { type FoundRun, findRun, phaseFinal, phaseInterrupted } from '../phase/run.ts';
import { openRecovery } from '../recovery/record.ts';
import type { MachineState } from '../state.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, checkText, firstOf, invalid } from '../validate.ts';
import { type DeadlineKind, INTERRUPT_CAUSES, type InterruptCause } from './types.ts';
import { deadlineAt } from './watch.ts';

/** Causes that are a deadline: by the time the command is applied the agent may have moved on. */
const DEADLINE_OF: Partial<Record<InterruptCause, DeadlineKind>> = {
  TIMEOUT: 'TIMEOUT',
  SLA: 'SLA',
  PARTIAL_COMMIT: 'PARTIAL_COMMIT',
};

export function interruptPhase(context: ApplyContext, body: BodyOf<'interruptPhase'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, 3),
    checkInteger('attempt', body.attempt, 1, Number.MAX_SAFE_INTEGER),
    checkText('detail', body.detail, 0, DETAIL_LENGTH_MAX),
    checkInteger('faultAtMs', body.faultAtMs, 0, Number.MAX_SAFE_INTEGER),
    INTERRUPT_CAUSES.includes(body.cause)
      ? null
      : invalid('cause', `Give cause as one of ${INTERRUPT_CAUSES.join(', ')}.`),
  );
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const may = mayInterrupt(state, found.value, body.attempt, body.cause);
  if (!may.ok) return may;
  useFeatureLevel(state, 3);
  const { waiting } = openRecovery(context, found.value, body.cause, body.detail, body.faultAtMs);
  return ok({ kind: 'phaseInterrupted', waiting });
}

function mayInterrupt(
  state: MachineState,
  { run, key }: FoundRun,
  attempt: number,
  cause: InterruptCause,
): Result<null, Rejection> {
  if (isFinal(run.state)) return phaseFinal(run);
  if (run.state === 'FAILED_PARTIAL') return phaseInterrupted(run);
  if (run.attempt !== attempt) {
    return reject('ATTEMPT_MISMATCH', `Read the run again: the newest attempt at ${run.phase} is ${run.attempt}.`, {
      attempt: run.attempt,
      state: run.state,
    });
  }
  if (run.state !== 'RUNNING') {
    return reject('PHASE_NOT_RUNNING', `Let it be: attempt ${run.attempt} at ${run.phase} is ${run.state}.`, {
      attempt: run.attempt,
      state: run.state,
    });
  }
  const kind = DEADLINE_OF[cause];
  if (kind === undefined) return ok(null);
  const dueMs = deadlineAt(state, key, kind);
  if (dueMs !== null && dueMs <= state.timeMs) return ok(null);
  return reject('PHASE_RUNNING', `Wait: attempt ${attempt} at ${run.phase} is not overdue (${cause}).`, {
    attempt,
    caller: run.caller,
    dueMs: dueMs ?? 0,
  });
}
