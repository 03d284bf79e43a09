/** A whole cluster in one thread: members, wires, clients, trouble and oracles, wired together. */
import type { MachineView } from '../../../src/machine/api.ts';
import type { Notice } from '../../../src/node/options.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { Entry, SnapshotMark } from '../../../src/raft/types.ts';
import { type MemberId, memberId } from '../../../src/types/ids.ts';
import type { WalAppend } from '../../../src/wal/types.ts';
import type { Note } from '../kernel/journal.ts';
import { Prng } from '../kernel/prng.ts';
import { describe, World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import { ApplyHash } from '../oracles/apply-hash.ts';
import { CommittedLedger } from '../oracles/committed-ledger.ts';
import { ConfigurationQuorums } from '../oracles/configuration-quorums.ts';
import { Corruption } from '../oracles/corruption.ts';
import { DurabilityGate } from '../oracles/durability-gate.ts';
import { ElectionSafety } from '../oracles/election-safety.ts';
import { ExactlyOnce } from '../oracles/exactly-once.ts';
import { History } from '../oracles/history.ts';
import { Leases } from '../oracles/leases.ts';
import { LinearizableReads } from '../oracles/linearizable-reads.ts';
import { LogMatching } from '../oracles/log-matching.ts';
import { Monotony } from '../oracles/monotony.ts';
import type { Oracle, Scene } from '../oracles/oracle.ts';
import { StateEquality } from '../oracles/state-equality.ts';
import { WatchOrder } from '../oracles/watch.ts';
import { Wire } from '../oracles/wire.ts';
import { type SimClock, SimWallClock } from '../ports/clock.ts';
import { SimNetwork } from '../ports/network.ts';
import type { StepKind } from '../ports/steps.ts';
import type { AimedNemesis } from './aimed-nemesis.ts';
import { Board } from './board.ts';
import type { CallerDeps } from './caller.ts';
import { Client } from './client.ts';
import { leaveForGood } from './for-good.ts';
import { type Founding, foundingOf, levelsBeside, NOBODY } from './founding.ts';
import type { Works } from './leader-works.ts';
import type { Nemesis } from './nemesis.ts';
import { type Answer, type Operation, Operations } from './operations.ts';
import { Operator } from './operator.ts';
import type { Group } from './quorum.ts';
import { RecoveryCast } from './recovery-cast.ts';
import { makeRegisters, type Register, RegisterClient } from './register-client.ts';
import { type MemberEvents, type Process, SimMember } from './sim-member.ts';
import { isDeviceError } from './storage.ts';
import type { StorageNemesis } from './storage-nemesis.ts';
import type { Tag } from './tracked-log.ts';
import { makeTroubles } from './troubles.ts';
import { Watcher } from './watcher.ts';

export class Cluster implements Scene, MemberEvents {
  readonly world: World;
  readonly options: SimOptions;
  readonly network: SimNetwork;
  readonly members: SimMember[] = [];
  readonly firstGroup: Group;
  /** Those that clients ask: all that are or were in the configuration, and are wanted. */
  readonly reachable: SimMember[] = [];
  readonly operations = new Operations();
  readonly board = new Board();
  readonly clients: readonly Client[];
  readonly registerClients: readonly RegisterClient[];
  readonly operator: Operator;
  readonly recoveries: RecoveryCast;
  readonly watchers: readonly Watcher[];
  readonly nemesis: Nemesis;
  readonly aimed: AimedNemesis;
  readonly ledger: CommittedLedger;
  readonly linearizable: LinearizableReads;
  readonly storage: StorageNemesis;
  /** Rare branches that the core took, by name. */
  readonly marks = new Map<string, number>();
  readonly #byId = new Map<MemberId, SimMember>();
  readonly #oracles: readonly Oracle[];
  /** Those of the oracles that look at every event, and at every envelope. */
  readonly #onEvent: readonly Oracle[];
  readonly #onSend: readonly Oracle[];
  readonly #exactlyOnce: ExactlyOnce;
  readonly #watchOrder: WatchOrder;
  readonly #prng: Prng;
  readonly #source: (stream: number) => Prng;

  constructor(options: SimOptions, sink: ((note: Note) => void) | null) {
    this.options = options;
    this.world = new World(sink);
    const source = (stream: number): Prng => new Prng(options.seed, stream);
    this.#prng = source(1);
    this.network = new SimNetwork(this.world, source(2), options.network);
    this.network.onSend = (from, to, envelope) => this.#send(from, to, envelope);
    const founding = foundingOf(options);
    this.firstGroup = founding;
    this.#source = source;
    const old = source(4);
    for (const id of [...founding.voters, ...founding.learners]) {
      this.reachable.push(
        this.#member(id, founding, old.chance(options.membership.oldReleasePermille) ? 1 : this.#level),
      );
    }
    const troubles = makeTroubles(this, source);
    this.nemesis = troubles.nemesis;
    this.aimed = troubles.aimed;
    this.storage = troubles.storage;
    const elections = new ElectionSafety(this);
    this.ledger = new CommittedLedger(this);
    this.linearizable = new LinearizableReads(this);
    this.#exactlyOnce = new ExactlyOnce(this, this.operations);
    this.#watchOrder = new WatchOrder(this);
    const callerDeps = this.#callerDeps.bind(this);
    this.recoveries = new RecoveryCast({ scene: this, world: this.world, options, source, callerDeps });
    this.#oracles = [
      elections,
      new LogMatching(this),
      new ConfigurationQuorums(this),
      new DurabilityGate(this, (term) => elections.leaderOf(term), this.ledger),
      this.ledger,
      new Corruption(this, this.ledger),
      new StateEquality(this, this.ledger),
      new ApplyHash(this),
      new Monotony(this),
      new Wire(this),
      this.#exactlyOnce,
      this.linearizable,
      this.#watchOrder,
      new History([new Leases(this)]),
      ...this.recoveries.oracles,
    ];
    this.#onEvent = this.#oracles.filter(({ afterEvent }) => afterEvent !== undefined);
    this.#onSend = this.#oracles.filter(({ send }) => send !== undefined);
    const clients = options.clients.count + options.clients.readers;
    this.clients = Array.from({ length: clients }, (_, at) => this.#client(at, source(100 + at)));
    const registers = makeRegisters(options.clients.registers);
    const sharing = options.clients.registerClients;
    this.registerClients = Array.from({ length: sharing }, (_, at) =>
      this.#registerClient(at, registers, source(300 + at)),
    );
    this.operator = new Operator(
      {
        ...this.#callerDeps('op', source(400)),
        membership: options.membership,
        makeMachine: () => this.makeMachine(),
      },
      founding,
    );
    const { watchers } = options.clients;
    this.watchers = Array.from({ length: watchers }, (_, at) => this.#watcher(`w${at + 1}`, source(200 + at)));
  }

  #member(id: MemberId, founding: Founding, featureLevelMax: number): SimMember {
    const position = this.members.length;
    const prng = this.#source(10 + 1000 * position);
    const skew = this.options.clock.skewMaxMs;
    const member = new SimMember({
      world: this.world,
      prng,
      diskPrng: this.#source(20 + 1000 * position),
      options: this.options,
      network: this.network,
      events: this,
      founding,
      featureLevelMax,
      levels: (self) => levelsBeside(self, this.members),
      position,
      id,
      wall: new SimWallClock(this.world, prng.between(-skew, skew)),
    });
    this.members.push(member);
    this.#byId.set(id, member);
    return member;
  }

  /** Feature level of the release. */
  get #level(): number {
    return this.options.recovery === undefined ? this.options.membership.releaseLevel : 3;
  }

  /** A machine that waits to be added. */
  makeMachine(): SimMember {
    const machine = this.#member(memberId(`m${this.members.length + 1}`), NOBODY, this.#level);
    this.reachable.push(machine);
    return machine;
  }

  #callerDeps(name: string, prng: Prng): CallerDeps {
    return {
      name,
      world: this.world,
      prng,
      options: this.options.clients,
      delayMaxUs: this.options.network.delayMaxUs,
      members: this.reachable,
      operations: this.operations,
      board: this.board,
      answered: (member, operation, answer) => this.#answered(member, operation, answer),
      settled: (operation) => this.#exactlyOnce.settled(operation),
    };
  }

  #client(at: number, prng: Prng): Client {
    return new Client({
      ...this.#callerDeps(`c${at + 1}`, prng),
      onlyReads: at >= this.options.clients.count,
      withSession: prng.chance(this.options.clients.sessionPermille),
    });
  }

  #registerClient(at: number, registers: readonly Register[], prng: Prng): RegisterClient {
    return new RegisterClient({
      ...this.#callerDeps(`r${at + 1}`, prng),
      registers,
      history: this.linearizable.history,
      withSession: prng.chance(this.options.clients.sessionPermille),
    });
  }

  #watcher(name: string, prng: Prng): Watcher {
    const { electionTicks, tickMs } = this.options.settings;
    return new Watcher({
      name,
      world: this.world,
      prng,
      members: () => this.members.filter(({ abandoned }) => !abandoned),
      patienceUs: electionTicks * tickMs * 1000,
      delivered: (member, events) => this.#watchOrder.delivered(name, member, events),
      violate: (message) => this.violate('WT', message),
    });
  }

  // ------------------------------------------------------------------------------------------ life

  start(): void {
    for (const member of this.members) this.world.after(this.#prng.below(20_000), null, () => member.boot());
    for (const client of [...this.clients, ...this.registerClients]) {
      client.run().catch((error: unknown) => this.violate('CR', `client ${client.name}: ${describe(error)}`));
    }
    for (const watcher of this.watchers) watcher.start();
    this.recoveries.start();
    if (this.options.membership.everyUs > 0) {
      this.operator.run().catch((error: unknown) => this.violate('CR', `operator: ${describe(error)}`));
    } else this.operator.idle = true;
    this.nemesis.start();
    this.storage.start();
  }

  /** All trouble ends: everybody runs, and can talk to everybody. */
  heal(maxUs: number): void {
    this.world.note('', 'heal', 0, 0, 0);
    this.nemesis.stop();
    this.aimed.stop();
    this.storage.stop();
    this.recoveries.heal();
    this.network.heal(maxUs);
    this.board.ending = true;
    leaveForGood(this, this.#source(11));
    for (const member of this.members) {
      if (member.abandoned) continue;
      member.disk.heal(maxUs);
      member.pause(0);
      if (member.process === null && !member.lost) this.world.after(this.#prng.below(5_000), null, () => member.boot());
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
      for (const oracle of this.#onEvent) oracle.afterEvent?.(member, status, before);
      this.storage.look(member, status);
    }
  }

  /** Every watch has seen everything. */
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

  /** Set by whoever counts the steps, or cuts the power at one. */
  onStep: (<T>(member: SimMember, kind: StepKind, detail: string, effect: () => T) => T) | null = null;

  step<T>(member: SimMember, kind: StepKind, detail: string, effect: () => T): T {
    return this.onStep === null ? effect() : this.onStep(member, kind, detail, effect);
  }

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

  loaded(member: SimMember, view: MachineView): void {
    for (const oracle of this.#oracles) oracle.loaded?.(member, view, view.stateHash());
  }

  walReset(member: SimMember, mark: SnapshotMark, keepEntries: boolean): void {
    this.world.note(member.id, 'reset', mark.index, mark.term, keepEntries ? 1 : 0);
    for (const oracle of this.#oracles) oracle.walReset?.(member, mark, keepEntries);
  }

  restored(member: SimMember, mark: SnapshotMark, view: MachineView): void {
    const hash = view.stateHash();
    this.world.note(member.id, 'restored', mark.index, mark.term, 0);
    this.world.journal.mixText(hash);
    for (const oracle of this.#oracles) oracle.restored?.(member, mark, view, hash);
    this.aimed.installed();
  }

  noticed(member: SimMember, notice: Notice): void {
    this.world.note(member.id, notice.kind, 0, 0, 0, notice);
    this.marked(notice.kind);
  }

  marked(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1);
  }

  booted(member: SimMember): void {
    for (const oracle of this.#oracles) oracle.booted?.(member);
  }

  works(member: SimMember, process: Process, clock: SimClock): Works {
    return this.recoveries.works(member, process, clock);
  }

  /** Right if the disk gave up; the machine is then restarted. Anything else is a bug. */
  failed(member: SimMember, process: Process, error: unknown): void {
    if (this.storage.explains(member, process, error)) return;
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
    const { position } = this.member(to);
    this.world.note(fromId, 'sends', position, raft?.kind.length ?? 0, raft?.term ?? 0, raft ?? envelope);
    for (const oracle of this.#onSend) oracle.send?.(from, to, envelope);
    this.aimed.leaves(from, this.member(to), envelope);
    if (raft?.kind !== 'appendRequest' || raft.entries.length === 0) return;
    const opensTerm = raft.entries.some((entry) => entry.kind === 'noop' && entry.term === raft.term);
    this.nemesis.appendLeaves(from, this.member(to), opensTerm);
  }

  #answered(member: SimMember, operation: Operation | null, answer: Answer): void {
    for (const oracle of this.#oracles) oracle.answered?.(member, operation, answer);
  }
}
