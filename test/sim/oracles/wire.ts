/**
 * WV, wire: appends come only from the term's leader and are a piece of its log; what is said to be committed is
 * committed there and held by the receiver; nobody speaks in another's name.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { AppendRequest, HeartbeatRequest } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import { isVoter } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { sameTag, tagOf } from '../cluster/tracked-log.ts';
import type { Oracle, Scene } from './oracle.ts';

export class Wire implements Oracle {
  readonly id = 'WV';
  readonly #scene: Scene;
  /** Who sent appends or heartbeats in a term. */
  readonly #speakers = new Map<number, MemberId>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  send(from: SimMember, to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    if (message.from !== from.id || message.to !== to || from.id === to) {
      this.#scene.violate('WV', `${from.id} sends ${to} a message from ${message.from} to ${message.to}`);
    }
    if (message.kind === 'appendRequest') this.#append(from, message);
    if (message.kind === 'heartbeatRequest') this.#heartbeat(from, message);
  }

  #leads(from: SimMember, term: number, what: string): void {
    const speaker = this.#speakers.get(term);
    if (speaker !== undefined && speaker !== from.id) {
      this.#scene.violate('WV', `${from.id} sends ${what} in term ${term}, which ${speaker} leads`);
    }
    this.#speakers.set(term, from.id);
    const status = from.status();
    const leads = status?.role === 'leader' && status.term === term;
    // Its last words: a leader that is no voter any more steps down in the step in which it sends them.
    const led = from.lastStatus?.role === 'leader' && from.lastStatus.term === term && status?.term === term;
    if (!leads && !(led && !isVoter(from.log.group, from.id))) {
      this.#scene.violate('WV', `${from.id} sends ${what} in term ${term} and is ${status?.role} of ${status?.term}`);
    }
  }

  #append(from: SimMember, message: AppendRequest): void {
    this.#leads(from, message.term, 'an append');
    const { prevLogIndex, prevLogTerm, entries } = message;
    const violate = (text: string): void =>
      this.#scene.violate('WV', `append of ${from.id} to ${message.to} in term ${message.term}: ${text}`);
    const held = from.log.termAt(prevLogIndex);
    if (held !== prevLogTerm) violate(`term ${prevLogTerm} before ${prevLogIndex + 1}, but the log has ${held}`);
    for (const [offset, entry] of entries.entries()) {
      const index = prevLogIndex + 1 + offset;
      if (entry.index !== index) violate(`entry ${entry.index} where ${index} belongs`);
      if (entry.term > message.term) violate(`entry ${index} has term ${entry.term}`);
      if (!sameTag(from.log.at(index), tagOf(entry))) violate(`entry ${index} is not what its log holds`);
    }
    const commitIndex = from.status()?.commitIndex ?? 0;
    if (message.leaderCommit > commitIndex) violate(`commit ${message.leaderCommit}, but it is ${commitIndex}`);
  }

  #heartbeat(from: SimMember, message: HeartbeatRequest): void {
    this.#leads(from, message.term, 'a heartbeat');
    const commitIndex = from.status()?.commitIndex ?? 0;
    const { leaderCommit } = message;
    if (leaderCommit > commitIndex) {
      this.#scene.violate('WV', `${from.id} sends commit ${leaderCommit}, but it is ${commitIndex}`);
    }
    if (leaderCommit === 0) return;
    const receiver = this.#scene.member(message.to);
    receiver.durable.refresh();
    const known = receiver.unreliable || leaderCommit <= from.log.base.index;
    if (!known && !receiver.durable.log.covers(leaderCommit, from.log.at(leaderCommit))) {
      this.#scene.violate('WV', `${from.id} tells ${message.to} to commit ${leaderCommit}, which that does not hold`);
    }
  }
}
