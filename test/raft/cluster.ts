/**
 * A small cluster in memory for tests of the core: each member is a Raft, a disk whose writes become durable only when
 * told, and a state machine that is the list of what it applied. Nothing happens by itself but applying.
 */
import type { Random } from '../../src/ports/random.ts';
import { Raft } from '../../src/raft/raft.ts';
import type {
  Configuration,
  Effect,
  Entry,
  HardState,
  Input,
  RaftLimits,
  RaftOptions,
  TermSpan,
  TraceEvent,
} from '../../src/raft/types.ts';
import { assert, must } from '../../src/types/assert.ts';
import { type LogIndex, logIndex, type MemberId, memberId, term } from '../../src/types/ids.ts';

export const LIMITS: RaftLimits = {
  appendBytesMax: 1024,
  appendEntriesMax: 64,
  inflightMessagesMax: 8,
  inflightBytesMax: 8 * 1024,
  uncommittedBytesMax: 1024 * 1024,
  cacheBytesMax: 1024 * 1024,
  readsMax: 16,
};

/** mulberry32: small, seeded, good enough for tests. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (bound) => Math.floor(next() * bound) };
}

export function configuration(voters: readonly string[], learners: readonly string[] = []): Configuration {
  return { voters: voters.map(memberId), votersOutgoing: [], learners: learners.map(memberId) };
}

export function payload(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(entry: Entry): string {
  return entry.kind === 'noop' ? '-' : new TextDecoder().decode(entry.payload);
}

export function spansOf(entries: readonly Entry[]): TermSpan[] {
  const spans: TermSpan[] = [];
  for (const entry of entries) {
    if (spans[spans.length - 1]?.term !== entry.term) spans.push({ firstIndex: entry.index, term: entry.term });
  }
  return spans;
}

/** Entries 1..n with these terms, as commands named after their index. */
export function entriesOfTerms(terms: readonly number[]): Entry[] {
  return terms.map((value, at) => ({
    index: logIndex(at + 1),
    term: term(value),
    kind: 'command',
    payload: payload(`e${at + 1}.${value}`),
  }));
}

export type PersistEffect = Extract<Effect, { kind: 'persist' }>;

export interface DurableState {
  hardState: HardState;
  entries: Entry[];
}

export interface MemberOptions {
  readonly id: MemberId;
  readonly configuration: Configuration;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly onEffect: (member: TestMember, effect: Effect) => void;
  readonly onTrace?: (member: TestMember, event: TraceEvent) => void;
}

export class TestMember {
  readonly id: MemberId;
  readonly disk: DurableState = { hardState: { term: term(0), votedFor: null }, entries: [] };
  /** Handed to the disk, not durable yet, oldest first. */
  pending: PersistEffect[] = [];
  readonly applied: Entry[] = [];
  readonly #options: MemberOptions;
  #raft: Raft | null = null;

  constructor(options: MemberOptions) {
    this.id = options.id;
    this.#options = options;
  }

  get raft(): Raft {
    return must(this.#raft, `${this.id} is down`);
  }
  get running(): boolean {
    return this.#raft !== null;
  }

  start(appliedIndex: number = this.applied.length): void {
    assert(this.#raft === null, 'started once');
    const { entries, hardState } = this.disk;
    this.applied.length = appliedIndex;
    const { id, electionTicks, heartbeatTicks, limits, random, onTrace } = this.#options;
    const options: RaftOptions = {
      id,
      configuration: this.#options.configuration,
      hardState,
      log: {
        firstIndex: logIndex(1),
        lastIndex: logIndex(entries.length),
        baseIndex: logIndex(0),
        baseTerm: term(0),
        spans: spansOf(entries),
      },
      appliedIndex: logIndex(appliedIndex),
      electionTicks,
      heartbeatTicks,
      limits,
    };
    this.#raft = new Raft(options, random, onTrace && ((event) => onTrace(this, event)));
  }

  /** SIGKILL: what is not durable is lost. */
  crash(): void {
    this.#raft = null;
    this.pending = [];
  }

  step(input: Input): void {
    const effects = this.raft.step(input);
    for (const effect of effects) this.#carryOut(effect);
  }

  /** The oldest `count` persist effects become durable: their messages leave, and the core is told. */
  persist(count: number): void {
    const done = this.pending.splice(0, count);
    const last = done[done.length - 1];
    if (last === undefined) return;
    for (const effect of done) this.#write(effect);
    for (const effect of done) {
      for (const message of effect.afterDurable) {
        // I3: dropped if the term moved on meanwhile.
        if (message.term === this.raft.term) this.#options.onEffect(this, { kind: 'send', message });
      }
    }
    this.step({ kind: 'persisted', sequence: last.sequence });
  }

  /** The oldest `count` persist effects reach the disk, but nobody is told: a crash follows. */
  writeSilently(count: number): void {
    for (const effect of this.pending.splice(0, count)) this.#write(effect);
  }

  /** The log as the core sees it: the disk with everything on its way to it. */
  memoryLog(): readonly Entry[] {
    const log = [...this.disk.entries];
    for (const { entries } of this.pending) {
      const first = entries[0];
      if (first === undefined) continue;
      log.length = first.index - 1;
      log.push(...entries);
    }
    return log;
  }

  /** Entries as the disk holds them. */
  readDisk(from: LogIndex, entriesMax: number, bytesMax: number): readonly Entry[] {
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.disk.entries.slice(from - 1, from - 1 + entriesMax)) {
      bytes += entry.payload.length;
      if (bytes > bytesMax && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  #write(effect: PersistEffect): void {
    if (effect.hardState !== null) this.disk.hardState = effect.hardState;
    const first = effect.entries[0];
    if (first === undefined) return;
    assert(first.index <= this.disk.entries.length + 1, 'no hole in the log on disk');
    this.disk.entries.length = first.index - 1;
    this.disk.entries.push(...effect.entries);
  }

  #carryOut(effect: Effect): void {
    if (effect.kind === 'persist') this.pending.push(effect);
    this.#options.onEffect(this, effect);
    if (effect.kind === 'commit') this.#apply(effect.index);
  }

  #apply(index: LogIndex): void {
    while (this.applied.length < index) {
      const from = logIndex(this.applied.length + 1);
      const entries = this.raft.entries(from, index, 1024) ?? this.readDisk(from, index - from + 1, 1024);
      assert(entries.length > 0, 'what is committed can be read');
      this.applied.push(...entries);
    }
    this.step({ kind: 'applied', index });
  }
}
