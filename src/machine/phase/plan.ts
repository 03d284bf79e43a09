/** Plans: the ordered phases of a loop (P1). */
import { must } from '../../types/assert.ts';
import { revision } from '../../types/ids.ts';
import { PHASE_DURATION_MAX_MS, PLAN_PHASES_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, reject } from '../context.ts';
import type { MachineState } from '../state.ts';
import { planPhases } from '../tables.ts';
import type { PlanPhase, Rejection } from '../types.ts';
import { checkInteger, checkName, firstOf } from '../validate.ts';

export const DEFAULT_PLAN = 'default';

/** Priors of D2. No SLA: whoever wants one registers a plan. */
const DEFAULT_PHASES: readonly PlanPhase[] = [
  { name: 'ANALYZE', priorMs: 15_000, slaMs: 0 },
  { name: 'BLUEPRINT', priorMs: 20_000, slaMs: 0 },
  { name: 'CONSTRUCT', priorMs: 120_000, slaMs: 0 },
  { name: 'VALIDATE', priorMs: 30_000, slaMs: 0 },
  { name: 'IDLE', priorMs: 10_000, slaMs: 0 },
];

/** The plan that a new state has. */
export function addDefaultPlan(state: MachineState): void {
  state.tables.plan.put(DEFAULT_PLAN, { plan: DEFAULT_PLAN, phases: DEFAULT_PHASES, createdRevision: revision(0) });
}

export function registerPlan(context: ApplyContext, body: BodyOf<'registerPlan'>): Outcome {
  const bad = checkPlan(body.plan, body.phases);
  if (bad !== null) return err(bad);
  const { plan } = context.state.tables;
  const existing = plan.get(body.plan);
  if (existing !== null) {
    if (samePhases(existing.phases, body.phases)) return ok({ kind: 'planRegistered', plan: body.plan });
    return reject(
      'PLAN_EXISTS',
      `Choose another name: plan ${body.plan} exists with other phases, and plans never change.`,
      {
        plan: body.plan,
      },
    );
  }
  if (plan.size >= context.state.limits.plansMax) {
    return reject('LIMIT_EXCEEDED', `Use a plan that is registered: there are ${plan.size}, and no more are allowed.`, {
      limit: context.state.limits.plansMax,
    });
  }
  // The fields are copied: nothing else that the caller's objects may hold gets into the state.
  const phases = body.phases.map(({ name, priorMs, slaMs }) => ({ name, priorMs, slaMs }));
  plan.put(body.plan, { plan: body.plan, phases, createdRevision: context.revision });
  return ok({ kind: 'planRegistered', plan: body.plan });
}

function checkPlan(name: string, phases: readonly PlanPhase[]): Rejection | null {
  const bad = firstOf(checkName('plan', name), checkInteger('phases', phases.length, 1, PLAN_PHASES_MAX));
  if (bad !== null) return bad;
  const names = new Set<string>();
  for (const phase of phases) {
    const wrong = firstOf(
      checkName('phases.name', phase.name),
      checkInteger('phases.priorMs', phase.priorMs, 1, PHASE_DURATION_MAX_MS),
      checkInteger('phases.slaMs', phase.slaMs, 0, PHASE_DURATION_MAX_MS),
    );
    if (wrong !== null) return wrong;
    names.add(phase.name);
  }
  if (names.size === phases.length) return null;
  const twice = must(
    phases.find(({ name: wanted }, at) => phases.findIndex((other) => other.name === wanted) < at),
    'fewer names than phases',
  );
  return reject('INVALID_ARGUMENT', `Give each phase of the plan a name of its own: ${twice.name} stands twice.`, {
    field: 'phases.name',
  }).error;
}

function samePhases(one: readonly PlanPhase[], other: readonly PlanPhase[]): boolean {
  return JSON.stringify(planPhases.pack(one)) === JSON.stringify(planPhases.pack(other));
}
