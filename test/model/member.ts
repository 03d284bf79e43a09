/**
 * One member of the model: the real core, a disk whose writes become durable when the explorer says so, and what was applied.
 * Every action is a function from a member to its successor and to what it sends; what can be seen here alone is checked here.
 */
import { Raft } from '../../src/raft/raft.ts';
import type { Configuration, Effect, Entry, Input, Message, TermSpan } from '../../src/raft/types.ts';
import { InvariantError, must } from '../../src/types/assert.ts';
import { type LogIndex, logIndex, type MemberId, type Term, term } from '../../src/types/ids.ts';
import { copy, electionDue, everybodySilent, heartbeatDue, normalise, termsOf } from './opened.ts';
import type { Scope } from './scopes.ts';

type Persist = Extract<Effect, { kind: 'persist' }>;

export interface ModelMember {
  readonly id: MemberId;
  core: Raft;
  /** Durable. */
  term: Term;
  votedFor: MemberId | null;
  disk: Entry[];
  /** Handed to the disk, oldest first. */
  pending: Persist[];
  /** What the state machine was given. */
  applied: Entry[];
}

/** What a member may be told by the explorer, besides a message. */
export type Act =
  | { readonly kind: 'campaign' }
  | { readonly kind: 'heartbeat' }
  /** Check-quorum: nobody was heard for an election timeout. */
  | { readonly kind: 'silence' }
  | { readonly kind: 'persist'; readonly count: number }
  /** Crash and restart; the oldest `written` writes reached the disk, though nobody was told; the state starts at `kept`. */
  | { readonly kind: 'crash'; readonly written: number; readonly keepsApplied: boolean }
  | { readonly kind: 'propose'; readonly name: number }
  | { readonly kind: 'change'; readonly voters: readonly MemberId[] }
  | { readonly kind: 'transfer'; readonly to: MemberId }
  | { readonly kind: 'receive'; readonly message: Message };

/** As leader it counted everything up to `index` as committed, while `configuration` was in force. */
export interface Counted {
  readonly index: number;
  readonly configuration: Configuration;
}

export interface Step {
  readonly next: ModelMember;
  readonly sent: readonly Message[];
  readonly counted: readonly Counted[];
  /** A rule that the member broke by itself. */
  readonly broken: string | null;
}

const LIMITS = {
  appendBytesMax: 1024,
  inflightBytesMax: 1024,
  uncommittedBytesMax: 1 << 20,
  cacheBytesMax: 1 << 20,
  readsMax: 4,
} as const;
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
const random = { below: () => 0 };

export interface Founding {
  readonly founders: Configuration;
  readonly scope: Scope;
  /** All members, sorted; bit n of a mask stands for the nth. */
  readonly ids: readonly MemberId[];
}

function mask(ids: readonly MemberId[], some: readonly MemberId[]): number {
  return some.reduce((sum, id) => sum | (1 << ids.indexOf(id)), 0);
}

function unmask(ids: readonly MemberId[], bits: number | undefined): MemberId[] {
  return ids.filter((_, at) => ((bits ?? 0) & (1 << at)) !== 0);
}

export function decodeConfiguration(ids: readonly MemberId[], payload: Uint8Array): Configuration {
  const [voters, votersOutgoing, learners] = [...payload].map((bits) => unmask(ids, bits));
  return { voters: voters ?? [], votersOutgoing: votersOutgoing ?? [], learners: learners ?? [] };
}

export function configurationsOf(log: readonly Entry[], { founders, ids }: Founding): readonly Configuration[] {
  const inLog = log.filter(({ kind }) => kind === 'configuration');
  return [founders, ...inLog.map(({ payload }) => decodeConfiguration(ids, payload))];
}

function spansOf(log: readonly Entry[]): TermSpan[] {
  return log
    .filter((entry, at) => at === 0 || log[at - 1]?.term !== entry.term)
    .map((entry) => ({ firstIndex: entry.index, term: entry.term }));
}

