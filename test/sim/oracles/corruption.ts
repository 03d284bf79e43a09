/**
 * CO: damage to a disk never shrinks what was committed and is never applied or served. A member that once acknowledged
 * an entry that is committed now, and does not hold it any more, neither votes nor campaigns before it has it back: with
 * its vote, somebody without the entry could be elected. What members apply is held against the ledger by CL, what they load by SE.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { RaftStatus } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import type { Answer, Operation } from '../cluster/operations.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { CommittedLedger } from './committed-ledger.ts';
import type { Oracle, Scene } from './oracle.ts';

export class Corruption implements Oracle {
  readonly id = 'CO';
  readonly #scene: Scene;
  readonly #ledger: CommittedLedger;
  /** Highest index that the member ever acknowledged and that was committed with the content it had. */
  readonly #vouchedFor = new Map<MemberId, number>();
  /** Highest index acknowledged, in the member's own log. */
  readonly #acked = new Map<MemberId, { readonly index: number; readonly term: number }>();

  constructor(scene: Scene, ledger: CommittedLedger) {
    this.#scene = scene;
    this.#ledger = ledger;
  }

  send(from: SimMember, to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    switch (message.kind) {
      case 'appendResponse': {
        if (message.outcome.kind !== 'accepted') return;
        const { matchIndex } = message.outcome;
        const term = from.log.termAt(matchIndex);
        if (term !== undefined) this.#acked.set(from.id, { index: matchIndex, term });
        return;
      }
      case 'voteResponse':
        if (message.granted) this.#votes(from, `grants ${to} its vote of term ${message.term}`);
        return;
      case 'preVoteResponse':
        if (message.granted) this.#votes(from, `grants ${to} a pre-vote`);
        return;
      case 'voteRequest':
        this.#votes(from, `campaigns in term ${message.term}`);
        return;
      default:
    }
  }

  afterEvent(member: SimMember, status: RaftStatus): void {
    this.#learn(member.id);
    if (status.role === 'leader' && status.recovering) {
      this.#scene.violate('CO', `${member.id} leads term ${status.term} while it recovers`);
    }
  }

  /** An answer comes from a state of committed entries; a mutation's was looked at by DG. */
  answered(member: SimMember, _operation: Operation | null, answer: Answer): void {
    if (answer.kind !== 'read') return;
    // The core may have committed it in this very moment.
    const committed = Math.max(this.#ledger.lastIndex, member.status()?.commitIndex ?? 0);
    if (answer.appliedIndex <= committed) return;
    this.#scene.violate('CO', `${member.id} answers from ${answer.appliedIndex}, which is not committed`);
  }

  #learn(id: MemberId): void {
    const acked = this.#acked.get(id);
    if (acked === undefined) return;
    const committed = Math.min(acked.index, this.#ledger.lastIndex);
    if (acked.index <= this.#ledger.lastIndex && this.#ledger.termAt(acked.index) !== acked.term) return;
    // An entry of the log that it acknowledged: log matching covers what is before it, once it is committed itself.
    if (acked.index > this.#ledger.lastIndex) return;
    this.#vouchedFor.set(id, Math.max(this.#vouchedFor.get(id) ?? 0, committed));
  }

  #votes(member: SimMember, what: string): void {
    this.#learn(member.id);
    const index = this.#vouchedFor.get(member.id) ?? 0;
    if (index === 0) return;
    member.durable.refresh();
    if (member.durable.log.covers(index, this.#ledger.at(index))) return;
    this.#scene.violate(
      'CO',
      `${member.id} ${what}, and has lost entry ${index}, which it acknowledged and is committed`,
    );
  }
}
