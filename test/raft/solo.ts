/** One member under test: its peers are played by the test, message by message. */
import type { TraceEvent } from '../../src/raft/trace.ts';
import type { Effect, Entry, Input, Message, RaftLimits } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { memberId, term } from '../../src/types/ids.ts';
import { configuration, entriesOfTerms, LIMITS, payload, TestMember } from './cluster.ts';

export interface SoloOptions {
  readonly voters?: readonly string[];
  readonly learners?: readonly string[];
  readonly self?: string;
  /** Terms of the entries on disk. */
  readonly log?: readonly number[];
  readonly term?: number;
  readonly votedFor?: string;
  readonly applied?: number;
  readonly limits?: Partial<RaftLimits>;
  readonly leaseTicks?: number;
  readonly leaseMs?: number;
  /** A part of the log was lost. */
  readonly recovering?: boolean;
  /** The log begins after this entry. */
  readonly base?: number;
  /** What the random source gives. */
  readonly draw?: number;
}

export const ELECTION_TICKS = 10;
export const HEARTBEAT_TICKS = 3;

/** A message without its address; numbers need no brand here. */
export interface Body {
  readonly kind: Message['kind'];
  readonly [field: string]: unknown;
}

export class Solo {
  readonly member: TestMember;
  readonly marks: string[] = [];
  #effects: Effect[] = [];

  constructor(options: SoloOptions = {}) {
    const voters = options.voters ?? ['a', 'b', 'c'];
    this.member = new TestMember({
      id: memberId(options.self ?? 'a'),
      configuration: configuration(voters, options.learners ?? []),
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      ...(options.leaseTicks === undefined ? {} : { leaseTicks: options.leaseTicks }),
      ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }),
      limits: { ...LIMITS, ...options.limits },
      random: { below: (bound) => (options.draw ?? 0) % bound },
      onEffect: (_, effect) => this.#effects.push(effect),
      onTrace: (_, event: TraceEvent) => {
        if (event.kind === 'mark') this.marks.push(event.name);
      },
    });
    const log = options.log ?? [];
    this.member.disk.entries = entriesOfTerms(log);
    this.member.disk.hardState = {
      term: term(options.term ?? log[log.length - 1] ?? 0),
      votedFor: options.votedFor === undefined ? null : memberId(options.votedFor),
    };
    this.member.applied.push(...this.member.disk.entries.slice(0, options.applied ?? 0));
    this.member.disk.recovering = options.recovering ?? false;
    this.member.disk.base = options.base ?? 0;
    this.member.start();
  }

  /** Effects since the last call. */
  take(): readonly Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  effects<K extends Effect['kind']>(kind: K): readonly Extract<Effect, { kind: K }>[] {
    return this.#effects.filter((effect): effect is Extract<Effect, { kind: K }> => effect.kind === kind);
  }

  /** Messages that have left, of one kind, since the last `take`. */
  sent<K extends Message['kind']>(kind: K): readonly Extract<Message, { kind: K }>[] {
    const messages = this.effects('send').map(({ message }) => message);
    return messages.filter((message): message is Extract<Message, { kind: K }> => message.kind === kind);
  }

  step(input: Input): void {
    this.member.step(input);
  }

  tick(times = 1): void {
    this.member.tick(times);
  }

  receive(from: string, value: number, body: Body): void {
    // What a member of an older version says, unless the test says otherwise.
    const echo = body.kind.startsWith('heartbeat') ? { sentMs: 0 } : {};
    const message = {
      from: memberId(from),
      to: this.member.id,
      term: term(value),
      ...echo,
      ...body,
    } as unknown as Message;
    this.step({ kind: 'receive', message });
  }

  persistAll(): void {
    this.member.persist(this.member.pending.length);
  }

  propose(...texts: readonly string[]): void {
    this.step({
      kind: 'propose',
      proposals: texts.map((text, at) => ({ proposalId: at + 1, payload: payload(text) })),
    });
  }

  /** Wins an election with the vote of `voter`; the no-op is appended, and durable when `durable`. */
  lead(voter = 'b', durable = true): void {
    this.campaign(voter);
    this.receive(voter, this.member.raft.term, { kind: 'voteResponse', granted: true });
    if (durable) this.persistAll();
    this.take();
  }

  /** Becomes a candidate with the pre-vote of `voter`; term and own vote are durable. */
  campaign(voter = 'b'): void {
    this.tick(ELECTION_TICKS * 2);
    const next = this.member.raft.term + 1;
    this.receive(voter, next, { kind: 'preVoteResponse', granted: true });
    this.persistAll();
  }

  ack(from: string, matchIndex: number): void {
    const outcome = { kind: 'accepted', matchIndex } as const;
    this.receive(from, this.member.raft.term, { kind: 'appendResponse', outcome });
  }

  /** An append of `terms` after prev, from the leader of `value`. */
  append(from: string, value: number, prev: readonly [number, number], terms: readonly number[], commit = 0): void {
    const [prevLogIndex, prevLogTerm] = prev;
    const entries: Entry[] = terms.map((entryTerm, at) => ({
      ...must(entriesOfTerms([entryTerm])[0], 'entry'),
      index: (prevLogIndex + at + 1) as Entry['index'],
    }));
    this.receive(from, value, {
      kind: 'appendRequest',
      prevLogIndex,
      prevLogTerm,
      entries,
      leaderCommit: commit,
    });
  }

  /** Terms of the log as the core sees it. */
  get terms(): readonly number[] {
    return this.member.memoryLog().map((entry) => entry.term);
  }
}
