/**
 * Metrics of what the cluster has done (U3), counted from the entries that this member applies. Every member applies every entry,
 * so each of them shows the same: take the maximum over members, not the sum. Counted on all of them, and not on the leader alone,
 * because nothing is missed then when the leader changes between the commit of an entry and the next look.
 *
 * RM1  An entry that was in the log when the process started is not counted again: it was counted before the restart, and what was
 *      counted then is with whoever scraped it. Entries that an image stands for are not counted at all.
 */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Applied, MachineView } from '../machine/api.ts';
import { runKey } from '../machine/keys.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import type { MachineEvent } from '../machine/types.ts';
import type { LogIndex } from '../types/ids.ts';
import { BoundedLabel } from './labels.ts';
import { Tally } from './tally.ts';

/** From a hang that is seen at once to hours without a commit; seconds. */
const DETECT_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1_800, 7_200];
/** From a step that is one commit to a compensator that is tried for an hour; seconds. */
const STEP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200];
/** States whose leaving ends a step. */
const ACTIVE = new Set(['RECONCILE', 'ROLLBACK']);

export class ReplicatedMetrics {
  readonly #detect: Histogram<'phase'>;
  readonly #recovery: Histogram<'phase' | 'step'>;
  readonly #recoveries: Counter<'result'>;
  readonly #evictions: Counter;
  readonly #events: Tally<'kind'>;
  readonly #commands: Tally<'outcome'>;
  readonly #phases = new BoundedLabel();
  /** null until it is known what the log held. */
  #replayedTo: LogIndex | null = null;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#detect = new Histogram({
      name: 'phase_detect_latency_seconds',
      help: 'From the last sign of life of an attempt to its interruption.',
      labelNames: ['phase'],
      buckets: DETECT_BUCKETS,
      registers,
    });
    this.#recovery = new Histogram({
      name: 'phase_recovery_latency_seconds',
      help: 'Duration of a step of a recovery.',
      labelNames: ['phase', 'step'],
      buckets: STEP_BUCKETS,
      registers,
    });
    this.#recoveries = new Counter({
      name: 'phase_recoveries_total',
      help: 'Recoveries that ended, by result; one that is resumed after HARD_FAILED ends again.',
      labelNames: ['result'],
      registers,
    });
    this.#evictions = new Counter({
      name: 'minority_evictions_total',
      help: 'Members that were evicted after they had been isolated for too long.',
      registers,
    });
    this.#events = new Tally({
      name: 'quorate_events_total',
      help: 'Events of the history, by kind.',
      label: 'kind',
      registers,
    });
    this.#commands = new Tally({
      name: 'quorate_commands_applied_total',
      help: 'Commands that were applied: carried out, rejected by the state machine, or answered from a session.',
      label: 'outcome',
      registers,
    });
  }

  /** Entries up to `lastIndex` were in the log when it was opened. */
  begin(lastIndex: LogIndex): void {
    this.#replayedTo = lastIndex;
  }

  applied(index: LogIndex, view: MachineView, { result, replayed, events }: Applied): void {
    if (this.#replayedTo === null || index <= this.#replayedTo || result === null) return;
    this.#commands.add(replayed ? 'replayed' : result.ok ? 'done' : 'rejected');
    if (result.ok && result.value.kind === 'availabilityChanged' && result.value.eviction === 'EVICTED') {
      this.#evictions.inc();
    }
    for (const event of events) {
      this.#events.add(event.kind);
      if (event.kind.startsWith('phase_recovery.')) this.#recoveryEvent(view, event);
    }
  }

  #recoveryEvent(view: MachineView, event: MachineEvent): void {
    const row = recoveryOf(view, event);
    if (row === null) return;
    const phase = this.#phases.of(event.phase);
    if (event.kind === 'phase_recovery.interrupted') {
      // What an agent says itself is not detected.
      if (row.cause === 'ABORTED' || row.cause === 'GIVEN_UP') return;
      this.#detect.observe({ phase }, seconds(row.detectedAtMs - row.faultAtMs));
      return;
    }
    const step = endedStep(row, event.outcome);
    if (step !== null) {
      this.#recovery.observe({ phase, step: step.step }, seconds(step.finishedAtMs - step.startedAtMs));
    }
    if (event.kind === 'phase_recovery.finished' && row.result !== '') this.#recoveries.inc({ result: row.result });
  }
}

/** The record of the recovery that `event` is about. */
export function recoveryOf(view: MachineView, { loop, g, phase }: MachineEvent): RecoveryRow | null {
  const run = view.run(loop, g, phase);
  return run === null ? null : view.rows.recovery.get(runKey(loop, g, run.position));
}

/** The step that an event ended: its outcome is `STATE step`, or `FROM>TO step`. */
function endedStep(row: RecoveryRow, outcome: string): RecoveryRow['steps'][number] | null {
  const [arc = '', name = ''] = outcome.split(' ');
  if (!ACTIVE.has(arc.split('>')[0] ?? '')) return null;
  return row.steps.findLast(({ step }) => step === name) ?? null;
}

function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000;
}
