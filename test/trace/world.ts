/** Runs the commands of a scenario against a cluster in which nothing happens by itself. The language: README.md. */
import type { Effect, Message, RaftLimits } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { memberId, term } from '../../src/types/ids.ts';
import { configuration, entriesOfTerms, type Image, LIMITS, payload, TestMember } from '../raft/cluster.ts';
import { formatConfiguration, formatEffect, formatLog, formatMessage, formatStatus } from './format.ts';

const SETTLE_ROUNDS_MAX = 200;
const CAMPAIGN_TICKS_MAX = 100;

type ReadLog = Extract<Effect, { kind: 'readLog' }>;

interface Arguments {
  readonly words: readonly string[];
  readonly settings: ReadonlyMap<string, string>;
}

function ids(list: string | undefined): string[] {
  return (list ?? '').split(',').filter((name) => name !== '');
}

export class World {
  #members: TestMember[] = [];
  #network: Message[] = [];
  #readLogs: { member: TestMember; effect: ReadLog }[] = [];
  readonly #cut = new Set<string>();
  /** What each member's source of randomness gives next, and for ever. */
  readonly #draws = new Map<string, number>();
  #nextProposalId = 1;
  /** By the member that took them. */
  readonly #images = new Map<string, Image>();
  #lines: string[] = [];

  /** Runs one command and returns what happened. */
  run(command: string): readonly string[] {
    this.#lines = [];
    const [name = '', ...rest] = command.split(/\s+/);
    const settings = new Map<string, string>();
    const words: string[] = [];
    for (const word of rest) {
      const [key = '', value] = word.split('=');
      if (value === undefined) words.push(word);
      else settings.set(key, value);
    }
    const handler = this.#commands.get(name);
    if (handler === undefined) throw new Error(`unknown command: ${command}`);
    handler({ words, settings });
    return this.#lines.length > 0 ? this.#lines : ['nothing'];
  }

