/** What is not in the paper: recovery, numbers, set-up, invariants, and determinism. */
import { describe, expect, it } from 'vitest';
import { assertConfiguration, isSoleVoter, peersOf } from '../../src/raft/configuration.ts';
import { Raft } from '../../src/raft/raft.ts';
import type { Configuration, Message, PlacedConfiguration, RaftOptions } from '../../src/raft/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';
import {
  configuration,
  decodeConfiguration,
  encodeConfiguration,
  entriesOfTerms,
  LIMITS,
  payload,
  seededRandom,
  spansOf,
} from './cluster.ts';
import { ELECTION_TICKS, Solo } from './solo.ts';

const random = seededRandom(1);
const TERM_MAX = Number.MAX_SAFE_INTEGER;

function founders(given: Configuration): PlacedConfiguration[] {
  return [{ index: logIndex(0), configuration: given }];
}

function options(changes: Partial<RaftOptions> = {}): RaftOptions {
  return {
    id: memberId('a'),
    configurations: founders(configuration(['a'])),
    encodeConfiguration,
    decodeConfiguration,
    recovering: false,
    leaseTicks: 0,
    leaseMs: 0,
    hardState: { term: term(0), votedFor: null },
    log: { firstIndex: logIndex(1), lastIndex: logIndex(0), baseIndex: logIndex(0), baseTerm: term(0), spans: [] },
    appliedIndex: logIndex(0),
    electionTicks: 10,
    heartbeatTicks: 3,
    limits: LIMITS,
    ...changes,
  };
}

describe('set-up', () => {
  const log = { ...options().log, lastIndex: logIndex(2), spans: spansOf(entriesOfTerms([1, 1])) };
  it.each([
    ['applied past the log', { appliedIndex: logIndex(1) }],
    ['a log newer than the term', { log }],
    ['no voter', { configurations: founders(configuration([], ['a'])) }],
    ['unsorted voters', { configurations: founders(configuration(['b', 'a'])) }],
    ['a voter twice', { configurations: founders(configuration(['a', 'a'])) }],
    ['a learner that votes', { configurations: founders(configuration(['a'], ['a'])) }],
    ['heartbeats as rare as elections', { heartbeatTicks: 10 }],
  ])('refuses %s', (_, changes) => {
    expect(() => new Raft(options(changes), random)).toThrow();
  });

  it('a restarted member starts as a follower whose commit index is what it had applied', () => {
    const raft = new Raft(
      options({ log, hardState: { term: term(3), votedFor: null }, appliedIndex: logIndex(1) }),
      random,
    );
    expect(raft.status()).toMatchObject({
      role: 'follower',
      term: 3,
      commitIndex: 1,
      appliedIndex: 1,
      lastIndex: 2,
      lastTerm: 1,
      durableIndex: 2,
    });
    expect([raft.termAt(logIndex(2)), raft.termAt(logIndex(3))]).toEqual([1, null]);
    expect(raft.entries(logIndex(1), logIndex(2), 99)).toBeNull();
  });

  it('a joint configuration has everyone as a peer once', () => {
    const joint: Configuration = {
      voters: ['a', 'c'].map(memberId),
      votersOutgoing: ['a', 'b'].map(memberId),
      learners: [memberId('d')],
    };
    assertConfiguration(joint);
    expect(peersOf(joint, memberId('a'))).toEqual(['b', 'c', 'd']);
    expect(isSoleVoter(joint, memberId('a'))).toBe(false);
    expect(isSoleVoter(configuration(['a'], ['b']), memberId('a'))).toBe(true);
  });
});

describe('numbers near 2^53 (known bug E15)', () => {
  it('a term of 2^53 − 2 may rise once, and stops the member rather than go wrong after that', () => {
    const raft = new Raft(options({ hardState: { term: term(TERM_MAX - 1), votedFor: null } }), random);
    raft.step({ kind: 'tick', nowMs: 1 });
    expect(raft.term).toBe(TERM_MAX);
    raft.step({ kind: 'persisted', sequence: 1 });
    expect(raft.role).toBe('leader');
    const last = new Raft(options({ hardState: { term: term(TERM_MAX), votedFor: null } }), random);
    expect(() => last.step({ kind: 'tick', nowMs: 1 })).toThrow('safe');
  });

  it.each([2 ** 31 - 1, 2 ** 32 - 2])('terms and indexes pass %i without a wrap', (start) => {
    const [at, of] = [logIndex(start), term(start)];
    const raft = new Raft(
      options({
        hardState: { term: of, votedFor: null },
        log: { firstIndex: logIndex(start + 1), lastIndex: at, baseIndex: at, baseTerm: of, spans: [] },
        appliedIndex: at,
      }),
      random,
    );
    raft.step({ kind: 'tick', nowMs: 1 });
    raft.step({ kind: 'persisted', sequence: 1 });
    raft.step({ kind: 'propose', proposals: [1, 2, 3].map((proposalId) => ({ proposalId, payload: payload('x') })) });
    raft.step({ kind: 'persisted', sequence: 3 });
    expect(raft.status()).toMatchObject({
      term: start + 1,
      lastIndex: start + 4,
      lastTerm: start + 1,
      commitIndex: start + 4,
    });
  });

  it('an index that would not be safe stops the member', () => {
    const at = logIndex(TERM_MAX - 1);
    const raft = new Raft(
      options({
        log: { firstIndex: logIndex(TERM_MAX), lastIndex: at, baseIndex: at, baseTerm: term(0), spans: [] },
        appliedIndex: at,
      }),
      random,
    );
    raft.step({ kind: 'tick', nowMs: 1 });
    expect(() => raft.step({ kind: 'persisted', sequence: 1 })).toThrow('safe');
  });
});

