/** AH: members that have applied the same index are in the same state, over all their lives. Entries are applied once each, in order. */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Entry } from '../../../src/raft/types.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

export class ApplyHash implements Oracle {
  readonly id = 'AH';
  readonly #scene: Scene;
  readonly #hashes = new Map<number, { readonly hash: string; readonly by: string }>();
  readonly #appliedBy = new WeakMap<MachineView, number>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  applied(member: SimMember, entry: Entry, view: MachineView, hash: string): void {
    if (view.appliedIndex !== entry.index) {
      this.#scene.violate('AH', `${member.id} applied ${entry.index}, and its state says ${view.appliedIndex}`);
    }
    const before = this.#appliedBy.get(view);
    if (before !== undefined && entry.index !== before + 1) {
      this.#scene.violate('AH', `${member.id} applied ${entry.index} after ${before}`);
    }
    this.#appliedBy.set(view, entry.index);
    const known = this.#hashes.get(entry.index);
    if (known === undefined) this.#hashes.set(entry.index, { hash, by: member.id });
    else if (known.hash !== hash) {
      this.#scene.violate('AH', `at ${entry.index}, ${member.id} has state ${hash} and ${known.by} ${known.hash}`);
    }
  }
}