function newCore(
  id: MemberId,
  disk: { readonly term: Term; readonly votedFor: MemberId | null; readonly log: readonly Entry[] },
  applied: number,
  founding: Founding,
): Raft {
  const { ids, scope } = founding;
  // Those that did not found the cluster wait to be added to it.
  const begins = ids.indexOf(id) < scope.founders ? founding.founders : { ...founding.founders, voters: [] };
  const configurations = disk.log
    .filter(({ kind }) => kind === 'configuration')
    .map(({ index, payload }) => ({ index, configuration: decodeConfiguration(ids, payload) }));
  return new Raft(
    {
      id,
      configurations: [{ index: logIndex(0), configuration: begins }, ...configurations],
      encodeConfiguration: ({ voters, votersOutgoing, learners }) =>
        Uint8Array.from([voters, votersOutgoing, learners].map((some) => mask(ids, some))),
      decodeConfiguration: (payload) => decodeConfiguration(ids, payload),
      recovering: false,
      hardState: { term: disk.term, votedFor: disk.votedFor },
      log: {
        firstIndex: logIndex(1),
        lastIndex: logIndex(disk.log.length),
        baseIndex: logIndex(0),
        baseTerm: term(0),
        spans: spansOf(disk.log),
      },
      appliedIndex: logIndex(applied),
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      leaseTicks: 0,
      leaseMs: 0,
      limits: { ...LIMITS, appendEntriesMax: scope.appendEntriesMax, inflightMessagesMax: scope.inflightMessagesMax },
    },
    random,
  );
}

export function newMember(id: MemberId, founding: Founding): ModelMember {
  const { ids, scope } = founding;
  const start = scope.start?.[ids.indexOf(id)] ?? { term: 0, votedFor: null, log: [] };
  const log = start.log.map(
    (value, at): Entry => ({ index: logIndex(at + 1), term: term(value), kind: 'noop', payload: new Uint8Array(0) }),
  );
  const votedFor = start.votedFor === null ? null : must(ids[start.votedFor], 'a member that was voted for');
  const durable = { term: term(start.term), votedFor };
  const core = newCore(id, { ...durable, log }, 0, founding);
  normalise(core);
  return { id, core, ...durable, disk: log, pending: [], applied: [] };
}

/** The log with everything that is on its way to the disk. */
export function memoryLog({ disk, pending }: ModelMember): readonly Entry[] {
  let log: readonly Entry[] = disk;
  for (const { entries } of pending) log = after(log, entries);
  return log;
}

function after(log: readonly Entry[], entries: readonly Entry[]): readonly Entry[] {
  const first = entries[0];
  return first === undefined ? log : [...log.slice(0, first.index - 1), ...entries];
}

class Stepper {
  readonly member: ModelMember;
  readonly #founding: Founding;
  readonly sent: Message[] = [];
  readonly counted: Counted[] = [];

  constructor(before: ModelMember, founding: Founding) {
    this.member = copy(before);
    this.#founding = founding;
  }

  act(act: Act): void {
    const { member } = this;
    switch (act.kind) {
      case 'receive':
        this.#step({ kind: 'receive', message: act.message });
        break;
      case 'campaign':
        this.#campaign();
        break;
      case 'heartbeat':
        heartbeatDue(member.core);
        this.#step({ kind: 'tick', nowMs: 0 });
        break;
      case 'silence':
        everybodySilent(member.core);
        this.#step({ kind: 'tick', nowMs: 0 });
        break;
      case 'persist':
        this.#persist(act.count);
        break;
      case 'crash':
        this.#crash(act.written, act.keepsApplied);
        break;
      case 'propose':
        this.#step({ kind: 'propose', proposals: [{ proposalId: 1, payload: Uint8Array.of(act.name) }] });
        break;
      case 'change':
        this.#step({ kind: 'changeConfiguration', proposalId: 1, voters: act.voters, learners: [] });
        break;
      default:
        this.#step({ kind: 'transferLeadership', to: act.to });
    }
    if (!this.#founding.scope.slowDisks) while (member.pending.length > 0) this.#persist(member.pending.length);
    const fall = normalise(member.core);
    member.pending = member.pending.map((effect) => ({ ...effect, sequence: effect.sequence - fall }));
    expect(
      String(memoryLog(member).map((entry) => entry.term)) === String(termsOf(member.core)),
      'AH: log and core agree',
    );
  }

  /** The election timer ran out. Without pre-votes in the scope, the pre-vote is won on the spot. */
  #campaign(): void {
    const { member } = this;
    electionDue(member.core);
    const before = this.sent.length;
    this.#step({ kind: 'tick', nowMs: 0 });
    if (this.#founding.scope.preVotes || member.core.role !== 'preCandidate') return;
    this.sent.length = before;
    const next = term(member.core.term + 1);
    for (const from of this.#founding.ids) {
      if (from === member.id || member.core.role !== 'preCandidate') continue;
      const message = { kind: 'preVoteResponse', from, to: member.id, term: next, granted: true } as const;
      this.#step({ kind: 'receive', message });
    }
  }

  #persist(count: number): void {
    const { member } = this;
    const done = member.pending.splice(0, count);
    for (const effect of done) this.#write(effect);
    // I3: dropped if the term moved on meanwhile.
    for (const { afterDurable } of done) {
      for (const message of afterDurable) if (message.term === member.core.term) this.#send(message);
    }
    this.#step({ kind: 'persisted', sequence: must(done[done.length - 1], 'something to persist').sequence });
  }

