/**
 * A cluster under random scheduling and faults, checked after every action by oracles that look at disks, messages and
 * applied entries and never at the core's own reckoning. One seed reproduces everything.
 */
import type { Random } from '../../src/ports/random.ts';
import type { Effect, Entry, Message, RaftLimits } from '../../src/raft/types.ts';
import { assert, must } from '../../src/types/assert.ts';
import { type LogIndex, type MemberId, memberId } from '../../src/types/ids.ts';
import { configuration, payload, seededRandom, TestMember, textOf } from './cluster.ts';

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
const NETWORK_MAX = 300;

type ReadLog = Extract<Effect, { kind: 'readLog' }>;

export class RandomCluster {
  readonly #random: Random;
  readonly #members: TestMember[];
  readonly #voterCount: number;
  #network: Message[] = [];
  #reads: { member: TestMember; effect: ReadLog }[] = [];
  /** `from->to` links that lose everything. */
  readonly #cut = new Set<string>();
  #faults = true;
  /** Its clock loses most ticks. */
  #slow: TestMember | undefined;
  #nextId = 1;
  // What the oracles remember.
  readonly #leaderOfTerm = new Map<number, MemberId>();
  readonly #voteOf = new Map<string, MemberId>();
  readonly #ledger: { term: number; text: string }[] = [];
  readonly #openReads = new Map<number, { member: MemberId; committed: number }>();
  readonly #openProposals = new Set<number>();
  readsAnswered = 0;

  constructor(seed: number, members: number) {
    this.#random = seededRandom(seed);
    const names = Array.from({ length: members }, (_, at) => `m${at + 1}`);
    const learners = members > 1 && this.#chance(30) ? ['z1'] : [];
    this.#voterCount = members;
    this.#members = [...names, ...learners].map(
      (name) =>
        new TestMember({
          id: memberId(name),
          configuration: configuration(names, learners),
          electionTicks: ELECTION_TICKS,
          heartbeatTicks: HEARTBEAT_TICKS,
          limits: TIGHT_LIMITS,
          random: this.#random,
          onEffect: (member, effect) => this.#onEffect(member, effect),
        }),
    );
    for (const member of this.#members) member.start();
  }

  get committedCommands(): number {
    return this.#ledger.filter(({ text }) => text !== '-').length;
  }

  run(actions: number): void {
    for (let at = 0; at < actions; at++) {
      this.#act();
      if (at % 16 === 0) this.#checkLogs();
    }
  }

