/**
 * BO, barrier: a phase begins when those before it in the plan are final, and the first of a round when all of the round before are.
 * By the event history alone; the plan is looked up when the loop is created.
 */
import type { MachineEvent } from '../../../src/machine/types.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

export class BarrierOrder implements Historian {
  readonly id = 'BO';
  readonly #scene: Scene;
  readonly #phases = new Map<string, readonly string[]>();
  readonly #final = new Set<string>();
  /** Runs that are final when what they have left behind is undone. */
  readonly #givenUp = new Set<string>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  committed({ events, view }: Committed): void {
    for (const event of events) {
      if (event.kind === 'loop.created') {
        const plan = view.loop(event.loop)?.plan ?? '';
        this.#phases.set(
          event.loop,
          (view.plan(plan)?.phases ?? view.runs(event.loop, event.g)).map((row) =>
            'name' in row ? row.name : row.phase,
          ),
        );
      } else if (event.kind === 'phase_transition.started') this.#started(event);
      else if (event.outcome === 'RUNNING>INTERRUPTED GIVEN_UP') this.#givenUp.add(runName(event));
      else if (isFinal(event) || this.#isUndone(event)) this.#final.add(runName(event));
    }
  }

  #started(event: MachineEvent): void {
    const { loop, g, phase } = event;
    if (this.#final.has(runName(event))) this.#violate(event, 'it is final');
    const phases = this.#phases.get(loop) ?? [];
    const at = phases.indexOf(phase);
    if (at < 0) this.#violate(event, `the plan is ${phases.join(', ')}`);
    for (const before of phases.slice(0, at)) {
      if (!this.#final.has(runName({ loop, g, phase: before }))) this.#violate(event, `${before} is not final`);
    }
    if (g === 1) return;
    for (const other of phases) {
      if (!this.#final.has(runName({ loop, g: g - 1, phase: other }))) {
        this.#violate(event, `${other} of the round before is not final`);
      }
    }
  }

  #isUndone({ outcome, ...event }: MachineEvent): boolean {
    return outcome.startsWith('ROLLBACK>CLEAN_EXIT') && this.#givenUp.has(runName(event));
  }

  #violate(event: MachineEvent, why: string): void {
    this.#scene.violate('BO', `${runName(event)} begins at revision ${event.revision}: ${why}`);
  }
}

function isFinal({ kind, outcome }: MachineEvent): boolean {
  if (kind === 'phase_transition.finished') return outcome === 'CLEAN_EXIT' || outcome === 'HARD_FAILED';
  if (kind !== 'phase_recovery.finished') return false;
  const [arc = ''] = outcome.split(' ');
  return arc === 'RECONCILE>CLEAN_EXIT' || arc.endsWith('>HARD_FAILED');
}
