/** Creation of loops. */
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import { checkName } from '../validate.ts';
import { advanceClock } from '../vector-clock.ts';
import { DEFAULT_PLAN } from './plan.ts';
import { openRound } from './round.ts';

const FIRST_ROUND = 1;

export function createLoop(context: ApplyContext, body: BodyOf<'createLoop'>): Outcome {
  const { state } = context;
  const { tables, limits } = state;
  const bad = checkName('loop', body.loop) ?? (body.plan === '' ? null : checkName('plan', body.plan));
  if (bad !== null) return err(bad);
  const existing = tables.loop.get(body.loop);
  if (existing !== null) {
    return reject('LOOP_EXISTS', `Choose another name, or go on with loop ${body.loop}: it exists already.`, {
      loop: body.loop,
      plan: existing.plan,
    });
  }
  const planName = body.plan === '' ? DEFAULT_PLAN : body.plan;
  const plan = tables.plan.get(planName);
  if (plan === null) {
    return reject('PLAN_NOT_FOUND', `Register plan ${planName} first, or leave the plan empty for the default one.`, {
      plan: planName,
    });
  }
  if (tables.loop.size >= limits.loopsMax) {
    return reject('LIMIT_EXCEEDED', `Use a loop that exists: there are ${tables.loop.size}, and no more are allowed.`, {
      limit: limits.loopsMax,
    });
  }
  const clock = advanceClock([], [], context.caller);
  if (!clock.ok) return clock;
  const loop = {
    loop: body.loop,
    plan: planName,
    g: FIRST_ROUND,
    createdRevision: context.revision,
    changedRevision: context.revision,
    createdAtMs: context.timeMs,
    vectorClock: clock.value,
  };
  tables.loop.put(body.loop, loop);
  context.emit({
    kind: 'loop.created',
    loop: body.loop,
    g: FIRST_ROUND,
    phase: '',
    attempt: 0,
    token: 0,
    outcome: '',
    vectorClock: clock.value,
  });
  // phase_ready(1) too, so that whoever waits for work has one rule for all rounds.
  openRound(context, loop, plan);
  return ok({ kind: 'loopCreated', loop: body.loop, g: FIRST_ROUND });
}
