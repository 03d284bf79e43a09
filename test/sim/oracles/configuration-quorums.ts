/**
 * CQ: whoever decides in one configuration and whoever decides in the next have somebody in common, so that no two halves can
 * decide apart (Raft thesis, 4.1 and 4.3). A leader begins a change only when the one before it is committed, and when
 * it has committed something of its own term (the correction of 2015 to 4.1). What a member counts by is what its log says.
 */
import type { RaftStatus } from '../../../src/raft/types.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import { type Group, nameOf, quorumsIntersect, sameGroup } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Tag } from '../cluster/tracked-log.ts';
import type { Oracle, Scene } from './oracle.ts';

export class ConfigurationQuorums implements Oracle {
  readonly id = 'CQ';
  readonly #scene: Scene;
  readonly #intersect = new Map<string, boolean>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  walAppend(member: SimMember, append: WalAppend, tags: readonly Tag[]): void {
    const first = append.entries[0];
    if (first === undefined || tags.every((tag) => tag.group === undefined)) return;
    let before = member.log.groupAt(first.index - 1);
    for (const [offset, { group, term }] of tags.entries()) {
      if (group === undefined) continue;
      const index = first.index + offset;
      this.#step(member, index, before.group, group);
      this.#begun(member, index, term, before.index);
      before = { group, index };
    }
  }

  /** C1, C6: the configuration in force is the last one of the log, whether it is committed or not. */
  afterEvent(member: SimMember, status: RaftStatus): void {
    const { group, lastIndex, lastTerm } = member.log;
    // An image that the core has taken on is on its way to the disk.
    if (lastIndex !== status.lastIndex || lastTerm !== status.lastTerm) return;
    if (!sameGroup(group, status.configuration)) {
      this.#scene.violate(
        'CQ',
        `${member.id} counts by ${nameOf(status.configuration)}, but its log ends with ${nameOf(group)}`,
      );
    }
  }

  #step(member: SimMember, index: number, before: Group, after: Group): void {
    // A member that waits to be added has no configuration.
    if (before.voters.length === 0) return;
    const key = `${nameOf(before)} ${nameOf(after)}`;
    const known = this.#intersect.get(key) ?? quorumsIntersect(before, after);
    this.#intersect.set(key, known);
    if (!known) {
      this.#scene.violate(
        'CQ',
        `${member.id} goes from ${nameOf(before)} to ${nameOf(after)} at ${index}: both can decide without the other`,
      );
    }
    if (after.learners.some((id) => after.voters.includes(id))) {
      this.#scene.violate('CQ', `${member.id} has learners among the voters of ${nameOf(after)} at ${index}`);
    }
  }

  /** Only a leader begins changes; it appends them in its own term. */
  #begun(member: SimMember, index: number, term: number, indexBefore: number): void {
    const status = member.status();
    if (status === null || status.role !== 'leader' || status.term !== term) return;
    if (indexBefore > status.commitIndex) {
      this.#scene.violate(
        'CQ',
        `${member.id} changes the configuration at ${index}, while that of ${indexBefore} is not committed`,
      );
    }
    if (member.log.termAt(status.commitIndex) !== term) {
      this.#scene.violate(
        'CQ',
        `${member.id} changes the configuration at ${index}, and has committed nothing of term ${term}`,
      );
    }
  }

  end(): void {
    const last = this.#lastCommitted();
    for (const member of this.#scene.members) {
      const { group } = member.log;
      // One that was removed while it could not be reached is never sent the log again: nothing tells it the end of a change.
      if (member.running === null || member.abandoned || last === null || !isIn(last, member.id)) continue;
      // One that is on its way out hears of the end only if it can be reached in time.
      if (!group.voters.includes(member.id)) continue;
      if (group.votersOutgoing.length > 0) {
        this.#scene.violate('CQ', `${member.id} is left in ${nameOf(group)}`);
      }
    }
  }

  /** The configuration that is committed by the word of whoever has committed most. */
  #lastCommitted(): Group | null {
    let last: { readonly commitIndex: number; readonly group: Group } | null = null;
    for (const member of this.#scene.members) {
      const commitIndex = member.status()?.commitIndex ?? -1;
      if (commitIndex < 0 || (last !== null && commitIndex <= last.commitIndex)) continue;
      last = { commitIndex, group: member.log.groupAt(commitIndex).group };
    }
    return last?.group ?? null;
  }
}

function isIn({ voters, votersOutgoing, learners }: Group, id: string): boolean {
  return voters.includes(id) || votersOutgoing.includes(id) || learners.includes(id);
}
