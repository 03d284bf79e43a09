/** Reads of what is watched: for the leader's detector, and for people. */
import { must } from '../../types/assert.ts';
import type { ClusterTimeMs } from '../../types/ids.ts';
import type { MachineView, Page } from '../api.ts';
import { after, KEY_END, next, padded, runKey, under } from '../keys.ts';
import type { PlanPhase } from '../types.ts';
import { AGENT_PREFIX, agentKey } from './agent.ts';
import { type Estimate, estimate, timeoutOf } from './estimate.ts';
import { isPolicyName, POLICY_NAMES } from './policy.ts';
import { type AgentRow, type DeadlineRow, POLICY, type Policy, type PolicyName, type WatchRow } from './types.ts';
import { durationsKey, runningPrefix } from './watch.ts';

/** Deadlines with `dueMs` ≤ `nowMs`, earliest first. */
export function dueDeadlines(view: MachineView, nowMs: number, limit: number): readonly DeadlineRow[] {
  return view.rows.deadline.range('', padded(nowMs + 1), limit).map(([, row]) => row);
}

/** When the earliest deadline is; null: nothing runs. */
export function nextDeadlineMs(view: MachineView): ClusterTimeMs | null {
  return view.rows.deadline.range('', KEY_END, 1)[0]?.[1].dueMs ?? null;
}

/** Keys of the runs that `agent` is at work on, after key `from`; for {@link watchOfKey} and the run's own table. */
export function runningOf(view: MachineView, agent: string, from: string | null, limit: number): Page<string> {
  const prefix = runningPrefix(agent);
  const start = from === null ? under(prefix) : next(`${prefix} ${from}`);
  const found = view.rows.attemptRunning.range(start, after(prefix), limit + 1).map(([, { run }]) => run);
  const rows = found.slice(0, limit);
  return { rows, next: found.length > limit ? (rows.at(-1) ?? null) : null };
}

/** What is known of a run beside its row; null: it was never begun at feature level 3, or is not kept. */
export function watchOf(view: MachineView, loop: string, g: number, phase: string): WatchRow | null {
  const run = view.run(loop, g, phase);
  return run === null ? null : view.rows.watch.get(runKey(loop, g, run.position));
}

export function watchOfKey(view: MachineView, run: string): WatchRow | null {
  return view.rows.watch.get(run);
}

export function agentOf(view: MachineView, agent: string): AgentRow | null {
  return view.rows.agent.get(agentKey(agent));
}

/** Agents after the name `from`, by name. */
export function agentsPage(view: MachineView, from: string | null, limit: number): Page<AgentRow> {
  const start = from === null ? under(AGENT_PREFIX) : next(agentKey(from));
  const found = view.rows.agent.range(start, after(AGENT_PREFIX), limit + 1).map(([, row]) => row);
  const rows = found.slice(0, limit);
  return { rows, next: found.length > limit ? must(rows.at(-1), 'a page has rows').agent : null };
}

export function policyIn(view: MachineView, name: PolicyName): number {
  return view.rows.policy.get(name)?.value ?? POLICY[name].normal;
}

/** Every number with what holds. */
export function policyOfView(view: MachineView): Policy {
  const values = POLICY_NAMES.filter(isPolicyName).map((name) => [name, policyIn(view, name)] as const);
  return Object.fromEntries(values) as Policy;
}

/** The window of a phase type, oldest first, milliseconds. */
export function durationsOf(view: MachineView, plan: string, phase: string): readonly number[] {
  return view.rows.durations.get(durationsKey(plan, phase))?.durationsMs ?? [];
}

/** What an attempt that began now would be given. */
export function estimateOf(
  view: MachineView,
  plan: string,
  phase: PlanPhase,
): Estimate & { readonly timeoutMs: number } {
  const found = estimate(durationsOf(view, plan, phase.name), phase.priorMs);
  const timeoutMs = Math.max(timeoutOf(found, policyIn(view, 'kMilli')), policyIn(view, 'timeoutMinMs'));
  return { ...found, timeoutMs };
}