  readonly #commands = new Map<string, (args: Arguments) => void>([
    ['cluster', (args) => this.#cluster(args)],
    ['log', (args) => this.#setLog(args)],
    ['draw', ({ words }) => this.#quietly(() => this.#draws.set(this.#word(words, 0), Number(words[1])))],
    ['tick', (args) => this.#tick(args)],
    ['campaign', (args) => this.#campaign(args)],
    ['deliver', (args) => this.#deliver(args)],
    ['settle', (args) => this.#settle(args)],
    ['drop', (args) => this.#drop(args)],
    ['duplicate', (args) => this.#duplicate(args)],
    ['reverse', () => this.#quietly(() => this.#network.reverse())],
    ['queue', () => this.#lines.push(...this.#network.map(formatMessage))],
    ['cut', ({ words }) => this.#quietly(() => this.#cutOff(words))],
    ['heal', () => this.#quietly(() => this.#cut.clear())],
    ['persist', (args) => this.#persist(args)],
    ['propose', (args) => this.#propose(args)],
    ['read', ({ words }) => this.#member(words).read(Number(words[1]), words[2] === 'lease')],
    ['transfer', ({ words }) => this.#transfer(words)],
    ['unreachable', ({ words }) => this.#unreachable(words)],
    ['reconfigure', (args) => this.#reconfigure(args)],
    ['compact', ({ words }) => this.#member(words).compact(Number(words[1]))],
    ['image', ({ words }) => this.#takeImage(words)],
    ['install', ({ words }) => this.#install(words)],
    ['ended', ({ words }) => this.#transferOfImageEnded(words)],
    ['lose', ({ words }) => this.#quietly(() => this.#lose(words))],
    ['full', ({ words }) => this.#member(words).step({ kind: 'storageFull', full: words[1] !== 'no' })],
    ['stop', ({ words }) => this.#quietly(() => this.#member(words).stopFor(Number(words[1])))],
    ['readlog', (args) => this.#answerReadLog(args)],
    ['crash', ({ words }) => this.#quietly(() => this.#crash(words))],
    ['restart', (args) => this.#restart(args)],
    ['status', ({ words }) => this.#status(words)],
    ['logs', () => this.#logs()],
  ]);

  #quietly(action: () => void): void {
    action();
    this.#lines.push('ok');
  }

  #word(words: readonly string[], at: number): string {
    return must(words[at], `argument ${at + 1}`);
  }

  #member(words: readonly string[]): TestMember {
    const id = this.#word(words, 0);
    return must(
      this.#members.find((member) => member.id === id),
      `member ${id}`,
    );
  }

  #cluster({ words, settings }: Arguments): void {
    const count = Number(this.#word(words, 0));
    const names = Array.from({ length: count }, (_, at) => `${at + 1}`);
    const learners = ids(settings.get('learners'));
    const waiting = ids(settings.get('waiting'));
    const number = (key: string, otherwise: number): number => Number(settings.get(key) ?? otherwise);
    const limits: RaftLimits = {
      appendBytesMax: number('appendBytes', LIMITS.appendBytesMax),
      appendEntriesMax: number('appendEntries', LIMITS.appendEntriesMax),
      inflightMessagesMax: number('inflight', LIMITS.inflightMessagesMax),
      inflightBytesMax: number('inflightBytes', LIMITS.inflightBytesMax),
      uncommittedBytesMax: number('uncommitted', LIMITS.uncommittedBytesMax),
      cacheBytesMax: number('cache', LIMITS.cacheBytesMax),
      readsMax: number('reads', LIMITS.readsMax),
    };
    this.#members = [...names, ...learners, ...waiting].map(
      (name) =>
        new TestMember({
          id: memberId(name),
          configuration: waiting.includes(name) ? configuration([]) : configuration(names, learners),
          electionTicks: number('election', 10),
          heartbeatTicks: number('heartbeat', 3),
          leaseTicks: number('lease', 0),
          leaseMs: number('leaseMs', 0),
          limits,
          random: { below: (bound) => (this.#draws.get(name) ?? 0) % bound },
          onEffect: (member, effect) => this.#onEffect(member, effect),
        }),
    );
    this.#network = [];
    this.#readLogs = [];
    this.#images.clear();
    this.#cut.clear();
    this.#draws.clear();
    for (const member of this.#members) member.start();
    this.#lines.push('ok');
  }

  #onEffect(member: TestMember, effect: Effect): void {
    this.#lines.push(...formatEffect(member.id, effect).map((line) => `  ${line}`));
    if (effect.kind === 'readLog') this.#readLogs.push({ member, effect });
    if (effect.kind !== 'send') return;
    const { message } = effect;
    if (this.#cut.has(`${message.from}->${message.to}`)) this.#lines.push('    (lost)');
    else this.#network.push(message);
  }

  /** `log 2 1 1 3 term=4 vote=1 applied=1`: member 2 restarts on a disk with entries of these terms. */
  #setLog({ words, settings }: Arguments): void {
    const member = this.#member(words);
    const terms = words.slice(1).map(Number);
    const vote = settings.get('vote');
    member.crash();
    member.disk.entries = entriesOfTerms(terms);
    member.disk.hardState = {
      term: term(Number(settings.get('term') ?? terms[terms.length - 1] ?? 0)),
      votedFor: vote === undefined ? null : memberId(vote),
    };
    const applied = Number(settings.get('applied') ?? 0);
    member.applied = member.disk.entries.slice(0, applied);
    member.start();
    this.#lines.push('ok');
  }

  /** `tick 1 x5`, `tick all`. */
  #tick({ words }: Arguments): void {
    const times = words.find((word) => /^x\d+$/.test(word));
    const ids = words.filter((word) => word !== times);
    const members = ids[0] === 'all' ? this.#members : ids.map((id) => this.#member([id]));
    for (let turn = 0; turn < Number(times?.slice(1) ?? 1); turn++) {
      for (const member of members) if (member.running) member.tick();
    }
  }

  /** Ticks one member until its election timer fires. */
  #campaign({ words }: Arguments): void {
    const member = this.#member(words);
    const before = this.#lines.length;
    for (let turn = 0; turn < CAMPAIGN_TICKS_MAX && this.#lines.length === before; turn++) member.tick();
  }

  #matches(message: Message, filter: string | undefined): boolean {
    if (filter === undefined || filter === 'all') return true;
    if (filter === message.kind) return true;
    const [from, to] = filter.split('->');
    return to !== undefined && (from === '*' || from === message.from) && (to === '*' || to === message.to);
  }

  #take(words: readonly string[]): Message[] {
    const limit = Number(words.find((word) => /^x\d+$/.test(word))?.slice(1) ?? Number.MAX_SAFE_INTEGER);
    const filters = words.filter((word) => !/^x\d+$/.test(word));
    const taken: Message[] = [];
    const left: Message[] = [];
    for (const message of this.#network) {
      const fits = filters.length === 0 || filters.every((filter) => this.#matches(message, filter));
      (fits && taken.length < limit ? taken : left).push(message);
    }
    this.#network = left;
    return taken;
  }

  /** Delivers what is queued now, oldest first; answers stay queued. */
  #deliver({ words }: Arguments): void {
    for (const message of this.#take(words)) this.#deliverOne(message);
  }

  #deliverOne(message: Message): void {
    const member = this.#member([message.to]);
    this.#lines.push(`> ${formatMessage(message)}`);
    if (member.running) member.step({ kind: 'receive', message });
    else this.#lines.push('    (down)');
  }

  /** Delivers and persists until nothing is left to do. `settle quiet` shows nothing. */
  #settle({ words }: Arguments): void {
    for (let round = 0; this.#busy(); round++) {
      if (round >= SETTLE_ROUNDS_MAX) throw new Error('the cluster does not settle');
      for (const message of this.#take([])) this.#deliverOne(message);
      for (const member of this.#members) if (member.pending.length > 0) this.#persistAt(member, member.pending.length);
      this.#answerReadLog({ words: [], settings: new Map() });
    }
    if (words[0] === 'quiet') this.#lines = ['ok'];
  }

  #busy(): boolean {
    const writes = this.#members.some((member) => member.pending.length > 0);
    return writes || this.#network.length > 0 || this.#readLogs.length > 0;
  }

  #drop({ words }: Arguments): void {
    for (const message of this.#take(words)) this.#lines.push(`lost ${formatMessage(message)}`);
  }

  #duplicate({ words }: Arguments): void {
    const kept = [...this.#network];
    const copies = this.#take(words);
    this.#network = [...kept, ...copies];
    for (const message of copies) this.#lines.push(`again ${formatMessage(message)}`);
  }

  /** `cut 1->2 3->*`: links that lose everything sent from now on. `cut 3`: both ways, all of them. */
  #cutOff(words: readonly string[]): void {
    for (const from of this.#members) {
      for (const to of this.#members) {
        const link = `${from.id}->${to.id}`;
        const patterns = [link, `${from.id}->*`, `*->${to.id}`, from.id, to.id];
        if (words.some((word) => patterns.includes(word))) this.#cut.add(link);
      }
    }
  }

  #persist({ words }: Arguments): void {
    const member = this.#member(words);
    this.#persistAt(member, Number(words[1] ?? member.pending.length));
  }

  #persistAt(member: TestMember, count: number): void {
    this.#lines.push(`${member.id} durable #${member.pending[count - 1]?.sequence ?? 'nothing'}`);
    member.persist(count);
  }

  #propose({ words }: Arguments): void {
    const proposals = words.slice(1).map((text) => ({ proposalId: this.#nextProposalId++, payload: payload(text) }));
    this.#member(words).step({ kind: 'propose', proposals });
  }

  #transfer(words: readonly string[]): void {
    this.#member(words).step({ kind: 'transferLeadership', to: memberId(this.#word(words, 1)) });
  }

  #unreachable(words: readonly string[]): void {
    this.#member(words).step({ kind: 'unreachable', peer: memberId(this.#word(words, 1)) });
  }

  /** `reconfigure 1 1,2,4 learners=5`: asks member 1 for these voters and learners. */
  #reconfigure({ words, settings }: Arguments): void {
    this.#member(words).step({
      kind: 'changeConfiguration',
      proposalId: this.#nextProposalId++,
      voters: ids(words[1]).map(memberId),
      learners: ids(settings.get('learners')).map(memberId),
    });
  }

  /** `image 1`: an image of the state of member 1, to be installed with `install 1 3`. */
  #takeImage(words: readonly string[]): void {
    const image = this.#member(words).image();
    this.#images.set(this.#word(words, 0), image);
    const { mark } = image;
    this.#lines.push(`image ${mark.index}/${mark.term} ${formatConfiguration(mark.configuration)}`);
  }

  /** `install 1 3 [term]`: the image that member 1 took has arrived at member 3. */
  #install(words: readonly string[]): void {
    const from = this.#member(words);
    const image = must(this.#images.get(from.id), 'an image was taken');
    this.#member(words.slice(1)).install(from.id, Number(words[2] ?? from.raft.term), image);
  }

  /** `ended 1 3 [failed]`: member 1 hears that the transfer of an image to member 3 is over. */
  #transferOfImageEnded(words: readonly string[]): void {
    const to = memberId(this.#word(words, 1));
    this.#member(words).step({ kind: 'snapshotEnded', to, installed: words[2] !== 'failed' });
  }

  /** `lose 3 2`: the disk of member 3, which is down, loses its log after entry 2; `lose 3`: log and state. */
  #lose(words: readonly string[]): void {
    const member = this.#member(words);
    if (words[1] === undefined) member.loseEverything();
    else member.loseLog(Number(words[1]));
  }

  /** Answers the log reads that wait; `readlog empty` answers that there is nothing. */
  #answerReadLog({ words }: Arguments): void {
    const waiting = this.#readLogs;
    this.#readLogs = [];
    for (const { member, effect } of waiting) {
      const { to, from, entriesMax, bytesMax } = effect;
      const entries = words[0] === 'empty' ? [] : member.readDisk(from, entriesMax, bytesMax);
      this.#lines.push(`${member.id} read ${entries.length} entries from ${from} for ${to}`);
      if (member.running) member.step({ kind: 'logRead', to, entries });
    }
  }

  #crash(words: readonly string[]): void {
    const member = this.#member(words);
    member.crash();
    this.#readLogs = this.#readLogs.filter((read) => read.member !== member);
  }

  /** Restarts from what is durable; what was not is lost. `applied=N`: the state machine has kept only so much. */
  #restart({ words, settings }: Arguments): void {
    const member = this.#member(words);
    if (member.running) this.#crash(words);
    member.start(Number(settings.get('applied') ?? member.applied.length));
    this.#lines.push(...formatStatus(member.raft.status()));
  }

  #status(words: readonly string[]): void {
    const members = words.length === 0 ? this.#members : words.map((id) => this.#member([id]));
    for (const member of members) {
      if (member.running) this.#lines.push(...formatStatus(member.raft.status()));
      else this.#lines.push(`${member.id} down`);
    }
  }

  #logs(): void {
    for (const member of this.#members) {
      this.#lines.push(formatLog(member.id, member.memoryLog(), member.disk.entries.length));
    }
  }
}
