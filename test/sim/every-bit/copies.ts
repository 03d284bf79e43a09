/**
 * Members that are started on copies of the prepared disks, and what must never come out of them. It knows what is on those
 * disks; the oracles of the big simulator would have to be told of a life that they have not seen.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Notice } from '../../../src/node/options.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { Entry, SnapshotMark } from '../../../src/raft/types.ts';
import { DATA_STREAM, type MemberId } from '../../../src/types/ids.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import { NO_WORKS, type Works } from '../cluster/leader-works.ts';
import { type MemberEvents, type Process, SimMember } from '../cluster/sim-member.ts';
import { type Tag, tagOf } from '../cluster/tracked-log.ts';
import type { Note } from '../kernel/journal.ts';
import { Prng } from '../kernel/prng.ts';
import { describe, World } from '../kernel/world.ts';
import { SimWallClock } from '../ports/clock.ts';
import { SimNetwork } from '../ports/network.ts';
import type { StepKind } from '../ports/steps.ts';
import { EVERY_BIT_OPTIONS } from './options.ts';
import type { Prepared } from './prepare.ts';

export class Copies implements MemberEvents {
  readonly world: World;
  readonly network: SimNetwork;
  readonly members: readonly SimMember[];
  /** Who did not start, and why. */
  readonly refused = new Map<SimMember, Error>();
  /** Who ended after it had started, and why. */
  readonly stopped = new Map<SimMember, Error>();
  /** Who began with less than it had. */
  readonly recovered = new Set<SimMember>();
  readonly #prepared: Prepared;
  readonly #damaged: ReadonlySet<number>;
  readonly #hashes = new Map<number, string>();
  readonly #applied = new Map<number, Tag>();

  /** `damaged`: positions of the members whose disks are about to be damaged. */
  constructor(prepared: Prepared, damaged: readonly number[], sink: ((note: Note) => void) | null) {
    this.#prepared = prepared;
    this.#damaged = new Set(damaged);
    this.#hashes.set(prepared.lastIndex, prepared.stateHash);
    this.world = new World(sink);
    this.network = new SimNetwork(this.world, new Prng(1, 2), EVERY_BIT_OPTIONS.network);
    this.network.onSend = (from, to, envelope) => this.#sent(from, to, envelope);
    const voters = prepared.members.map(({ id }) => id);
    this.members = voters.map((id, position) => this.#member(id, voters, position));
  }

  #member(id: MemberId, voters: readonly MemberId[], position: number): SimMember {
    const member: SimMember = new SimMember({
      world: this.world,
      prng: new Prng(1, 10 + position),
      diskPrng: new Prng(1, 20 + position),
      options: EVERY_BIT_OPTIONS,
      network: this.network,
      events: this,
      founding: { voters, votersOutgoing: [], learners: [] },
      featureLevelMax: 2,
      levels: (self) =>
        new Map(this.members.filter((other) => other !== self && other.running !== null).map((other) => [other.id, 2])),
      position,
      id,
      wall: new SimWallClock(this.world, 0),
    });
    const source = this.#prepared.members[position] as SimMember;
    member.disk.copyFrom(source.disk);
    member.store.copyFrom(source.store);
    return member;
  }

  /** True when these have applied the same, more than what was prepared, and nobody of them recovers. */
  isEqual(members: readonly SimMember[]): boolean {
    const first = members[0]?.status();
    if (first == null || first.appliedIndex <= this.#prepared.lastIndex) return false;
    for (const member of members) {
      const status = member.status();
      if (status === null || status.recovering || status.appliedIndex !== first.appliedIndex) return false;
    }
    const hashes = members.map((member) => member.running?.status(DATA_STREAM).stateHash);
    return hashes.every((hash) => hash !== undefined && hash === hashes[0]);
  }

  /** Says what a member's log lacks or has wrong of what was prepared; null: nothing. */
  lacks(member: SimMember): string | null {
    const { log } = member;
    const at = this.#prepared.tags.findIndex((tag, index) => !log.covers(index + 1, tag));
    return at < 0 ? null : `its log is not what it was at entry ${at + 1}`;
  }

  wrong(member: SimMember, message: string): void {
    this.world.violate('CO', `${member.id} ${message}`);
  }

  // ------------------------------------------------------------------------------------------ MemberEvents

  failed(member: SimMember, process: Process, error: unknown): void {
    const known = error instanceof Error ? error : new Error(describe(error));
    (process.member === null ? this.refused : this.stopped).set(member, known);
    this.world.note(member.id, 'ends', 0, 0, 0, known.message);
    this.world.after(1, null, () => {
      if (member.process === process) member.kill();
    });
  }

  booted(member: SimMember): void {
    if (member.status()?.recovering === true) this.recovered.add(member);
    else if (this.lacks(member) !== null) this.wrong(member, `takes itself for sound, and ${this.lacks(member)}`);
  }

  loaded(member: SimMember, view: MachineView): void {
    if (view.appliedIndex > 0) this.#isHash(member, view.appliedIndex, view.stateHash());
  }

  restored(member: SimMember, mark: SnapshotMark, view: MachineView): void {
    this.#isHash(member, mark.index, view.stateHash());
  }

  applied(member: SimMember, entry: Entry, view: MachineView): void {
    const tag = tagOf(entry);
    const known = this.#prepared.tags[entry.index - 1] ?? this.#applied.get(entry.index);
    if (known === undefined) this.#applied.set(entry.index, tag);
    else if (known.term !== tag.term || known.hash !== tag.hash) this.wrong(member, `applies another ${entry.index}`);
    this.#isHash(member, entry.index, view.stateHash());
  }

  step<T>(_member: SimMember, _kind: StepKind, _detail: string, effect: () => T): T {
    return effect();
  }
  walAppend(_member: SimMember, _append: WalAppend): void {}
  walReset(): void {}
  noticed(member: SimMember, notice: Notice): void {
    this.world.note(member.id, notice.kind, 0, 0, 0, notice);
  }
  marked(): void {}
  works(): Works {
    return NO_WORKS;
  }

  #isHash(member: SimMember, index: number, hash: string): void {
    const known = this.#hashes.get(index);
    if (known === undefined && index > this.#prepared.lastIndex) this.#hashes.set(index, hash);
    else if (known !== hash) this.wrong(member, `has another state after ${index}: ${hash}, not ${known}`);
  }

  /** With the vote of a member that lost what it acknowledged somebody without it could be elected; nobody votes in a term twice. */
  #sent(from: MemberId, to: MemberId, envelope: Envelope): void {
    if (envelope.kind !== 'raft') return;
    const { message } = envelope;
    this.world.note(from, message.kind, message.term, 0, 0, message);
    const member = this.members.find(({ id }) => id === from) as SimMember;
    if (!this.#damaged.has(member.position)) return;
    const granted = (message.kind === 'voteResponse' || message.kind === 'preVoteResponse') && message.granted;
    const blank = message.kind === 'voteResponse' && message.blank === true;
    if (!granted && !blank && message.kind !== 'voteRequest') return;
    const lacks = blank ? null : this.lacks(member);
    if (lacks !== null) this.wrong(member, `votes (${message.kind} to ${to}), and ${lacks}`);
    if (message.kind !== 'preVoteResponse' && message.term <= this.#prepared.term) {
      this.wrong(member, `votes in term ${message.term}, in which it voted before`);
    }
  }
}
