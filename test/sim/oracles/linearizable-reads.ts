/**
 * LZ. Of every read: a linearizable one, and one by lease, sees everything that was acknowledged to anybody before it was
 * asked for; one with bounded staleness sees everything that was acknowledged before that bound. Of the registers: the whole
 * history is linearizable (`lz/checker.ts`).
 */
import type { Answer, Operation } from '../cluster/operations.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { type Call, checkHistory, partition } from './lz/checker.ts';
import { type FencedOp, fencedModel } from './lz/models.ts';
import type { Oracle, Scene } from './oracle.ts';

/** More steps than any history of a run has needed; beyond, it is counted as undecided. */
const STEPS_MAX = 200_000;

export class LinearizableReads implements Oracle {
  readonly id = 'LZ';
  /** Calls of the registers, with what became of them. */
  readonly history: Call<FencedOp>[] = [];
  checked = 0;
  undecided = 0;
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  answered(member: SimMember, _operation: Operation | null, answer: Answer): void {
    if (answer.kind !== 'read' || answer.appliedIndex >= answer.floorIndex) return;
    this.#scene.violate(
      'LZ',
      `${member.id} answers a ${answer.consistency} read from a state at ${answer.appliedIndex}, but ` +
        `${answer.floorIndex} was acknowledged before ${answer.floorWhat}`,
    );
  }

  end(): void {
    for (const [register, calls] of [...partition(this.history, (op) => op.register)].sort()) {
      const { kind, stuckAt } = checkHistory(fencedModel, calls, STEPS_MAX);
      this.checked += calls.length;
      if (kind === 'undecided') this.undecided += 1;
      if (kind !== 'violation') continue;
      const what = stuckAt === null ? '' : `: ${JSON.stringify(stuckAt)}`;
      this.#scene.violate('LZ', `the history of ${register} (${calls.length} calls) is not linearizable${what}`);
    }
  }
}
