/**
 * SE: a state that comes out of the store at a start, or out of an image, is the state that members had when they had applied
 * that index; and the configuration and the term that it is labelled with are those of that index.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Entry, SnapshotMark } from '../../../src/raft/types.ts';
import { nameOf, sameGroup } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { CommittedLedger } from './committed-ledger.ts';
import type { Oracle, Scene } from './oracle.ts';

export class StateEquality implements Oracle {
  readonly id = 'SE';
  readonly #scene: Scene;
  readonly #ledger: CommittedLedger;
  readonly #hashes = new Map<number, { readonly hash: string; readonly by: string }>();

  constructor(scene: Scene, ledger: CommittedLedger) {
    this.#scene = scene;
    this.#ledger = ledger;
  }

  applied(member: SimMember, entry: Entry, _view: MachineView, hash: string): void {
    if (!this.#hashes.has(entry.index)) this.#hashes.set(entry.index, { hash, by: member.id });
  }

  restored(member: SimMember, mark: SnapshotMark, view: MachineView, hash: string): void {
    if (view.appliedIndex !== mark.index) {
      this.#violate(member, `takes over an image of ${mark.index}, and its state says ${view.appliedIndex}`);
    }
    this.#label(member, mark, 'takes over an image');
    this.#same(member, mark.index, hash, 'takes over an image');
  }

  loaded(member: SimMember, view: MachineView, hash: string): void {
    this.#same(member, view.appliedIndex, hash, 'finds in its store a state');
  }

  walReset(member: SimMember, mark: SnapshotMark): void {
    this.#label(member, mark, 'begins its log after an image');
  }

  #label(member: SimMember, { index, term, configuration }: SnapshotMark, what: string): void {
    if (index === 0) return;
    if (this.#ledger.termAt(index) !== term) {
      this.#violate(
        member,
        `${what} labelled (${index}, term ${term}), but term ${this.#ledger.termAt(index)} is committed`,
      );
    }
    const known = this.#ledger.groupAt(index);
    if (!sameGroup(known.group, configuration.configuration) || known.index !== configuration.index) {
      const said = `${nameOf(configuration.configuration)} of ${configuration.index}`;
      this.#violate(
        member,
        `${what} of ${index} with ${said}, but ${nameOf(known.group)} of ${known.index} is committed`,
      );
    }
  }

  #same(member: SimMember, index: number, hash: string, what: string): void {
    if (index === 0) return;
    const known = this.#hashes.get(index);
    if (known?.hash === hash) return;
    const other = known === undefined ? 'nobody applied that' : `${known.by} had ${known.hash}`;
    this.#violate(member, `${what} of ${index} with hash ${hash}; ${other}`);
  }

  #violate(member: SimMember, text: string): void {
    this.#scene.violate('SE', `${member.id} ${text}`);
  }
}
