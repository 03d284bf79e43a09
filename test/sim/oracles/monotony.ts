/** MO: term, commit, applied and match indexes never go back; applied ≤ commit ≤ last index. A term outlives a restart. */
import type { Envelope } from '../../../src/node/types.ts';
import type { RaftStatus } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

export class Monotony implements Oracle {
  readonly id = 'MO';
  readonly #scene: Scene;
  /** Highest term in which the member made a promise, by member. */
  readonly #promised = new Map<MemberId, number>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  send(from: SimMember, _to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    const promises =
      (message.kind === 'voteResponse' && (message.granted || message.blank === true)) ||
      (message.kind === 'appendResponse' && message.outcome.kind === 'accepted');
    if (!promises) return;
    const before = this.#promised.get(from.id) ?? 0;
    if (message.term < before) {
      this.#scene.violate('MO', `${from.id} makes a promise in term ${message.term} after one in ${before}`);
    }
    this.#promised.set(from.id, message.term);
  }

  afterEvent(member: SimMember, now: RaftStatus, before: RaftStatus | null): void {
    const violate = (text: string): void => this.#scene.violate('MO', `${member.id}: ${text}`);
    for (const value of [now.term, now.commitIndex, now.appliedIndex, now.lastIndex, now.durableIndex]) {
      if (!Number.isSafeInteger(value)) violate(`${value} is not a safe integer`);
    }
    if (now.appliedIndex > now.commitIndex) violate(`applied ${now.appliedIndex} above commit ${now.commitIndex}`);
    if (now.commitIndex > now.lastIndex) violate(`commit ${now.commitIndex} above last ${now.lastIndex}`);
    if (now.durableIndex > now.lastIndex) violate(`durable ${now.durableIndex} above last ${now.lastIndex}`);
    if (before === null) return;
    if (now.term < before.term) violate(`term ${now.term} after ${before.term}`);
    if (now.commitIndex < before.commitIndex) violate(`commit ${now.commitIndex} after ${before.commitIndex}`);
    if (now.appliedIndex < before.appliedIndex) violate(`applied ${now.appliedIndex} after ${before.appliedIndex}`);
    if (now.role !== 'leader' || before.role !== 'leader' || now.term !== before.term) return;
    if (now.lastIndex < before.lastIndex) violate(`a leader cuts its log from ${before.lastIndex} to ${now.lastIndex}`);
    for (const peer of now.peers) {
      const earlier = before.peers.find((candidate) => candidate.id === peer.id);
      if (earlier === undefined) continue;
      // A member that lost a part of its log is begun with anew; what an earlier life of it asked may come late.
      const mayBeginAnew = this.#scene.member(peer.id).wasDamaged;
      if (peer.matchIndex < earlier.matchIndex && !mayBeginAnew) {
        violate(`match of ${peer.id} is ${peer.matchIndex} after ${earlier.matchIndex}`);
      }
      if (peer.nextIndex <= peer.matchIndex)
        violate(`next of ${peer.id} is ${peer.nextIndex}, match ${peer.matchIndex}`);
    }
  }
}
