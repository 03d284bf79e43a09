/**
 * DG, durability gate: what a member promises is durable on its disk when the promise leaves it. Granted votes,
 * append acks, leadership (the own vote), commits and answers to clients are held against the bytes that a power
 * cut could not take away now.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { AppendResponse, RaftStatus } from '../../../src/raft/types.ts';
import { DATA_STREAM, type MemberId } from '../../../src/types/ids.ts';
import type { Answer, Operation } from '../cluster/operations.ts';
import { decides } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Tag } from '../cluster/tracked-log.ts';
import type { CommittedLedger } from './committed-ledger.ts';
import type { Oracle, Scene } from './oracle.ts';

export class DurabilityGate implements Oracle {
  readonly id = 'DG';
  readonly #scene: Scene;
  readonly #leaderOf: (term: number) => MemberId | null;
  readonly #ledger: CommittedLedger;

  constructor(scene: Scene, leaderOf: (term: number) => MemberId | null, ledger: CommittedLedger) {
    this.#scene = scene;
    this.#leaderOf = leaderOf;
    this.#ledger = ledger;
  }

  send(from: SimMember, to: MemberId, envelope: Envelope): void {
    if (envelope.kind === 'forwardResponse') {
      const { outcome } = envelope;
      if (outcome.kind === 'applied') this.#mutationAcked(from, outcome.index, outcome.term);
      return;
    }
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    if (message.kind === 'voteResponse' && (message.granted || message.blank === true)) {
      this.#voteGranted(from, to, message.term);
    }
    if (message.kind === 'appendResponse' && message.outcome.kind === 'accepted') {
      this.#appendAcked(from, to, message, message.outcome.matchIndex);
    }
  }

  afterEvent(member: SimMember, status: RaftStatus, before: RaftStatus | null): void {
    if (status.role === 'leader' && (before?.role !== 'leader' || before.term !== status.term)) {
      member.durable.refresh();
      if (member.durable.votes.get(status.term) !== member.id) {
        this.#scene.violate('DG', `${member.id} leads term ${status.term}, but its own vote is not durable`);
      }
    }
    this.#logFollowsStore(member);
    if (status.role === 'leader') this.#matches(member, status, before);
    if (status.durableIndex > (before?.durableIndex ?? 0)) this.#saysDurable(member, status.durableIndex);
    if (status.commitIndex > (before?.commitIndex ?? 0)) this.#committed(member, status.commitIndex);
  }

  answered(member: SimMember, _operation: Operation | null, answer: Answer): void {
    if (answer.kind !== 'mutation' || answer.outcome.kind !== 'applied') return;
    this.#mutationAcked(member, answer.outcome.index, answer.outcome.term);
  }

  /** A member that recovered something must have it on the disk, not only in the page cache. */
  booted(member: SimMember): void {
    const recovered = member.process?.wal?.streams.find((stream) => stream.stream === DATA_STREAM);
    if (recovered === undefined) return;
    const { durable, survivor } = member;
    if (member.unreliable) return;
    if (recovered.lastIndex > durable.log.lastIndex) {
      this.#scene.violate(
        'DG',
        `${member.id} recovered up to ${recovered.lastIndex}, but only ${durable.log.lastIndex} is durable`,
      );
    }
    const { term, votedFor } = recovered.hardState;
    if (term > durable.term || (term === durable.term && votedFor !== durable.votedFor)) {
      this.#scene.violate('DG', `${member.id} recovered term ${term} and vote ${votedFor}, which are not durable`);
    }
    const forgotVote = survivor.votedFor !== null && votedFor !== survivor.votedFor;
    if (term < survivor.term || (term === survivor.term && forgotVote)) {
      this.#scene.violate(
        'DG',
        `${member.id} recovered (term ${term}, vote ${votedFor}), but (${survivor.term}, ${survivor.votedFor}) was durable`,
      );
    }
  }

  /** Known bug S3: what a log does not hold any more, the tables hold, whatever happens now. */
  #logFollowsStore(member: SimMember): void {
    const { index } = member.durable.log.base;
    if (index === 0) return;
    const stored = member.store.durableIndex(DATA_STREAM);
    // Without its oldest segment a log looks as if it had been cut. A start on tables that end before it sees that.
    if (stored >= index || member.unreliable || member.wasDamaged) return;
    this.#scene.violate(
      'DG',
      `${member.id} has a log that begins after ${index}, but its tables are durable at ${stored}`,
    );
  }

  #voteGranted(from: SimMember, to: MemberId, term: number): void {
    from.durable.refresh();
    if (from.durable.votes.get(term) === to) return;
    this.#scene.violate('DG', `${from.id} grants ${to} its vote of term ${term}, which is not durable`);
  }

  #appendAcked(from: SimMember, to: MemberId, message: AppendResponse, matchIndex: number): void {
    const { durable } = from;
    durable.refresh();
    if (durable.log.lastIndex < matchIndex) {
      this.#scene.violate(
        'DG',
        `${from.id} acks ${matchIndex} of term ${message.term}, but only ${durable.log.lastIndex} is durable`,
      );
      return;
    }
    if (Math.max(durable.term, durable.log.lastTerm) < message.term) {
      this.#scene.violate('DG', `${from.id} acks in term ${message.term}, but only ${durable.term} is durable`);
    }
    const leader = this.#scene.member(to);
    const leads = this.#leaderOf(message.term) === to && leader.running !== null && leader.lastStatus !== null;
    if (!leads || leader.lastStatus?.term !== message.term || leader.lastStatus.role !== 'leader') return;
    // What the leader's own log does not reach back to, it checked by the term alone.
    const reaches = matchIndex > leader.log.base.index;
    if (reaches && !durable.log.covers(matchIndex, leader.log.at(matchIndex))) {
      this.#scene.violate('DG', `${from.id} acks ${matchIndex} to ${to}, but holds another entry there`);
    }
  }

  /** What a leader counts for a follower, the follower holds; unless it has moved on to a later term since it said so. */
  #matches(leader: SimMember, status: RaftStatus, before: RaftStatus | null): void {
    for (const { id, matchIndex } of status.peers) {
      const known = before?.term === status.term ? before.peers.find((peer) => peer.id === id) : undefined;
      const earlier = known?.matchIndex ?? 0;
      if (matchIndex <= earlier) continue;
      const { durable } = this.#scene.member(id);
      durable.refresh();
      if (durable.term > status.term) continue;
      if (durable.log.covers(matchIndex, leader.log.at(matchIndex)) || matchIndex <= leader.log.base.index) continue;
      // What was durable there was damaged since.
      if (this.#scene.member(id).unreliable) continue;
      this.#scene.violate('DG', `${leader.id} counts ${matchIndex} for ${id}, which does not hold it`);
    }
  }

  #saysDurable(member: SimMember, index: number): void {
    member.durable.refresh();
    if (member.durable.log.lastIndex >= index) return;
    this.#scene.violate(
      'DG',
      `${member.id} counts ${index} as durable, but only ${member.durable.log.lastIndex} is durable`,
    );
  }

  /** The first to commit an entry is its leader, and its log says who decides. Followers hear of it later. */
  #committed(member: SimMember, index: number): void {
    if (index <= this.#ledger.lastIndex) return;
    const tag = member.log.at(index);
    if (tag === undefined || this.#isDurable(member, index)) return;
    this.#scene.violate('DG', `${member.id} commits ${index}, which is durable on ${this.#holders(index, tag)} only`);
  }

  /** Only what is committed, or was in this very moment, is acknowledged. */
  #mutationAcked(by: SimMember, index: number, term: number): void {
    if (this.#ledger.termAt(index) === term) return;
    const tag = by.log.at(index);
    if (tag?.term === term && index > this.#ledger.lastIndex && this.#isDurable(by, index)) return;
    const where = tag === undefined ? 'nobody' : this.#holders(index, tag);
    this.#scene.violate(
      'DG',
      `${by.id} acks a mutation at (${index}, term ${term}), which is durable on ${where} only`,
    );
  }

  #isDurable(by: SimMember, index: number): boolean {
    const tag = by.log.at(index);
    return decides(by.log.group, (id) => this.#holds(id, index, tag));
  }

  #holds(id: string, index: number, tag: Tag | undefined): boolean {
    const holder = this.#scene.member(id as MemberId);
    holder.durable.refresh();
    // What a damaged member held when it said so is gone.
    return holder.unreliable || holder.durable.log.covers(index, tag);
  }

  #holders(index: number, tag: Tag): string {
    const holders = this.#scene.members.filter(({ id }) => this.#holds(id, index, tag)).map(({ id }) => id);
    return holders.join(' ') || 'nobody';
  }
}
