/**
 * RA, legal arcs only: a copy by hand of what V1, V5 and V6 allow, held against every arc that the event history tells, and against the
 * rows. What goes back into ROLLBACK, or out of INTERRUPTED without being tried, is an override's doing. Nobody is given up while
 * automation is paused.
 */
import type { MachineEvent } from '../../../src/machine/types.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

/** V1, V6. */
const ALONE = [
  'INTERRUPTED>RECONCILE',
  'RECONCILE>CLEAN_EXIT',
  'RECONCILE>ROLLBACK',
  'ROLLBACK>CLEAN_EXIT',
  'ROLLBACK>BLOCKED_COMPENSATOR',
  'BLOCKED_COMPENSATOR>HARD_FAILED',
];
/** An attempt that was aborted is undone, whatever it has done. */
const ABORTED = ['INTERRUPTED>ROLLBACK ABORTED', 'INTERRUPTED>ROLLBACK GIVEN_UP'];
const BY_OVERRIDE = [
  'INTERRUPTED>ROLLBACK',
  'INTERRUPTED>HARD_FAILED',
  'BLOCKED_COMPENSATOR>ROLLBACK',
  'HARD_FAILED>ROLLBACK',
];
/** V5. */
const AUTOMATIC_MAX = 2;
const END = '\u007f';

interface Known {
  state: string;
  blockedAtMs: number;
  automatic: number;
}

export class RecoveryArcs implements Historian {
  readonly id = 'RA';
  /** Arcs that were seen. */
  readonly counts = new Map<string, number>();
  readonly #scene: Scene;
  readonly #blockedMs: number;
  readonly #runs = new Map<string, Known>();
  /** As the entry before has left it: timers run before the command that changes it. */
  #paused = false;

  /** `blockedMs`: T_blocked of the run's policy. */
  constructor(scene: Scene, blockedMs: number) {
    this.#scene = scene;
    this.#blockedMs = blockedMs;
  }

  committed({ index, events, view }: Committed): void {
    const overridden = new Set(events.filter(({ kind }) => kind === 'override.accepted').map(runName));
    for (const event of events) {
      const [arc = ''] = event.outcome.split(' ');
      if (event.kind.startsWith('phase_recovery.') && arc.includes('>')) {
        this.#goes(event, arc, overridden.has(runName(event)));
      }
    }
    const { recovery, policy } = view.rows;
    this.#paused = policy.get('automationPaused')?.value === 1;
    for (const [, row] of recovery.range('', END, recovery.size)) {
      if (row.changedRevision !== index) continue;
      const told = this.#runs.get(runName(row))?.state;
      if (told !== row.state) this.#violate(runName(row), index, `is ${row.state}, and the history says ${told}`);
    }
  }

  #goes(event: MachineEvent, arc: string, overridden: boolean): void {
    const name = runName(event);
    this.counts.set(arc, (this.counts.get(arc) ?? 0) + 1);
    const [from = '', to = ''] = arc.split('>');
    const known = this.#runs.get(name) ?? { state: '', blockedAtMs: 0, automatic: 0 };
    this.#runs.set(name, known);
    const before = known.state;
    known.state = to;
    if (from === 'RUNNING') {
      // A run that was rolled back may be begun and interrupted again.
      const free = before === '' || before === 'CLEAN_EXIT';
      if (!free || to !== 'INTERRUPTED') this.#violate(name, event.revision, `goes ${arc} from ${before}`);
      return;
    }
    if (before !== from) this.#violate(name, event.revision, `goes ${arc} from ${before}`);
    const aborted = ABORTED.includes(event.outcome);
    if (!aborted && !ALONE.includes(arc) && !(overridden && BY_OVERRIDE.includes(arc))) {
      this.#violate(name, event.revision, `goes ${arc}, and no override says so`);
    }
    if (to === 'BLOCKED_COMPENSATOR') known.blockedAtMs = event.timeMs;
    if (overridden) return;
    if (to === 'HARD_FAILED' && this.#paused) this.#violate(name, event.revision, 'is given up during a pause');
    if (to === 'RECONCILE' || aborted) known.automatic += 1;
    if (known.automatic > AUTOMATIC_MAX) this.#violate(name, event.revision, 'is tried a third time by itself');
    if (to === 'HARD_FAILED' && event.timeMs < known.blockedAtMs + this.#blockedMs) {
      this.#violate(name, event.revision, `has failed ${event.timeMs - known.blockedAtMs} ms after it was blocked`);
    }
  }

  #violate(run: string, revision: number, text: string): void {
    this.#scene.violate('RA', `${run} ${text} at revision ${revision}`);
  }
}
