/**
 * EO, exactly once: clients keep a ledger of what they asked for and what they were told; it is held against the
 * event history of the state. What was acknowledged took effect once, at the revision that was told; what was
 * refused or rejected never did; what is unknown did at most once.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { MachineEvent } from '../../../src/machine/types.ts';
import type { Entry } from '../../../src/raft/types.ts';
import { DATA_STREAM, revision } from '../../../src/types/ids.ts';
import { type EffectClass, type Operation, type Operations, traceIdOf } from '../cluster/operations.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

/** More events than one entry can cause. */
const EVENTS_OF_ENTRY_MAX = 1_000;
const SUB_STEPS_READ_MAX = 10_000;

export class ExactlyOnce implements Oracle {
  readonly id = 'EO';
  readonly #scene: Scene;
  readonly #operations: Operations;
  /** Revision of each effect, by operation. */
  readonly #effects = new Map<number, number>();
  /** Revision at which a run was last rolled back: what it had reported is gone. */
  readonly #rolledBack = new Map<string, number>();
  #seenIndex = 0;

  constructor(scene: Scene, operations: Operations) {
    this.#scene = scene;
    this.#operations = operations;
  }

  /** The first member to apply an entry is looked at; AH sees to it that the others do the same. */
  applied(_member: SimMember, entry: Entry, view: MachineView): void {
    if (entry.index <= this.#seenIndex) return;
    this.#seenIndex = entry.index;
    for (const event of view.events(revision(entry.index), EVENTS_OF_ENTRY_MAX)) this.#effect(event);
  }

  /** A client has its final answer to the operation. */
  settled(operation: Operation): void {
    const effect = this.#effects.get(operation.id);
    const { state } = operation;
    if (operation.effect === 'none') return;
    switch (state.kind) {
      case 'done':
        if (effect !== state.revision) {
          this.#violate(operation, `acknowledged at revision ${state.revision}, took effect at ${effect ?? 'none'}`);
        }
        return;
      case 'rejected':
      case 'refused':
        if (effect !== undefined) this.#violate(operation, `${state.kind}, but took effect at revision ${effect}`);
        return;
      case 'open':
      case 'unknown':
        return;
    }
  }

  /** Every operation again, against the state that all members agree on. */
  end(): void {
    for (const operation of this.#operations.all) this.settled(operation);
    for (const member of this.#scene.members) {
      const view = member.running?.local(DATA_STREAM);
      // Members that were removed stay where they were.
      if (view === undefined || view.appliedIndex < this.#seenIndex) continue;
      for (const operation of this.#operations.all) this.#checkState(operation, view);
    }
  }

  #effect(event: MachineEvent): void {
    if (event.kind === 'phase_recovery.finished' && event.outcome.startsWith('ROLLBACK>CLEAN_EXIT')) {
      this.#rolledBack.set(`${event.loop} ${event.g} ${event.phase}`, event.revision);
    }
    const operation = this.#operations.byTraceId(event.traceId);
    if (operation === undefined || operation.effect === 'none' || classOf(event) !== operation.effect) return;
    const earlier = this.#effects.get(operation.id);
    if (earlier !== undefined) {
      this.#violate(operation, `took effect at revision ${earlier} and again at ${event.revision}`);
    }
    this.#effects.set(operation.id, event.revision);
    const { state } = operation;
    if (state.kind === 'rejected' || state.kind === 'refused') {
      this.#violate(operation, `${state.kind}, but took effect at revision ${event.revision} later`);
    }
  }

  #checkState(operation: Operation, view: MachineView): void {
    if (operation.state.kind !== 'done') return;
    if (operation.effect === 'create' && view.loop(operation.loop) === null) {
      this.#violate(operation, `acknowledged, but there is no loop ${operation.loop}`);
    }
    if (operation.effect !== 'progress') return;
    const { loop, g, phase } = operation;
    if (view.run(loop, g, phase) === null) return;
    if ((this.#rolledBack.get(`${loop} ${g} ${phase}`) ?? 0) > operation.state.revision) return;
    const rows = view.subSteps(loop, g, phase, null, SUB_STEPS_READ_MAX).rows;
    for (const id of operation.subSteps) {
      const row = rows.find((candidate) => candidate.id === id);
      if (row?.recordedRevision !== operation.state.revision) {
        this.#violate(operation, `sub-step ${id} is on record at ${row?.recordedRevision ?? 'no revision'}`);
      }
    }
  }

  #violate(operation: Operation, text: string): void {
    const { client, effect, loop, g, phase } = operation;
    this.#scene.violate('EO', `${traceIdOf(operation)} of ${client} (${effect} ${loop}/${g}/${phase}): ${text}`);
  }
}

function classOf(event: MachineEvent): EffectClass {
  switch (event.kind) {
    case 'loop.created':
      return 'create';
    case 'phase_transition.started':
      return 'begin';
    case 'phase_transition.progress':
      return 'progress';
    case 'phase_transition.finished':
      if (event.outcome === 'CLEAN_EXIT') return 'commit';
      // FAILED_PARTIAL by the word of the agent: what it leaves behind is undone first.
      return ['ABORTED', 'HARD_FAILED', 'FAILED_PARTIAL'].includes(event.outcome) ? 'abort' : 'none';
    default:
      return 'none';
  }
}
