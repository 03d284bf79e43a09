/** LZ, reads only: a linearizable read sees everything that was acknowledged to anybody before it was asked for. */
import type { Answer, Operation } from '../cluster/operations.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

export class LinearizableReads implements Oracle {
  readonly id = 'LZ';
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  answered(member: SimMember, _operation: Operation | null, answer: Answer): void {
    if (answer.kind !== 'read' || answer.appliedIndex >= answer.floorIndex) return;
    this.#scene.violate(
      'LZ',
      `${member.id} answers a read from a state at ${answer.appliedIndex}, but ${answer.floorIndex} was ` +
        'acknowledged before the read was asked for',
    );
  }
}
