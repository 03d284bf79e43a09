/** A cluster under random scheduling and faults, checked after every action by `oracles.ts`. One seed reproduces everything. */
import type { Random } from '../../src/ports/random.ts';
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { Effect, Message, RaftLimits } from '../../src/raft/types.ts';
import { assert, must } from '../../src/types/assert.ts';
import { type MemberId, memberId } from '../../src/types/ids.ts';
import { configuration, type Image, payload, seededRandom, TestMember, TICK_MS } from './cluster.ts';
import { Oracles } from './oracles.ts';

/** Small, so that every limit is met often. */
const TIGHT_LIMITS: RaftLimits = {
  appendBytesMax: 24,
  appendEntriesMax: 3,
  inflightMessagesMax: 2,
  inflightBytesMax: 40,
  uncommittedBytesMax: 1500,
  cacheBytesMax: 400,
  readsMax: 5,
};
const ELECTION_TICKS = 8;
const HEARTBEAT_TICKS = 2;
/** Clocks drift by up to 5 %: 36 ms on the slowest are less than the 40 ms that four whole ticks take on the fastest. */
const LEASE_TICKS = 5;
const LEASE_MS = 36;
const DRIFT_PERCENT = 5;
const NETWORK_MAX = 300;

type ReadLog = Extract<Effect, { kind: 'readLog' }>;

/** An image on its way. */
interface Transfer {
  readonly from: TestMember;
  readonly to: TestMember;
  readonly term: number;
  readonly image: Image;
}

export interface Storyline {
  /** Voters and learners come and go. */
  readonly changes: boolean;
  /** Logs are cut, so that followers need images. */
  readonly compaction: boolean;
  /** One disk at a time loses a part of the log, or all of it. */
  readonly losses: boolean;
}

export class RandomCluster {
  readonly #random: Random;
  readonly #members: TestMember[];
  #network: Message[] = [];
  #reads: { member: TestMember; effect: ReadLog }[] = [];
  /** `from->to` links that lose everything. */
  readonly #cut = new Set<string>();
  #faults = true;
  /** Its clock loses most ticks. */
  #slow: TestMember | undefined;
  #nextId = 1;
  #nowMs = 0;
  #transfers: Transfer[] = [];
  /** Sent before: networks and processes may repeat them at any time. */
  #oldTransfers: Transfer[] = [];
  readonly #oracles: Oracles;
  readonly #story: Storyline;
  /** What every member did, for `checkTrace`. */
  readonly traces = new Map<MemberId, TraceEvent[]>();

