/** A whole cluster in one thread: members, wires, clients, trouble and oracles, wired together. */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { Entry } from '../../../src/raft/types.ts';
import { type MemberId, memberId } from '../../../src/types/ids.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import type { Note } from '../kernel/journal.ts';
import { Prng } from '../kernel/prng.ts';
import { describe, World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { ApplyHash } from '../oracles/apply-hash.ts';
import { CommittedLedger } from '../oracles/committed-ledger.ts';
import { DurabilityGate } from '../oracles/durability-gate.ts';
import { ElectionSafety } from '../oracles/election-safety.ts';
import { ExactlyOnce } from '../oracles/exactly-once.ts';
import { LinearizableReads } from '../oracles/linearizable-reads.ts';
import { LogMatching } from '../oracles/log-matching.ts';
import { Monotony } from '../oracles/monotony.ts';
import type { Oracle, Scene } from '../oracles/oracle.ts';
import { WatchOrder } from '../oracles/watch.ts';
import { Wire } from '../oracles/wire.ts';
import { SimWallClock } from '../ports/clock.ts';
import { SimNetwork } from '../ports/network.ts';
import { Board } from './board.ts';
import { Client } from './client.ts';
import { Nemesis } from './nemesis.ts';
import { type Answer, type Operation, Operations } from './operations.ts';
import { type MemberEvents, type Process, SimMember } from './sim-member.ts';
import type { Tag } from './tracked-log.ts';
import { Watcher } from './watcher.ts';

export class Cluster implements Scene, MemberEvents {
  readonly world: World;
  readonly options: SimOptions;
  readonly network: SimNetwork;
  readonly members: readonly SimMember[];
  readonly majority: number;
  readonly operations = new Operations();
  readonly board = new Board();
  readonly clients: readonly Client[];
  readonly watchers: readonly Watcher[];
  readonly nemesis: Nemesis;
  readonly ledger: CommittedLedger;
  /** Rare branches that the core took, by name. */
  readonly marks = new Map<string, number>();
  readonly #byId = new Map<MemberId, SimMember>();
  readonly #oracles: readonly Oracle[];
  readonly #exactlyOnce: ExactlyOnce;
  readonly #watchOrder: WatchOrder;
  readonly #prng: Prng;

  constructor(options: SimOptions, sink: ((note: Note) => void) | null) {
    this.options = options;
    this.world = new World(sink);
    const source = (stream: number): Prng => new Prng(options.seed, stream);
    this.#prng = source(1);
    this.network = new SimNetwork(this.world, source(2), options.network);
    this.network.onSend = (from, to, envelope) => this.#send(from, to, envelope);
    const voters = Array.from({ length: options.members }, (_, at) => memberId(`m${at + 1}`));
    this.majority = Math.floor(voters.length / 2) + 1;
    this.members = voters.map((id, position) => this.#member(voters, id, position, source));
    for (const member of this.members) this.#byId.set(member.id, member);
    this.nemesis = new Nemesis({
      world: this.world,
      prng: source(3),
      options: options.nemesis,
      electionUs: options.settings.electionTicks * options.settings.tickMs * 1000,
      network: this.network,
      members: this.members,
    });
    const elections = new ElectionSafety(this);
    this.ledger = new CommittedLedger(this);
    this.#exactlyOnce = new ExactlyOnce(this, this.operations);
    this.#watchOrder = new WatchOrder(this);
    this.#oracles = [
      elections,
      new LogMatching(this),
      new DurabilityGate(this, (term) => elections.leaderOf(term)),
      this.ledger,
      new ApplyHash(this),
      new Monotony(this),
      new Wire(this),
      this.#exactlyOnce,
      new LinearizableReads(this),
      this.#watchOrder,
    ];
    const clients = options.clients.count + options.clients.readers;
    this.clients = Array.from({ length: clients }, (_, at) => this.#client(at, source(100 + at)));
    const { watchers } = options.clients;
    this.watchers = Array.from({ length: watchers }, (_, at) => this.#watcher(`w${at + 1}`, source(200 + at)));
  }

  #member(voters: readonly MemberId[], id: MemberId, position: number, source: (stream: number) => Prng): SimMember {
    const prng = source(10 + position);
    const skew = this.options.clock.skewMaxMs;
    return new SimMember({
      world: this.world,
      prng,
      diskPrng: source(20 + position),
      options: this.options,
      network: this.network,
      events: this,
      voters,
      position,
      id,
      wall: new SimWallClock(this.world, prng.between(-skew, skew)),
    });
  }

  #client(at: number, prng: Prng): Client {
    return new Client({
      name: `c${at + 1}`,
      world: this.world,
      prng,
      options: this.options.clients,
      delayMaxUs: this.options.network.delayMaxUs,
      members: this.members,
      operations: this.operations,
      board: this.board,
      onlyReads: at >= this.options.clients.count,
      withSession: prng.chance(this.options.clients.sessionPermille),
      answered: (member, operation, answer) => this.#answered(member, operation, answer),
      settled: (operation) => this.#exactlyOnce.settled(operation),
    });
  }

  #watcher(name: string, prng: Prng): Watcher {
    const { electionTicks, tickMs } = this.options.settings;
    return new Watcher({
      name,
      world: this.world,
      prng,
      members: this.members,
      patienceUs: electionTicks * tickMs * 1000,
      delivered: (member, events) => this.#watchOrder.delivered(name, member, events),
      violate: (message) => this.violate('WT', message),
    });
  }

  // ------------------------------------------------------------------------------------------ life

  start(): void {
    for (const member of this.members) this.world.after(this.#prng.below(20_000), null, () => member.boot());
    for (const client of this.clients) {
      client.run().catch((error: unknown) => this.violate('CR', `client ${client.name}: ${describe(error)}`));
    }
    for (const watcher of this.watchers) watcher.start();
    this.nemesis.start();
  }

  /** All trouble ends: everybody runs, and can talk to everybody. */
  heal(maxUs: number): void {
    this.world.note('', 'heal', 0, 0, 0);
    this.nemesis.stop();
    this.network.heal(maxUs);
    this.board.ending = true;
    for (const member of this.members) {
      member.disk.heal(maxUs);
      member.pause(0);
      if (member.process === null) this.world.after(this.#prng.below(5_000), null, () => member.boot());
    }
  }

  /** To be called after every event. */
  check(): void {
    for (const member of this.members) {
      const { process } = member;
      if (process === null || !process.touched) continue;
      process.touched = false;
      const status = member.status();
      if (status === null) continue;
      const before = member.lastStatus;
      member.lastStatus = status;
      if (before !== null && before.role !== status.role) {
        this.world.note(member.id, status.role, status.term, status.lastIndex, status.commitIndex);
      }
      for (const oracle of this.#oracles) oracle.afterEvent?.(member, status, before);
    }
  }

  /** True when every watch has seen everything. */
  get watched(): boolean {
    return this.watchers.every((watcher) => this.#watchOrder.isComplete(watcher.name));
  }

  end(): void {
    for (const oracle of this.#oracles) oracle.end?.();
  }

  // ------------------------------------------------------------------------------------------ Scene

  get nowUs(): number {
    return this.world.nowUs;
  }

  member(id: MemberId): SimMember {
    const member = this.#byId.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  violate(oracle: string, message: string): void {
    this.world.violate(oracle, message);
  }

  // ------------------------------------------------------------------------------------------ MemberEvents

  walAppend(member: SimMember, append: WalAppend, tags: readonly Tag[]): void {
    const { entries, hardState } = append;
    const detail = { first: entries[0]?.index, count: entries.length, hardState };
    this.world.note(member.id, 'append', entries[0]?.index ?? 0, entries.length, hardState?.term ?? 0, detail);
    for (const oracle of this.#oracles) oracle.walAppend?.(member, append, tags);
  }

  applied(member: SimMember, entry: Entry, view: MachineView): void {
    const hash = view.stateHash();
    this.world.note(member.id, 'applied', entry.index, entry.term, 0);
    this.world.journal.mixText(hash);
    for (const oracle of this.#oracles) oracle.applied?.(member, entry, view, hash);
  }

  marked(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
  }

  booted(member: SimMember): void {
    for (const oracle of this.#oracles) oracle.booted?.(member);
  }

  /** Right if the disk gave up; the machine is then restarted. Anything else is a bug. */
  failed(member: SimMember, process: Process, error: unknown): void {
    if (!isDeviceError(error)) {
      this.violate('CR', `${member.id} cannot go on: ${describe(error)}`);
      return;
    }
    this.world.note(member.id, 'device failed', 0, 0, 0);
    this.world.after(this.#prng.below(2_000), process, () => {
      member.crash();
      this.world.after(this.#prng.below(50_000), null, () => member.boot());
    });
  }

  // ------------------------------------------------------------------------------------------ wires and answers

  #send(fromId: MemberId, to: MemberId, envelope: Envelope): void {
    const from = this.member(fromId);
    const raft = envelope.kind === 'raft' ? envelope.message : null;
    this.world.note(
      fromId,
      'sends',
      this.member(to).position,
      raft?.kind.length ?? 0,
      raft?.term ?? 0,
      raft ?? envelope,
    );
    for (const oracle of this.#oracles) oracle.send?.(from, to, envelope);
    if (raft?.kind !== 'appendRequest' || raft.entries.length === 0) return;
    const opensTerm = raft.entries.some((entry) => entry.kind === 'noop' && entry.term === raft.term);
    this.nemesis.appendLeaves(from, this.member(to), opensTerm);
  }

  #answered(member: SimMember, operation: Operation | null, answer: Answer): void {
    for (const oracle of this.#oracles) oracle.answered?.(member, operation, answer);
  }
}

function isDeviceError(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at.name === 'DiskError' && 'code' in at && at.code === 'io') return true;
  }
  return false;
}
