/**
 * ES, election safety (Raft paper, figure 3): at most one leader for each term; one vote for each (member, term),
 * over all lives of the member; a leader has the votes of a majority of the configuration that its log ends with (of both, if
 * that is joint), and so many of them from members with a whole log that every majority has one of them; only voters
 * campaign, and those whose removal is not certain yet.
 */
import type { Envelope } from '../../../src/node/types.ts';
import type { RaftStatus } from '../../../src/raft/types.ts';
import type { MemberId } from '../../../src/types/ids.ts';
import { elects, isVoter, nameOf } from '../cluster/quorum.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle, Scene } from './oracle.ts';

export class ElectionSafety implements Oracle {
  readonly id = 'ES';
  readonly #scene: Scene;
  readonly #leaders = new Map<number, MemberId>();
  /** By `member/term`. */
  readonly #votes = new Map<string, string>();
  /** Members that gave a vote, by `candidate/term`, and whether they had their whole log. */
  readonly #given = new Map<string, Map<string, boolean>>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  send(from: SimMember, to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    if (message.kind === 'voteRequest') {
      this.#vote(from.id, message.term, from.id, 'campaigned');
      const { group, index } = from.log.groupAt(from.log.lastIndex);
      // What it asked for while its vote was on the way to the disk may leave when it follows somebody already: no answer counts.
      const status = from.status();
      const stands = status?.role === 'candidate' && status.term === message.term;
      // One whose removal may still be taken back may be needed by the others (thesis 4.2.2); its own vote counts for nothing.
      const goes = index > (from.lastStatus?.commitIndex ?? 0) && isVoter(from.log.groupAt(index - 1).group, from.id);
      if (stands && !isVoter(group, from.id) && !goes) {
        this.#scene.violate('ES', `${from.id} campaigns in term ${message.term} and is no voter of ${nameOf(group)}`);
      }
    }
    if (message.kind !== 'voteResponse' || !(message.granted || message.blank === true)) return;
    this.#vote(from.id, message.term, to, 'gave a vote');
    const key = `${to}/${message.term}`;
    const given = this.#given.get(key) ?? new Map<string, boolean>();
    this.#given.set(key, given.set(from.id, given.get(from.id) === true || message.granted));
  }

  afterEvent(member: SimMember, status: RaftStatus, before: RaftStatus | null): void {
    if (status.role !== 'leader' || (before?.role === 'leader' && before.term === status.term)) return;
    const other = this.#leaders.get(status.term);
    if (other !== undefined && other !== member.id) {
      this.#scene.violate('ES', `${member.id} leads term ${status.term}, which ${other} led already`);
    }
    if (other === member.id) this.#scene.violate('ES', `${member.id} became leader of term ${status.term} twice`);
    this.#leaders.set(status.term, member.id);
    const given = this.#given.get(`${member.id}/${status.term}`) ?? new Map<string, boolean>();
    const { group } = member.log;
    const granted = (voter: string): boolean => voter === member.id || given.get(voter) === true;
    if (!elects(group, granted, (voter) => given.has(voter))) {
      const names = [member.id, ...[...given].map(([voter, whole]) => (whole ? voter : `${voter} (blank)`))]
        .sort()
        .join(' ');
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
