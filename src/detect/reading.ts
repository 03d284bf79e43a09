/** Readings of the state that the detector's parts share. */
import type { MachineView } from '../machine/api.ts';
import type { AgentRow } from '../machine/detection/types.ts';
import { agentsPage, runningOf } from '../machine/detection/view.ts';
import type { RunRow } from '../machine/rows.ts';

const PAGE = 256;

/** When the attempt at the run was heard of last, by the cluster's time; detection latency counts from here (D6). */
export function signOfLifeMs(run: Pick<RunRow, 'startedAtMs' | 'progressAtMs'>): number {
  return Math.max(run.startedAtMs, run.progressAtMs);
}

export function attemptKey({ loop, g, phase, attempt }: Pick<RunRow, 'loop' | 'g' | 'phase' | 'attempt'>): string {
  return `${loop} ${g} ${phase} ${attempt}`;
}

/** All agents that the state knows; their number is bounded there. */
export function* agentsOf(view: MachineView): Generator<AgentRow> {
  for (let from: string | null = null; ; ) {
    const page = agentsPage(view, from, PAGE);
    yield* page.rows;
    if (page.next === null) return;
    from = page.next;
  }
}

/** Runs that `agent` is at work on. */
export function* runsOf(view: MachineView, agent: string): Generator<RunRow> {
  for (let from: string | null = null; ; ) {
    const page = runningOf(view, agent, from, PAGE);
    for (const key of page.rows) {
      const run = runAt(view, key);
      if (run !== null) yield run;
    }
    if (page.next === null) return;
    from = page.next;
  }
}

/** The run of a key of the run table: loop, g and position. */
export function runAt(view: MachineView, key: string): RunRow | null {
  const [loop = '', g, position] = key.split(' ');
  const plan = view.loop(loop)?.plan;
  const phase = plan === undefined ? undefined : view.plan(plan)?.phases[Number(position)];
  return phase === undefined ? null : view.run(loop, Number(g), phase.name);
}
