/** φ of the attempts that run (D2), worked out when somebody asks. */
import { phi } from '../detect/phi.ts';
import { runAt } from '../detect/reading.ts';
import type { MachineView } from '../machine/api.ts';
import { estimateOf } from '../machine/detection/view.ts';
import { KEY_END } from '../machine/keys.ts';

/** Attempts that are looked at; those beyond are left out, so that a scrape does not hold the member up. */
const ATTEMPTS_MAX = 2_000;

/** The highest φ of each phase name that has a running attempt. `nowMs`: the cluster's time. */
export function phaseSuspicion(view: MachineView, nowMs: number): ReadonlyMap<string, number> {
  const highest = new Map<string, number>();
  const estimates = new Map<string, { readonly meanMs: number; readonly variance: number } | null>();
  for (const [, { run: key }] of view.rows.attemptRunning.range('', KEY_END, ATTEMPTS_MAX)) {
    const run = runAt(view, key);
    const plan = run === null ? undefined : view.loop(run.loop)?.plan;
    if (run === null || plan === undefined) continue;
    const name = `${plan} ${run.phase}`;
    let found = estimates.get(name);
    if (found === undefined) {
      const phase = view.plan(plan)?.phases[run.position];
      found = phase === undefined ? null : estimateOf(view, plan, phase);
      estimates.set(name, found);
    }
    if (found === null) continue;
    const value = phi(Math.max(0, nowMs - run.startedAtMs), found.meanMs, Math.sqrt(found.variance));
    highest.set(run.phase, Math.max(value, highest.get(run.phase) ?? 0));
  }
  return highest;
}