  /** Faults stop: within a bounded number of election timeouts everything proposed converges, and no read hangs. */
  heal(): void {
    this.#faults = false;
    this.#cut.clear();
    for (const member of this.#members) if (!member.running) member.start();
    for (let round = 0; round < 40 * ELECTION_TICKS && !this.#leader(); round++) this.#fairRound();
    assert(this.#leader() !== undefined, 'LV: a leader is elected');
    const before = this.committedCommands;
    for (let round = 0; round < 4 * ELECTION_TICKS; round++) this.#fairRound();
    const leader = must(this.#leader(), 'LV: the leader stays');
    this.#propose(leader, 5);
    for (let round = 0; round < 60 * ELECTION_TICKS && !this.#converged(); round++) this.#fairRound();
    assert(this.committedCommands >= before + 5, 'LV: a proposal to a healthy leader commits');
    assert(this.#converged(), 'LV: every member applies everything');
    for (const member of this.#members) this.#read(member);
    for (let round = 0; round < 6 * ELECTION_TICKS; round++) this.#fairRound();
    assert(this.#openReads.size === 0, 'LV: no read hangs');
    assert(this.#openProposals.size === 0, 'every proposal is answered');
    this.#checkLogs();
  }

  #leader(): TestMember | undefined {
    return this.#members.find((member) => member.running && member.raft.role === 'leader');
  }

  /** One of those who believe they lead, as a rule; they may be several, of different terms. */
  #likelyLeader<T extends TestMember | undefined>(otherwise: T): TestMember | T {
    const leaders = this.#members.filter((member) => member.running && member.raft.role === 'leader');
    return leaders.length > 0 && this.#chance(70) ? this.#pick(leaders) : otherwise;
  }

  #converged(): boolean {
    const { lastIndex } = must(this.#leader() ?? this.#members[0], 'member').raft.status();
    return this.#members.every((member) => member.applied.length === lastIndex);
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
    }
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
    else this.#step(member, { kind: 'unreachable', peer: this.#pick(this.#members).id });
    if (this.#reads.length > 0 && this.#chance(30)) this.#answerReadLog(this.#random.below(this.#reads.length));
  }

  #step(member: TestMember, input: Parameters<TestMember['step']>[0]): void {
    if (member.running) member.step(input);
  }

  #tick(): void {
    // Mostly together, sometimes one clock alone; the clock of a cut off leader may be slow.
    const some = this.#chance(70) ? this.#members : [this.#pick(this.#members)];
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
      // A write that was on its way may have reached the disk although nobody was told.
      if (member.pending.length > 0 && this.#chance(50))
        member.writeSilently(1 + this.#random.below(member.pending.length));
      member.crash();
      this.#reads = this.#reads.filter((read) => read.member !== member);
      for (const [id, read] of this.#openReads) if (read.member === member.id) this.#openReads.delete(id);
      if (this.#chance(30)) return;
    }
    // The state machine may have kept less than it had applied, never more.
    member.start(this.#chance(50) ? member.applied.length : this.#random.below(member.applied.length + 1));
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
      this.#openProposals.add(proposalId);
      return { proposalId, payload: payload(`p${proposalId}`) };
    });
    member.step({ kind: 'propose', proposals });
  }

  #read(member: TestMember): void {
    if (!member.running) return;
    const requestId = this.#nextId++;
    this.#openReads.set(requestId, { member: member.id, committed: this.#ledger.length });
    member.read(requestId);
  }

  #answerReadLog(at: number): void {
    const [read] = this.#reads.splice(at, 1);
    const { member, effect } = must(read, 'read');
    const entries = member.readDisk(effect.from, effect.entriesMax, effect.bytesMax);
    this.#step(member, { kind: 'logRead', to: effect.to, entries: this.#faults && this.#chance(10) ? [] : entries });
  }

  // ------------------------------------------------------------------------------------------ oracles

  #onEffect(member: TestMember, effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        this.#onSend(member, effect.message);
        break;
      case 'commit':
        this.#onCommit(member, effect.index);
        break;
      case 'readLog':
        assert(effect.from <= member.disk.entries.length, 'only durable entries are read back');
        this.#reads.push({ member, effect });
        break;
      case 'roleChanged':
        if (effect.role === 'leader') this.#onLeader(member, effect.term);
        break;
      case 'proposalAppended':
      case 'proposalRefused':
        assert(this.#openProposals.delete(effect.proposalId), 'a proposal is answered once');
        break;
      case 'readReady': {
        const read = must(this.#openReads.get(effect.requestId), 'a read is answered once');
        assert(effect.index >= read.committed, `LZ: read at ${effect.index}, committed before it ${read.committed}`);
        this.#openReads.delete(effect.requestId);
        this.readsAnswered++;
        break;
      }
      case 'readRefused':
        assert(this.#openReads.delete(effect.requestId), 'a read is answered once');
        break;
      case 'persist':
      case 'transferEnded':
      case 'restore':
      case 'snapshotRefused':
      case 'sendSnapshot':
      case 'configurationChanged':
      case 'recovered':
      case 'recoveryImpossible':
        break;
      default:
        effect satisfies never;
    }
  }

  /** DG and WV: what leaves is backed by this disk, now; appends come from the term's leader. */
  #onSend(member: TestMember, message: Message): void {
    const { hardState, entries } = member.disk;
    if (message.kind === 'voteResponse' && message.granted) {
      assert(hardState.term === message.term && hardState.votedFor === message.to, 'DG: a granted vote is durable');
    }
    if (message.kind === 'voteRequest') {
      assert(hardState.term === message.term && hardState.votedFor === member.id, 'DG: the own vote is durable');
      // One that has become a follower meanwhile may have lost entries to the leader of the term; its votes count no more.
      const holds = entries.length >= message.lastLogIndex || member.raft.role !== 'candidate';
      assert(holds, 'DG: the log of a candidate is durable');
    }
    if (message.kind === 'appendResponse' && message.outcome.kind === 'accepted') {
      const { matchIndex } = message.outcome;
      assert(hardState.term >= message.term, 'DG: the term of an acknowledgement is durable');
      assert(entries.length >= matchIndex, 'DG: acknowledged entries are durable');
      for (let index = 1; index <= matchIndex; index++) {
        const entry = must(entries[index - 1], 'entry');
        assert(member.raft.termAt(entry.index) === entry.term, 'DG: what is durable is what was acknowledged');
      }
    }
    if (message.kind === 'appendRequest') {
      assert(this.#leaderOfTerm.get(message.term) === member.id, 'WV: appends come from the leader of the term');
    }
    if (this.#network.length < NETWORK_MAX) this.#network.push(message);
  }

  /** ES, and leader completeness. */
  #onLeader(member: TestMember, term: number): void {
    assert(!this.#leaderOfTerm.has(term), `ES: ${this.#leaderOfTerm.get(term)} and ${member.id} lead term ${term}`);
    assert(member.id !== 'z1', 'ES: a learner leads');
    this.#leaderOfTerm.set(term, member.id);
    for (const [at, entry] of this.#ledger.entries()) {
      assert(
        member.raft.termAt((at + 1) as LogIndex) === entry.term,
        `CL: the leader of ${term} lacks entry ${at + 1}`,
      );
    }
  }

  /** CL and DG: what is committed stays, and a majority has it on disk when it is committed first. */
  #onCommit(member: TestMember, index: number): void {
    assert(member.disk.entries.length >= index, 'I6: what is applied is durable here');
    for (let at = this.#ledger.length + 1; at <= index; at++) {
      const entry = must(member.disk.entries[at - 1], 'committed entry');
      const holders = this.#members.filter(
        ({ id, disk }) => id !== 'z1' && disk.entries[at - 1]?.term === entry.term && id.length > 0,
      ).length;
      assert(holders >= Math.floor(this.#voterCount / 2) + 1, `DG: entry ${at} is committed with ${holders} copies`);
      this.#ledger.push({ term: entry.term, text: textOf(entry) });
    }
    for (let at = 0; at < index; at++) {
      const entry = must(member.disk.entries[at], 'committed entry');
      const committed = must(this.#ledger[at], 'ledger');
      assert(entry.term === committed.term && textOf(entry) === committed.text, `CL: entry ${at + 1} changed`);
    }
  }

  /** LM, one durable vote for each term, and applied prefixes of the ledger. */
  #checkLogs(): void {
    for (const member of this.#members) {
      const { term, votedFor } = member.disk.hardState;
      if (votedFor !== null) {
        const key = `${member.id}@${term}`;
        assert((this.#voteOf.get(key) ?? votedFor) === votedFor, `ES: ${key} voted twice`);
        this.#voteOf.set(key, votedFor);
      }
      for (const [at, entry] of member.applied.entries()) {
        assert(textOf(entry) === this.#ledger[at]?.text, `AH: ${member.id} applied another entry ${at + 1}`);
      }
    }
    const logs = this.#members.map((member) => member.memoryLog());
    for (const [at, left] of logs.entries()) for (const right of logs.slice(at + 1)) checkMatching(left, right);
  }
}

/** Raft paper, figure 3: where index and term agree, everything before agrees. */
function checkMatching(left: readonly Entry[], right: readonly Entry[]): void {
  let agree = false;
  for (let at = Math.min(left.length, right.length) - 1; at >= 0; at--) {
    const [mine, theirs] = [must(left[at], 'entry'), must(right[at], 'entry')];
    if (mine.term === theirs.term) agree = true;
    if (agree) assert(mine.term === theirs.term && textOf(mine) === textOf(theirs), `LM: logs differ at ${at + 1}`);
  }
}
