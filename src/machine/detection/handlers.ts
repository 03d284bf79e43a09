/** Handlers of the detection commands. */
import { NAME_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Handler, type Outcome, reject } from '../context.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { checkFence, findRun } from '../phase/run.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, checkText, checkToken, firstOf, invalid } from '../validate.ts';
import { markAgent } from './agent.ts';
import { interruptPhase } from './interrupt.ts';
import { isPolicyName, POLICY_NAMES } from './policy.ts';
import { POLICY } from './types.ts';
import { participantFinished } from './watch.ts';

export const detectionHandlers: {
  readonly [K in 'interruptPhase' | 'markAgent' | 'reportFinished' | 'setPolicy']: Handler<K>;
} = { interruptPhase, markAgent, reportFinished, setPolicy };

/** D4. To say it again changes nothing. */
function reportFinished(context: ApplyContext, body: BodyOf<'reportFinished'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, 3),
    checkToken(body.token),
    checkText('participant', body.participant, 1, NAME_LENGTH_MAX),
  );
  if (bad !== null) return err(bad);
  const found = findRun(state, body.ref);
  if (!found.ok) return found;
  const fence = checkFence(found.value.run, body.token);
  if (!fence.ok) return fence;
  const watch = state.tables.domain.watch.get(found.value.key);
  const participants = watch?.participants ?? [];
  if (watch === null || !participants.includes(body.participant)) {
    return reject(
      'PARTICIPANT_UNKNOWN',
      `Name the participants when the phase is begun: ${JSON.stringify(body.participant)} is none of attempt ${found.value.run.attempt}.`,
      { attempt: found.value.run.attempt, participants: participants.length },
    );
  }
  if (watch.finished.includes(body.participant)) {
    return ok({ kind: 'finishedReported', finished: watch.finished.length, participants: participants.length });
  }
  useFeatureLevel(state, 3);
  const { finished } = participantFinished(context, found.value, watch, body.participant);
  return ok({ kind: 'finishedReported', finished: finished.length, participants: participants.length });
}

/** All or none. What runs keeps the deadlines that it has. */
function setPolicy(context: ApplyContext, body: BodyOf<'setPolicy'>): Outcome {
  const { state } = context;
  const bad = checkFeatureLevel(state, 3) ?? checkPolicy(body.values);
  if (bad !== null) return err(bad);
  useFeatureLevel(state, 3);
  for (const { name, value } of body.values) {
    state.tables.domain.policy.put(name, { name, value, changedRevision: context.revision });
  }
  return ok({ kind: 'policySet' });
}

function checkPolicy(values: BodyOf<'setPolicy'>['values']): Rejection | null {
  const bad = checkInteger('values', values.length, 1, POLICY_NAMES.length);
  if (bad !== null) return bad;
  const seen = new Set<string>();
  for (const { name, value } of values) {
    if (!isPolicyName(name)) return invalid('values.name', `Name a number of the policy: ${POLICY_NAMES.join(', ')}.`);
    const { min, max } = POLICY[name];
    const wrong = checkInteger(`values.${name}`, value, min, max);
    if (wrong !== null) return wrong;
    if (seen.has(name)) return invalid(`values.${name}`, `Give ${name} once.`);
    seen.add(name);
  }
  return null;
}