  constructor(seed: number, members: number, story: Storyline) {
    this.#random = seededRandom(seed);
    this.#story = story;
    const names = Array.from({ length: members }, (_, at) => `m${at + 1}`);
    const learners = members > 1 && this.#chance(30) ? ['z1'] : [];
    const founders = configuration(names, learners);
    const waiting = story.changes ? ['w1', 'w2'] : [];
    this.#members = [...names, ...learners, ...waiting].map((name) => {
      const drift = 1 + (this.#random.below(2 * DRIFT_PERCENT + 1) - DRIFT_PERCENT) / 100;
      const offset = 1000 + this.#random.below(100_000);
      return new TestMember({
        id: memberId(name),
        configuration: waiting.includes(name) ? configuration([]) : founders,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        leaseTicks: LEASE_TICKS,
        leaseMs: LEASE_MS,
        limits: TIGHT_LIMITS,
        random: this.#random,
        nowMs: () => offset + this.#nowMs * drift,
        onEffect: (member, effect) => this.#onEffect(member, effect),
        onTrace: (member, event) => {
          this.traces.get(member.id)?.push(event);
          this.#oracles.onTrace(member, event);
        },
      });
    });
    this.#oracles = new Oracles(this.#members);
    for (const member of this.#members) {
      this.traces.set(member.id, []);
      member.start();
    }
  }

  get committedCommands(): number {
    return this.#oracles.committedCommands;
  }
  get readsAnswered(): number {
    return this.#oracles.readsAnswered;
  }
  get configurationsCommitted(): number {
    return this.#oracles.configurationsCommitted;
  }

  run(actions: number): void {
    for (let at = 0; at < actions; at++) {
      this.#act();
      if (at % 16 === 0) this.#oracles.checkLogs();
    }
  }

  /** Faults stop: within a bounded number of election timeouts everything proposed converges, and no read hangs. */
  heal(): void {
    this.#faults = false;
    this.#cut.clear();
    for (const member of this.#members) {
      if (!member.running) member.start();
      member.step({ kind: 'storageFull', full: false });
    }
    for (let round = 0; round < 40 * ELECTION_TICKS && !this.#leader(); round++) this.#fairRound();
    assert(this.#leader() !== undefined, `LV: a leader is elected: ${this.describe()}`);
    const before = this.committedCommands;
    for (let round = 0; round < 4 * ELECTION_TICKS; round++) this.#fairRound();
    const leader = must(this.#leader(), 'LV: the leader stays');
    this.#propose(leader, 5);
    for (let round = 0; round < 60 * ELECTION_TICKS && !this.#converged(); round++) this.#fairRound();
    assert(this.committedCommands >= before + 5, 'LV: a proposal to a healthy leader commits');
    assert(this.#converged(), `LV: every member applies everything: ${this.describe()}`);
    const { configuration: last } = leader.raft.status();
    assert(last.votersOutgoing.length === 0, 'LV: a joint configuration is left by itself');
    for (const member of this.#members) this.#read(member);
    for (let round = 0; round < 6 * ELECTION_TICKS; round++) this.#fairRound();
    assert(this.#oracles.idle, 'LV: no read hangs, and every proposal is answered');
    for (const member of this.#inConfiguration()) assert(!member.disk.recovering, 'LV: recovery ends');
    this.#oracles.checkLogs();
  }

  #leader(): TestMember | undefined {
    const leaders = this.#members.filter((member) => member.running && member.raft.role === 'leader');
    return leaders.sort((left, right) => right.raft.term - left.raft.term)[0];
  }

  /** What everybody holds, for the message of a failure. */
  describe(): string {
    return this.#members.map((member) => (member.running ? JSON.stringify(member.raft.status()) : 'down')).join('\n');
  }

  /** Those that the leader counts or sends its log to. */
  #inConfiguration(): readonly TestMember[] {
    const { voters, learners } = must(this.#leader(), 'leader').raft.status().configuration;
    return this.#members.filter(({ id }) => voters.includes(id) || learners.includes(id));
  }

  /** One of those who believe they lead, as a rule; they may be several, of different terms. */
  #likelyLeader<T extends TestMember | undefined>(otherwise: T): TestMember | T {
    const leaders = this.#members.filter((member) => member.running && member.raft.role === 'leader');
    return leaders.length > 0 && this.#chance(70) ? this.#pick(leaders) : otherwise;
  }

  #converged(): boolean {
    const leader = this.#leader();
    if (leader === undefined) return false;
    const { lastIndex, configuration: current } = leader.raft.status();
    if (current.votersOutgoing.length > 0) return false;
    return this.#inConfiguration().every((member) => member.applied.length === lastIndex);
  }

  #chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  #pick<T>(from: readonly T[]): T {
    return must(from[this.#random.below(from.length)], 'something to pick');
  }

  #fairRound(): void {
    for (let turn = 0; turn < 4; turn++) {
      const batch = this.#network;
      this.#network = [];
      for (const message of batch) this.#deliver(message);
      for (const member of this.#members) member.persist(member.pending.length);
      while (this.#reads.length > 0) this.#answerReadLog(0);
      for (const transfer of this.#transfers.splice(0)) {
        this.#install(transfer);
        transfer.to.persist(transfer.to.pending.length);
        transfer.from.step({ kind: 'snapshotEnded', to: transfer.to.id, installed: true });
      }
    }
    this.#nowMs += TICK_MS;
    for (const member of this.#members) member.tick();
  }

  #act(): void {
    const dice = this.#random.below(1000);
    const member = this.#pick(this.#members);
    if (dice < 430) this.#deliverOne();
    else if (dice < 560) this.#tick();
    else if (dice < 750) this.#persist(member);
    else if (dice < 850) this.#propose(this.#likelyLeader(member), 1 + this.#random.below(4));
    else if (dice < 900) this.#read(this.#likelyLeader(member));
    else if (dice < 930) this.#drop();
    else if (dice < 950) this.#duplicate();
    else if (dice < 962) this.#crashOrRestart(member);
    else if (dice < 967) this.#partition();
    else if (dice < 972) this.#cut.clear();
    else if (dice < 990) this.#step(member, { kind: 'transferLeadership', to: this.#pick(this.#members).id });
    else this.#step(member, { kind: 'unreachable', peer: this.#suspect(member) });
    if (this.#random.below(1000) < 60) this.#actMore(this.#pick(this.#members));
    if (this.#transfers.length > 0 && this.#chance(20)) this.#continueTransfer();
    if (this.#reads.length > 0 && this.#chance(30)) this.#answerReadLog(this.#random.below(this.#reads.length));
  }

  /** What depends on the story. */
  #actMore(member: TestMember): void {
    const { changes, compaction, losses } = this.#story;
    const dice = this.#random.below(100);
    if (dice < 40) {
      if (changes) this.#changeConfiguration(this.#likelyLeader(member));
    } else if (dice < 70) {
      if (compaction && member.running) member.compact(this.#random.below(member.applied.length + 1));
    } else if (dice < 80) {
      this.#step(member, { kind: 'storageFull', full: this.#chance(30) });
    } else if (dice < 85) {
      if (this.#oldTransfers.length > 0) this.#install(this.#pick(this.#oldTransfers));
    } else if (losses) this.#lose(member);
  }

  #suspect(member: TestMember): MemberId {
    const leader = member.running && this.#chance(50) ? member.raft.leader : null;
    return leader ?? this.#pick(this.#members).id;
  }

  #changeConfiguration(member: TestMember): void {
    if (!member.running) return;
    // Half of the time most of the members; with losses, always enough that one may be away.
    const percent = this.#chance(50) ? 75 : 40;
    const voters = this.#members.filter(() => this.#chance(percent)).map(({ id }) => id);
    if (voters.length < (this.#story.losses ? 3 : 1)) return;
    const learners = this.#members.map(({ id }) => id).filter((id) => !voters.includes(id) && this.#chance(30));
    const proposalId = this.#nextId++;
    this.#oracles.proposed(proposalId);
    member.step({ kind: 'changeConfiguration', proposalId, voters, learners });
  }

  /** A disk loses a part of its log, or all and the state with it, while no other one has. */
  #lose(member: TestMember): void {
    if (this.#members.some(({ disk }) => disk.recovering)) return;
    if (member.running) this.#crash(member);
    this.#oracles.losing(member);
    if (this.#chance(30)) member.loseEverything();
    else {
      // The state is durable up to the base at least.
      const kept = Math.max(member.applied.length, member.disk.base);
      member.loseLog(kept + this.#random.below(member.disk.entries.length - kept + 1));
    }
    member.start();
  }

  #step(member: TestMember, input: Parameters<TestMember['step']>[0]): void {
    if (member.running) member.step(input);
  }

  #tick(): void {
    // Mostly together, sometimes one clock alone; the clock of a cut off leader may be slow.
    const some = this.#chance(70) ? this.#members : [this.#pick(this.#members)];
    this.#nowMs += TICK_MS;
    for (const member of some) {
      if (member === this.#slow && this.#chance(80)) continue;
      if (member.running) member.tick();
    }
  }

  #persist(member: TestMember): void {
    if (member.running && member.pending.length > 0) member.persist(1 + this.#random.below(member.pending.length));
  }

  #deliverOne(): void {
    for (let turn = 0; turn < 3 && this.#network.length > 0; turn++) {
      // Oldest first as a rule, any other now and then.
      const at = this.#chance(85) ? 0 : this.#random.below(this.#network.length);
      const [message] = this.#network.splice(at, 1);
      this.#deliver(must(message, 'message'));
    }
  }

  #deliver(message: Message): void {
    if (this.#faults && this.#cut.has(`${message.from}->${message.to}`)) return;
    const member = this.#members.find(({ id }) => id === message.to);
    if (member !== undefined) this.#step(member, { kind: 'receive', message });
  }

  #drop(): void {
    if (this.#network.length > 0) this.#network.splice(this.#random.below(this.#network.length), 1);
  }

  #duplicate(): void {
    if (this.#network.length > 0) this.#network.push(this.#pick(this.#network));
  }

  #crashOrRestart(member: TestMember): void {
    if (member.running) {
      this.#crash(member);
      if (this.#chance(30)) return;
    }
    // The state machine may have kept less than it had applied, never more.
    member.start(this.#chance(50) ? member.applied.length : this.#random.below(member.applied.length + 1));
  }

  #crash(member: TestMember): void {
    // A write that was on its way may have reached the disk although nobody was told.
    if (member.pending.length > 0 && this.#chance(50))
      member.writeSilently(1 + this.#random.below(member.pending.length));
    member.crash();
    this.#reads = this.#reads.filter((read) => read.member !== member);
    this.#transfers = this.#transfers.filter(({ from }) => from !== member);
    this.#oracles.crashed(member.id);
  }

  #partition(): void {
    this.#cut.clear();
    // Often just the leader: it must find out by itself that it is none any more.
    const leader = this.#likelyLeader(undefined);
    this.#slow = this.#chance(50) ? leader : undefined;
    const side = new Set(leader ? [leader.id] : this.#members.filter(() => this.#chance(40)).map(({ id }) => id));
    const oneWay = this.#chance(30);
    for (const from of this.#members) {
      for (const to of this.#members) {
        if (side.has(from.id) && !side.has(to.id)) this.#cut.add(`${from.id}->${to.id}`);
        if (!oneWay && !side.has(from.id) && side.has(to.id)) this.#cut.add(`${from.id}->${to.id}`);
      }
    }
  }

  #propose(member: TestMember, count: number): void {
    if (!member.running) return;
    const proposals = Array.from({ length: count }, () => {
      const proposalId = this.#nextId++;
      this.#oracles.proposed(proposalId);
      return { proposalId, payload: payload(`p${proposalId}`) };
    });
    member.step({ kind: 'propose', proposals });
  }

  #read(member: TestMember): void {
    if (!member.running) return;
    const requestId = this.#nextId++;
    this.#oracles.readStarted(requestId, member.id);
    member.read(requestId, this.#chance(50));
  }

  #answerReadLog(at: number): void {
    const [read] = this.#reads.splice(at, 1);
    const { member, effect } = must(read, 'read');
    const entries = member.readDisk(effect.from, effect.entriesMax, effect.bytesMax);
    this.#step(member, { kind: 'logRead', to: effect.to, entries: this.#faults && this.#chance(10) ? [] : entries });
  }

  /** One image arrives, or is given up; the leader hears so, now and then wrongly. */
  #continueTransfer(): void {
    const [transfer] = this.#transfers.splice(this.#random.below(this.#transfers.length), 1);
    const { from, to } = must(transfer, 'transfer');
    const arrives = this.#chance(70);
    if (arrives) this.#install(must(transfer, 'transfer'));
    if (this.#chance(50) && to.running) to.persist(to.pending.length);
    this.#step(from, { kind: 'snapshotEnded', to: to.id, installed: this.#chance(80) ? arrives : !arrives });
  }

  #install({ from, to, term, image }: Transfer): void {
    if (!to.running || (this.#faults && this.#cut.has(`${from.id}->${to.id}`))) return;
    to.install(from.id, term, image);
  }

  #onEffect(member: TestMember, effect: Effect): void {
    if (effect.kind === 'send') {
      this.#oracles.onSend(member, effect.message);
      if (this.#network.length < NETWORK_MAX) this.#network.push(effect.message);
      return;
    }
    this.#oracles.onEffect(member, effect);
    if (effect.kind === 'readLog') this.#reads.push({ member, effect });
    if (effect.kind === 'sendSnapshot') {
      const to = must(
        this.#members.find(({ id }) => id === effect.to),
        'member',
      );
      const transfer = { from: member, to, term: member.raft.term, image: member.image() };
      this.#transfers.push(transfer);
      this.#oldTransfers = [...this.#oldTransfers.slice(-5), transfer];
    }
  }
}
