/**
 * ES, election safety (Raft paper, figure 3): at most one leader for each term; one vote for each (member, term),
 * over all lives of the member; a leader has the votes of a majority of the configuration that its log ends with (of both, if
 * that is joint); only voters
 * campaign, and those whose removal is not certain yet.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { RaftStatus } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import { decides, isVoter, nameOf } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

export class ElectionSafety implements Oracle {
  readonly id = 'ES';
  readonly #scene: Scene;
  readonly #leaders = new Map<number, MemberId>();
  /** By `member/term`. */
  readonly #votes = new Map<string, string>();
  /** Members that granted a vote, by `candidate/term`. */
  readonly #granted = new Map<string, Set<MemberId>>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  send(from: SimMember, to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    if (message.kind === 'voteRequest') {
      this.#vote(from.id, message.term, from.id, 'campaigned');
      const { group, index } = from.log.groupAt(from.log.lastIndex);
      // One whose removal may still be taken back may be needed by the others (thesis 4.2.2); its own vote counts for nothing.
      const goes = index > (from.lastStatus?.commitIndex ?? 0) && isVoter(from.log.groupAt(index - 1).group, from.id);
      if (!isVoter(group, from.id) && !goes) {
        this.#scene.violate('ES', `${from.id} campaigns in term ${message.term} and is no voter of ${nameOf(group)}`);
      }
    }
    if (message.kind !== 'voteResponse' || !message.granted) return;
    this.#vote(from.id, message.term, to, 'granted a vote');
    const key = `${to}/${message.term}`;
    const voters = this.#granted.get(key) ?? new Set();
    this.#granted.set(key, voters.add(from.id));
  }

  afterEvent(member: SimMember, status: RaftStatus, before: RaftStatus | null): void {
    if (status.role !== 'leader' || (before?.role === 'leader' && before.term === status.term)) return;
    const other = this.#leaders.get(status.term);
    if (other !== undefined && other !== member.id) {
      this.#scene.violate('ES', `${member.id} leads term ${status.term}, which ${other} led already`);
    }
    if (other === member.id) this.#scene.violate('ES', `${member.id} became leader of term ${status.term} twice`);
    this.#leaders.set(status.term, member.id);
    const granted = this.#granted.get(`${member.id}/${status.term}`);
    const { group } = member.log;
    if (!decides(group, (voter) => voter === member.id || granted?.has(voter as MemberId) === true)) {
      const names = [member.id, ...(granted ?? [])].sort().join(' ');
      this.#scene.violate(
        'ES',
        `${member.id} leads term ${status.term} of ${nameOf(group)} with the votes of ${names}`,
      );
    }
  }

  booted(member: SimMember): void {
    for (const [term, candidate] of member.durable.votes) {
      this.#vote(member.id, term, candidate as MemberId, 'has on its disk a vote');
    }
  }

  leaderOf(term: number): MemberId | null {
    return this.#leaders.get(term) ?? null;
  }

  #vote(voter: MemberId, term: number, candidate: MemberId, how: string): void {
    const key = `${voter}/${term}`;
    const earlier = this.#votes.get(key);
    if (earlier !== undefined && earlier !== candidate) {
      this.#scene.violate('ES', `${voter} ${how} in term ${term} for ${candidate}, but voted for ${earlier} before`);
    }
    this.#votes.set(key, candidate);
  }
}
