/**
 * LM, log matching (Raft paper, figure 3): if two logs hold an entry with the same index and term, they are equal up
 * to it. By induction it is enough that (index, term) determines the content and the term of the entry before.
 * A log is cut only where it conflicts (5.3): an entry is never replaced by itself.
 */

import type { WalAppend } from '../../../src/wal/types.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { sameTag, type Tag } from '../cluster/tracked-log.ts';
import type { Oracle, Scene } from './oracle.ts';

interface Known {
  readonly hash: number;
  readonly termBefore: number;
  readonly by: string;
}

export class LogMatching implements Oracle {
  readonly id = 'LM';
  readonly #scene: Scene;
  /** By term, then index. */
  readonly #known = new Map<number, Map<number, Known>>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  walAppend(member: SimMember, append: WalAppend, tags: readonly Tag[]): void {
    const first = append.entries[0];
    if (first === undefined) return;
    if (first.index > member.log.lastIndex + 1) {
      this.#scene.violate('LM', `${member.id} appends ${first.index} after ${member.log.lastIndex}: a gap`);
      return;
    }
    if (sameTag(member.log.at(first.index), tags[0])) {
      this.#scene.violate('LM', `${member.id} cuts its log at ${first.index}, where nothing conflicts`);
    }
    let termBefore = member.log.termAt(first.index - 1) ?? 0;
    for (const [offset, tag] of tags.entries()) {
      const entry = append.entries[offset];
      if (entry?.index !== first.index + offset) {
        this.#scene.violate('LM', `${member.id} appends entries that are not consecutive at ${first.index + offset}`);
      }
      if (tag.term < termBefore) {
        this.#scene.violate('LM', `${member.id}: term ${tag.term} after ${termBefore} at ${first.index + offset}`);
      }
      this.#check(member, first.index + offset, tag, termBefore);
      termBefore = tag.term;
    }
  }

  #check(member: SimMember, index: number, tag: Tag, termBefore: number): void {
    const byIndex = this.#known.get(tag.term) ?? new Map<number, Known>();
    this.#known.set(tag.term, byIndex);
    const known = byIndex.get(index);
    if (known === undefined) {
      byIndex.set(index, { hash: tag.hash, termBefore, by: member.id });
      return;
    }
    if (known.hash !== tag.hash) {
      this.#scene.violate('LM', `${member.id} and ${known.by} hold different entries at ${index} of term ${tag.term}`);
    }
    if (known.termBefore !== termBefore) {
      this.#scene.violate(
        'LM',
        `before ${index} of term ${tag.term}, ${member.id} has term ${termBefore} and ${known.by} ${known.termBefore}`,
      );
    }
  }
}
