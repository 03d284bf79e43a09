/** Readings of the state that the detector's parts share. */
import type { MachineView } from '../machine/api.ts';
import { type AgentRow, POLICY, type PolicyName } from '../machine/detection/types.ts';
import { runningPrefix } from '../machine/detection/watch.ts';
import { after, KEY_END, under } from '../machine/keys.ts';
import type { RunRow } from '../machine/rows.ts';

/** What was set, or the default. */
export function policyNumber(view: MachineView, name: PolicyName): number {
  return view.rows.policy.get(name)?.value ?? POLICY[name].normal;
}

/** When the attempt at the run was heard of last, by the cluster's time; detection latency counts from here (D6). */
export function signOfLifeMs(run: Pick<RunRow, 'startedAtMs' | 'progressAtMs'>): number {
  return Math.max(run.startedAtMs, run.progressAtMs);
}

export function attemptKey({ loop, g, phase, attempt }: Pick<RunRow, 'loop' | 'g' | 'phase' | 'attempt'>): string {
  return `${loop} ${g} ${phase} ${attempt}`;
}

/** All agents that the state knows; their number is bounded there. */
export function agentsOf(view: MachineView): readonly AgentRow[] {
  const { agent } = view.rows;
  return agent.range('', KEY_END, Math.max(1, agent.size)).map(([, row]) => row);
}

/** Runs that `caller` holds. */
export function* runsOf(view: MachineView, caller: string): Generator<RunRow> {
  const { attemptRunning } = view.rows;
  const prefix = runningPrefix(caller);
  for (const [, row] of attemptRunning.range(under(prefix), after(prefix), Math.max(1, attemptRunning.size))) {
    const run = runAt(view, row.run);
    if (run !== null) yield run;
  }
}

/** The run of a key of the run table: loop, g and position. */
function runAt(view: MachineView, key: string): RunRow | null {
  const [loop = '', g, position] = key.split(' ');
  const plan = view.loop(loop)?.plan;
  const phase = plan === undefined ? undefined : view.plan(plan)?.phases[Number(position)];
  return phase === undefined ? null : view.run(loop, Number(g), phase.name);
}