describe('steps', () => {
  it('wrong answers of the driver stop the member', () => {
    const solo = new Solo({ voters: ['a'] });
    solo.tick();
    expect(() => solo.step({ kind: 'persisted', sequence: 2 })).toThrow('handed out');
    const applying = new Solo({ log: [1], term: 1 });
    expect(() => applying.step({ kind: 'applied', index: logIndex(1) })).toThrow('I5');
  });

  it('messages for somebody else, or from itself, are dropped', () => {
    const solo = new Solo();
    const message = {
      kind: 'heartbeatRequest',
      term: term(9),
      leaderCommit: logIndex(0),
      readSequence: 0,
      sentMs: 0,
    } as const;
    solo.step({ kind: 'receive', message: { ...message, from: memberId('b'), to: memberId('c') } });
    solo.step({ kind: 'receive', message: { ...message, from: memberId('a'), to: memberId('a') } });
    expect([solo.member.raft.term, solo.take()]).toEqual([0, []]);
  });

  it('a step says once what became of the role, before everything else', () => {
    const solo = new Solo({ voters: ['a'] });
    solo.tick();
    expect(solo.take().map(({ kind }) => kind)).toEqual(['roleChanged', 'persist']);
    solo.persistAll();
    expect(solo.take().map(({ kind }) => kind)).toEqual(['roleChanged', 'persist']);
    solo.persistAll();
    expect(solo.take().map(({ kind }) => kind)).toEqual(['commit']);
  });

  it('persist sequences rise by one, and term and vote go with the entries of the same step', () => {
    const solo = new Solo({ term: 1 });
    solo.append('b', 2, [0, 0], [2]);
    solo.append('b', 2, [1, 2], [2]);
    expect(
      solo.effects('persist').map(({ sequence, hardState, entries }) => [sequence, hardState, entries.length]),
    ).toEqual([
      [1, { term: 2, votedFor: null }, 1],
      [2, null, 1],
    ]);
  });

  it('the same inputs and draws give the same effects', () => {
    const run = (): string => {
      const solo = new Solo({ draw: 3 });
      solo.tick(ELECTION_TICKS + 3);
      solo.receive('b', 1, { kind: 'preVoteResponse', granted: true });
      solo.persistAll();
      solo.receive('b', 1, { kind: 'voteResponse', granted: true });
      solo.propose('x', 'y');
      solo.persistAll();
      solo.ack('b', 3);
      return JSON.stringify(solo.take());
    };
    expect(run()).toBe(run());
  });

  it('a follower from before the log’s base gets an image, once, and no empty appends for ever (known bug R16)', () => {
    const base = {
      firstIndex: logIndex(8),
      lastIndex: logIndex(7),
      baseIndex: logIndex(7),
      baseTerm: term(3),
      spans: [],
    };
    const voters = {
      configurations: founders(configuration(['a', 'b', 'c'])),
      hardState: { term: term(3), votedFor: null },
    };
    const raft = new Raft(options({ ...voters, log: base, appliedIndex: logIndex(7) }), random);
    const receive = (from: string, value: number, body: object) => {
      const message = { from: memberId(from), to: memberId('a'), term: term(value), ...body } as Message;
      return raft.step({ kind: 'receive', message });
    };
    while (raft.role === 'follower') raft.step({ kind: 'tick', nowMs: 1 });
    receive('c', 4, { kind: 'preVoteResponse', granted: true });
    raft.step({ kind: 'persisted', sequence: 1 });
    receive('c', 4, { kind: 'voteResponse', granted: true });
    expect(raft.role).toBe('leader');
    const outcome = { kind: 'rejected', prevLogIndex: 7, hintIndex: 2, hintTerm: 1 };
    expect(receive('b', 4, { kind: 'appendResponse', outcome })).toEqual([{ kind: 'sendSnapshot', to: 'b' }]);
    for (let turn = 0; turn < 5; turn++) {
      raft.step({ kind: 'tick', nowMs: 1 });
      expect(receive('b', 4, { kind: 'heartbeatResponse', readSequence: 0, sentMs: 0 })).toEqual([]);
    }
  });

  it('a configuration that this version cannot read stops the member', () => {
    const solo = new Solo({ term: 1 });
    const entry = { index: 1, term: 1, kind: 'configuration', payload: payload('||') };
    const append = {
      kind: 'appendRequest',
      prevLogIndex: 0,
      prevLogTerm: 0,
      entries: [entry],
      leaderCommit: 1,
    } as const;
    expect(() => solo.receive('b', 1, append)).toThrow('a configuration in the log has a voter');
  });
});