  #write({ hardState, entries }: Persist): void {
    const { member } = this;
    if (hardState !== null) {
      expect(hardState.term >= member.term, 'MO: the durable term does not go back');
      const again = hardState.term === member.term && member.votedFor !== null;
      expect(!again || hardState.votedFor === member.votedFor, 'ES: a durable vote stays for its term');
      member.term = hardState.term;
      member.votedFor = hardState.votedFor;
    }
    member.disk = [...after(member.disk, entries)];
  }

  #crash(written: number, keepsApplied: boolean): void {
    const { member } = this;
    for (const effect of member.pending.slice(0, written)) this.#write(effect);
    member.pending = [];
    member.applied = keepsApplied ? member.applied : [];
    const { term: durable, votedFor, disk: log } = member;
    expect(log.length >= member.applied.length, 'DG: what is applied survives a crash');
    member.core = newCore(member.id, { term: durable, votedFor, log }, member.applied.length, this.#founding);
  }

  #step(input: Input): void {
    const { core } = this.member;
    const before = core.commitIndex;
    const led = core.role === 'leader';
    const configuration = must(configurationsOf(memoryLog(this.member), this.#founding).at(-1), 'a configuration');
    const effects = core.step(input);
    expect(core.commitIndex >= before, 'MO: the commit index does not go back');
    if (led && core.commitIndex > before) this.counted.push({ index: core.commitIndex, configuration });
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: Effect): void {
    const { member } = this;
    switch (effect.kind) {
      case 'persist':
        member.pending.push(effect);
        break;
      case 'send':
        this.#send(effect.message);
        break;
      case 'commit':
        this.#apply(effect.index);
        break;
      case 'readLog':
        this.#step({
          kind: 'logRead',
          to: effect.to,
          entries: member.disk.slice(effect.from - 1).slice(0, effect.entriesMax),
        });
        break;
      case 'sendSnapshot':
      case 'restore':
        expect(false, `the log is never cut: ${effect.kind}`);
        break;
      default:
    }
  }

  #apply(index: LogIndex): void {
    const { member } = this;
    expect(index <= member.disk.length, 'DG: what is applied is durable');
    while (member.applied.length < index) {
      member.applied.push(must(memoryLog(member)[member.applied.length], 'DG: what is committed is in the log'));
    }
    this.#step({ kind: 'applied', index });
  }

  /** DG and WV: what leaves is backed by the disk at this moment, and true. */
  #send(message: Message): void {
    const { member } = this;
    const { disk } = member;
    const voted =
      member.term === message.term && member.votedFor === (message.kind === 'voteRequest' ? member.id : message.to);
    if (message.kind === 'voteResponse' && message.granted) expect(voted, 'DG: a vote that is given is durable');
    if (message.kind === 'voteRequest') expect(voted, 'DG: the own vote is durable');
    if (message.kind === 'appendResponse' && message.outcome.kind === 'accepted') {
      const { matchIndex } = message.outcome;
      const memory = memoryLog(member);
      expect(member.term >= message.term, 'DG: the term of an acknowledgement is durable');
      expect(disk.length >= matchIndex, 'DG: acknowledged entries are durable');
      const same = disk.slice(0, matchIndex).every((entry, at) => memory[at]?.term === entry.term);
      expect(same, 'DG: what is durable is what was acknowledged');
    }
    if (message.kind === 'appendRequest') {
      const log = memoryLog(member);
      const { prevLogIndex, prevLogTerm, entries } = message;
      expect((log[prevLogIndex - 1]?.term ?? 0) === prevLogTerm, 'WV: an append follows on the log of its leader');
      const piece = entries.every(
        (entry, at) => log[prevLogIndex + at] === entry && entry.index === prevLogIndex + at + 1,
      );
      expect(piece, 'WV: an append is a piece of the log of its leader');
    }
    this.sent.push(message);
  }
}

class Broken extends Error {}

function expect(holds: boolean, rule: string): void {
  if (!holds) throw new Broken(rule);
}

/** `before` stays as it is. */
export function act(before: ModelMember, what: Act, founding: Founding): Step {
  const stepper = new Stepper(before, founding);
  const { member: next, sent, counted } = stepper;
  try {
    stepper.act(what);
  } catch (error) {
    if (error instanceof Broken) return { next, sent, counted, broken: error.message };
    if (error instanceof InvariantError) {
      return { next, sent, counted, broken: `CR: the core stops: ${error.message}` };
    }
    throw error;
  }
  return { next, sent, counted, broken: null };
}
