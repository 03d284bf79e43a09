/**
 * CL, committed ledger: the first entry that any member counts as committed at an index is final, and every later
 * leader holds it (Raft paper, figure 3: leader completeness, state machine safety).
 *
 * A commit must also be safe at the moment it is made: if some member without the entry could still win an election
 * against the logs that are durable now, the entry could be lost (5.4.2, figure 8). That needs no lucky schedule to
 * be seen.
 */
import type { Entry, RaftStatus } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import { elects, type Group, isVoter, nameOf } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { atLeastAsUpToDate, sameTag, type Tag, type TrackedLog, tagOf } from '../cluster/tracked-log.ts';
import type { Oracle, Scene } from './oracle.ts';

interface Committed {
  readonly tag: Tag;
  /** Term of the member that was first to count it as committed. */
  readonly inTerm: number;
}

export class CommittedLedger implements Oracle {
  readonly id = 'CL';
  readonly #scene: Scene;
  /** Of index i + 1. */
  readonly #ledger: Committed[] = [];
  readonly #groups: { readonly index: number; readonly group: Group }[] = [];

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  get lastIndex(): number {
    return this.#ledger.length;
  }

  at(index: number): Tag | undefined {
    return this.#ledger[index - 1]?.tag;
  }

  termAt(index: number): number | undefined {
    return this.at(index)?.term;
  }

  /** The configuration that was committed last up to `index`; the operator's before the first. */
  groupAt(index: number): { readonly group: Group; readonly index: number } {
    const found = this.#groups.findLast((placed) => placed.index <= index);
    return found ?? { group: this.#scene.firstGroup, index: 0 };
  }

  afterEvent(member: SimMember, status: RaftStatus, before: RaftStatus | null): void {
    if (status.commitIndex > (before?.commitIndex ?? 0)) this.#advance(member, status, before?.commitIndex ?? 0);
    if (status.role === 'leader' && (before?.role !== 'leader' || before.term !== status.term)) {
      this.#elected(member, status.term);
    }
  }

  applied(member: SimMember, entry: Entry): void {
    if (!sameTag(member.log.at(entry.index), tagOf(entry))) {
      this.#scene.violate('CL', `${member.id} applies at ${entry.index} what its log does not hold`);
    }
    const committed = this.#ledger[entry.index - 1];
    if (committed !== undefined && !sameTag(committed.tag, tagOf(entry))) {
      this.#scene.violate('CL', `${member.id} applies at ${entry.index} another entry than was committed`);
    }
  }

  walAppend(member: SimMember, append: WalAppend, tags: readonly Tag[]): void {
    const first = append.entries[0];
    const commitIndex = member.lastStatus?.commitIndex ?? 0;
    if (first === undefined || first.index > commitIndex) return;
    for (const [offset, tag] of tags.entries()) {
      const committed = this.#ledger[first.index + offset - 1];
      if (committed !== undefined && !sameTag(committed.tag, tag)) {
        this.#scene.violate('CL', `${member.id} replaces ${first.index + offset}, which it knows is committed`);
      }
    }
  }

  /** Recovery never loses a committed entry that was durable. */
  booted(member: SimMember): void {
    if (member.unreliable) return;
    const { log } = member.survivor;
    const through = Math.min(log.lastIndex, this.#ledger.length);
    for (let index = log.base.index + 1; index <= through; index += 1) {
      const tag = this.at(index);
      if (sameTag(tag, log.at(index)) && !member.durable.log.covers(index, tag)) {
        this.#scene.violate('CL', `${member.id} lost committed entry ${index}, which was durable, in recovery`);
        return;
      }
    }
  }

  #advance(member: SimMember, status: RaftStatus, from: number): void {
    const to = status.commitIndex;
    for (let index = from + 1; index <= to; index += 1) {
      const tag = member.log.at(index);
      // Below its log it stands on a state, which SE holds against the others'.
      const beforeLog = index <= member.log.base.index || index < status.firstIndex;
      if (beforeLog && index <= this.#ledger.length) continue;
      if (tag === undefined) {
        this.#scene.violate('CL', `${member.id} counts ${index} as committed, which its log does not hold`);
        return;
      }
      const committed = this.#ledger[index - 1];
      if (committed === undefined) {
        this.#ledger.push({ tag, inTerm: status.term });
        if (tag.group !== undefined) this.#groups.push({ index, group: tag.group });
        if (index === to) this.#checkSafe(member, index, tag);
      } else if (!sameTag(committed.tag, tag)) {
        this.#scene.violate(
          'CL',
          `${member.id} commits (${index}, term ${tag.term}), but (${index}, term ${committed.tag.term}) is committed`,
        );
        return;
      }
    }
  }

  #checkSafe(by: SimMember, index: number, tag: Tag): void {
    for (const candidate of this.#scene.members) {
      if (candidate.unreliable) continue;
      const logs: TrackedLog[] = [candidate.durable.log];
      candidate.durable.refresh();
      if (candidate.running !== null) logs.push(candidate.log);
      for (const log of logs) {
        if (log.covers(index, tag) || !isVoter(log.group, candidate.id)) continue;
        const votes = (id: string): boolean => this.#wouldVote(this.#scene.member(id as MemberId), candidate, log);
        if (!elects(log.group, votes, (id) => this.#scene.member(id as MemberId).unreliable)) continue;
        this.#scene.violate(
          'CL',
          `${by.id} commits (${index}, term ${tag.term}), but ${candidate.id}, which lacks it and ends in ` +
            `(${log.lastIndex}, term ${log.lastTerm}), can still be elected in ${nameOf(log.group)}`,
        );
        return;
      }
    }
  }

  #wouldVote(voter: SimMember, candidate: SimMember, log: TrackedLog): boolean {
    if (voter === candidate) return true;
    if (voter.unreliable) return false;
    voter.durable.refresh();
    return atLeastAsUpToDate(log, voter.durable.log);
  }

  #elected(member: SimMember, term: number): void {
    for (let index = this.#ledger.length; index >= 1; index -= 1) {
      const committed = this.#ledger[index - 1];
      if (committed === undefined || committed.inTerm > term) continue;
      if (!member.log.covers(index, committed.tag)) {
        this.#scene.violate('CL', `${member.id} leads term ${term} without committed entry ${index}`);
      }
      // Log matching covers what is before it.
      return;
    }
  }
}
