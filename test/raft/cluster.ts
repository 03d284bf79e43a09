/**
 * A small cluster in memory for tests of the core: each member is a Raft, a disk whose writes become durable only when
 * told, and a state machine that is the list of what it applied. Nothing happens by itself but applying.
 */

import type { Random } from '../../src/ports/random.ts';
import { Raft } from '../../src/raft/raft.ts';
import type { TraceEvent } from '../../src/raft/trace.ts';
import type {
  Configuration,
  Effect,
  Entry,
  HardState,
  Input,
  Message,
  PlacedConfiguration,
  RaftLimits,
  RaftOptions,
  SnapshotMark,
  TermSpan,
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

/** The payload of a configuration entry in tests: `voters|outgoing|learners`. */
export function encodeConfiguration({ voters, votersOutgoing, learners }: Configuration): Uint8Array {
  return payload([voters, votersOutgoing, learners].map((ids) => ids.join(',')).join('|'));
}

export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const lists = new TextDecoder().decode(bytes).split('|');
  const ids = (at: number): MemberId[] => (lists[at] ?? '').split(',').filter(Boolean).map(memberId);
  return { voters: ids(0), votersOutgoing: ids(1), learners: ids(2) };
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
export type RestoreEffect = Extract<Effect, { kind: 'restore' }>;

/**
 * What a member has on disk. An image of the state is the list of entries that lead to it, so `entries` always begins with
 * entry 1: up to `base` they stand for the image, after it for the log.
 */
export interface DurableState {
  hardState: HardState;
  entries: Entry[];
  base: number;
  /** What the log was started with. */
  founders: Configuration;
  /** A part of the log was lost and is not back yet. */
  recovering: boolean;
}

/** An image of the state, as it is sent. */
export interface Image {
  readonly mark: SnapshotMark;
  readonly entries: readonly Entry[];
}

export const TICK_MS = 10;

export interface MemberOptions {
  readonly id: MemberId;
  readonly configuration: Configuration;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Default 0: no lease, and votes at once after a restart. */
  readonly leaseTicks?: number;
  readonly leaseMs?: number;
  readonly limits: RaftLimits;
  readonly random: Random;
  /** Default: a clock that starts at 1,000 ms and goes on by TICK_MS with each tick. */
  readonly nowMs?: () => number;
  readonly onEffect: (member: TestMember, effect: Effect) => void;
  readonly onTrace?: (member: TestMember, event: TraceEvent) => void;
}

export class TestMember {
  readonly id: MemberId;
  readonly disk: DurableState;
  /** Handed to the disk, not durable yet, oldest first. */
  pending: (PersistEffect | RestoreEffect)[] = [];
  applied: Entry[] = [];
  readonly #options: MemberOptions;
  #raft: Raft | null = null;
  #clockMs = 1000;
  #image: Image | null = null;

  constructor(options: MemberOptions) {
    this.id = options.id;
    this.#options = options;
    const hardState = { term: term(0), votedFor: null };
    this.disk = { hardState, entries: [], base: 0, founders: options.configuration, recovering: false };
  }

  get raft(): Raft {
    return must(this.#raft, `${this.id} is down`);
  }
  get running(): boolean {
    return this.#raft !== null;
  }

  start(appliedIndex: number = this.applied.length): void {
    assert(this.#raft === null, 'started once');
    const { entries, hardState, base, recovering } = this.disk;
    const applied = Math.max(base, appliedIndex);
    this.applied = entries.slice(0, applied);
    const { id, electionTicks, heartbeatTicks, leaseTicks, leaseMs, limits, random, onTrace } = this.#options;
    const options: RaftOptions = {
      id,
      configurations: this.#configurations(),
      encodeConfiguration,
      decodeConfiguration,
      recovering,
      hardState,
      log: {
        firstIndex: logIndex(base + 1),
        lastIndex: logIndex(entries.length),
        baseIndex: logIndex(base),
        baseTerm: entries[base - 1]?.term ?? term(0),
        spans: spansOf(entries.slice(base)),
      },
      appliedIndex: logIndex(applied),
      electionTicks,
      heartbeatTicks,
      leaseTicks: leaseTicks ?? 0,
      leaseMs: leaseMs ?? 0,
      limits,
    };
    this.#raft = new Raft(options, random, onTrace && ((event) => onTrace(this, event)));
  }

  /** Of the log on disk (known bug C6): what the member was started with long ago does not count. */
  #configurations(): readonly PlacedConfiguration[] {
    const { entries, base, founders } = this.disk;
    const inLog = entries
      .filter(({ kind }) => kind === 'configuration')
      .map((entry) => ({ index: entry.index, configuration: decodeConfiguration(entry.payload) }));
    const all = [{ index: logIndex(0), configuration: founders }, ...inLog];
    return all.filter((_, at) => (all[at + 1]?.index ?? Number.POSITIVE_INFINITY) > base);
  }

  get nowMs(): number {
    return this.#options.nowMs?.() ?? this.#clockMs;
  }

  tick(times = 1): void {
    for (let turn = 0; turn < times; turn++) {
      this.#clockMs += TICK_MS;
      this.step({ kind: 'tick', nowMs: this.nowMs });
    }
  }

  /** The clock goes on, but the process is stopped. */
  stopFor(ms: number): void {
    this.#clockMs += ms;
  }

  read(requestId: number, lease = false): void {
    this.step({ kind: 'readIndex', requestId, lease, nowMs: this.nowMs });
  }

  /** The log is cut behind the state that is applied and durable. */
  compact(index: number): void {
    assert(index <= this.applied.length && index <= this.disk.entries.length, 'only what is applied is compacted');
    if (index <= this.disk.base) return;
    this.disk.base = index;
    this.step({ kind: 'compacted', index: logIndex(index) });
  }

  /** The state as it is now. */
  image(): Image {
    const entries = [...this.applied];
    const index = logIndex(entries.length);
    const configuration = must(
      this.#configurations()
        .concat([])
        .reverse()
        .find((placed) => placed.index <= index),
      'configuration of the image',
    );
    return { mark: { index, term: entries[index - 1]?.term ?? term(0), configuration }, entries };
  }

  install(from: MemberId, leaderTerm: number, image: Image): void {
    // One at a time: an image that is on its way to the disk is not overwritten.
    if (!this.pending.some(({ kind }) => kind === 'restore')) this.#image = image;
    this.step({ kind: 'installSnapshot', from, term: term(leaderTerm), mark: image.mark });
  }

  /** The disk loses the log after `last`, which must not be less than what the state has applied. */
  loseLog(last: number): void {
    assert(this.#raft === null && last >= this.applied.length, 'a part of the log is lost');
    this.disk.entries.length = last;
    this.disk.recovering = true;
  }

  /** The disk loses log and state; term, vote and the founders of the cluster are kept elsewhere. */
  loseEverything(): void {
    assert(this.#raft === null, 'found out at start');
    this.applied = [];
    this.disk.entries = [];
    this.disk.base = 0;
    this.disk.recovering = true;
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
    for (const effect of done) for (const message of effect.afterDurable) this.#release(message);
    this.step({ kind: 'persisted', sequence: last.sequence });
    for (const effect of done) {
      if (effect.kind !== 'restore') continue;
      this.applied = this.disk.entries.slice(0, effect.mark.index);
      this.step({ kind: 'applied', index: effect.mark.index });
    }
  }

  #release(message: Message): void {
    // I3: dropped if the term moved on meanwhile.
    if (message.term === this.raft.term) this.#options.onEffect(this, { kind: 'send', message });
  }

  /** The oldest `count` persist effects reach the disk, but nobody is told: a crash follows. */
  writeSilently(count: number): void {
    for (const effect of this.pending.splice(0, count)) this.#write(effect);
  }

  /** The log as the core sees it: the disk with everything on its way to it. */
  memoryLog(): readonly Entry[] {
    let log = [...this.disk.entries];
    for (const effect of this.pending) log = this.#after(log, effect);
    return log;
  }

  /** Entries as the disk holds them. */
  readDisk(from: LogIndex, entriesMax: number, bytesMax: number): readonly Entry[] {
    const found: Entry[] = [];
    if (from <= this.disk.base) return found;
    let bytes = 0;
    for (const entry of this.disk.entries.slice(from - 1, from - 1 + entriesMax)) {
      bytes += entry.payload.length;
      if (bytes > bytesMax && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  #write(effect: PersistEffect | RestoreEffect): void {
    if (effect.kind === 'restore') {
      const { mark } = effect;
      this.disk.base = mark.index;
      if (mark.configuration.index === 0) this.disk.founders = mark.configuration.configuration;
    } else if (effect.hardState !== null) this.disk.hardState = effect.hardState;
    this.disk.entries = this.#after(this.disk.entries, effect);
  }

  /** `log` as it is when `effect` is durable. */
  #after(log: readonly Entry[], effect: PersistEffect | RestoreEffect): Entry[] {
    if (effect.kind === 'restore') {
      const { mark, keepEntries } = effect;
      const image = must(this.#image, 'staged image');
      assert(image.mark === mark, 'the image that was accepted');
      assert(!keepEntries || log[mark.index - 1]?.term === mark.term, 'only a log that fits goes on behind an image');
      return [...image.entries, ...(keepEntries ? log.slice(mark.index) : [])];
    }
    const first = effect.entries[0];
    if (first === undefined) return [...log];
    assert(first.index <= log.length + 1, 'no hole in the log on disk');
    return [...log.slice(0, first.index - 1), ...effect.entries];
  }

  #carryOut(effect: Effect): void {
    if (effect.kind === 'persist' || effect.kind === 'restore') this.pending.push(effect);
    if (effect.kind === 'recovered') this.disk.recovering = false;
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
