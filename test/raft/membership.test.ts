/** The configurations of a log as a table: which may follow which, and what append, truncation and compaction make of them. */
import { describe, expect, it } from 'vitest';
import { ConfigurationHistory, isSuccessor } from '../../src/raft/membership.ts';
import { voteResult } from '../../src/raft/quorum.ts';
import type { Configuration, Entry, PlacedConfiguration } from '../../src/raft/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';
import { configuration, decodeConfiguration, encodeConfiguration } from './cluster.ts';

function joint(voters: string, outgoing: string, learners = ''): Configuration {
  const ids = (names: string) => [...names].map(memberId);
  return { voters: ids(voters), votersOutgoing: ids(outgoing), learners: ids(learners) };
}
const simple = (voters: string, learners = ''): Configuration => joint(voters, '', learners);
const placed = (index: number, given: Configuration): PlacedConfiguration => ({
  index: logIndex(index),
  configuration: given,
});
const entry = (index: number, given: Configuration): Entry => ({
  index: logIndex(index),
  term: term(1),
  kind: 'configuration',
  payload: encodeConfiguration(given),
});
const history = (list: readonly PlacedConfiguration[], base = 0, last = 9): ConfigurationHistory =>
  new ConfigurationHistory(list, logIndex(base), logIndex(last), decodeConfiguration);

/** Every set of members that is a quorum of `given`, out of `everybody`. */
function quorums(given: Configuration, everybody: string): Set<string>[] {
  const sets: Set<string>[] = [];
  for (let bits = 0; bits < 2 ** everybody.length; bits++) {
    const set = new Set([...everybody].filter((_, at) => (bits & (2 ** at)) !== 0));
    if (voteResult(given, (id) => set.has(id)) === 'won') sets.push(set);
  }
  return sets;
}

describe('R2: successive configurations (thesis 4.3, known bug C7)', () => {
  it.each([
    ['into a joint one', simple('abc'), joint('de', 'abc'), true],
    ['out of it', joint('de', 'abc'), simple('de'), true],
    ['out of it, the outgoing voter a learner', joint('ab', 'abc', 'c'), simple('ab', 'c'), true],
    ['learners alone', simple('abc', 'd'), simple('abc', 'e'), true],
    ['voters without a joint one', simple('abc'), simple('abd'), false],
    ['one voter without a joint one', simple('abc'), simple('abcd'), false],
    ['joint with another outgoing half', simple('abc'), joint('de', 'ab'), false],
    ['joint to joint', joint('de', 'abc'), joint('f', 'de'), false],
    ['back out of a joint one', joint('de', 'abc'), simple('abc'), false],
    ['out of it to something else', joint('de', 'abc'), simple('df'), false],
  ])('%s', (_, previous, next, allowed) => {
    expect(isSuccessor(previous, next)).toBe(allowed);
  });

  it('I15: whatever may follow has no quorum apart from one of its predecessor', () => {
    const all = [
      simple('abc'),
      simple('ab', 'c'),
      simple('d'),
      joint('cd', 'abc'),
      joint('d', 'ab', 'a'),
      simple('cd'),
    ];
    for (const previous of all) {
      for (const next of all.filter((given) => isSuccessor(previous, given))) {
        for (const left of quorums(previous, 'abcd')) {
          for (const right of quorums(next, 'abcd')) expect([...left].some((id) => right.has(id))).toBe(true);
        }
      }
    }
  });
});

describe('R2: the configurations of a log (thesis 4.1)', () => {
  it('one takes effect when its entry is appended (known bug C1), and goes back when it is truncated', () => {
    const given = history([placed(0, simple('abc'))]);
    expect(given.append([entry(10, joint('ab', 'abc'))])).toBe(true);
    expect(given.append([entry(11, simple('ab'))])).toBe(true);
    expect(given.current).toEqual(placed(11, simple('ab')));
    expect(given.previous).toEqual(placed(10, joint('ab', 'abc')));
    given.truncateFrom(logIndex(11));
    expect(given.current).toEqual(placed(10, joint('ab', 'abc')));
    given.truncateFrom(logIndex(3));
    expect(given.current).toEqual(placed(0, simple('abc')));
    expect(given.append([{ ...entry(3, simple('x')), kind: 'command' }])).toBe(false);
  });

  it('compaction keeps the one in force at the new base', () => {
    const given = history([placed(0, simple('abc')), placed(4, joint('ab', 'abc')), placed(6, simple('ab'))]);
    given.compactTo(logIndex(3));
    expect(given.base.index).toBe(0);
    given.compactTo(logIndex(4));
    expect([given.base.index, given.current.index]).toEqual([4, 6]);
    given.compactTo(logIndex(9));
    expect([given.base.index, given.previous]).toEqual([6, null]);
    expect(() => given.truncateFrom(logIndex(6))).toThrow('never truncated');
  });

  it('a member that waits to be added takes the first configuration that it is told', () => {
    const given = history([placed(0, simple(''))]);
    given.append([entry(10, joint('ab', 'abc'))]);
    expect(given.current.configuration).toEqual(joint('ab', 'abc'));
    expect(() => given.append([entry(11, simple('xy'))])).toThrow('I15');
  });

  it('an image brings the one that a member that was added could not know', () => {
    const given = history([placed(0, simple(''))]);
    const mark = { index: logIndex(5), term: term(1), configuration: placed(0, simple('abc')) };
    given.compactToImage(mark);
    expect(given.current).toEqual(placed(0, simple('abc')));
    given.reset(placed(3, simple('ab')));
    expect([given.current, given.previous]).toEqual([placed(3, simple('ab')), null]);
  });

  it.each([
    ['nothing at the base', []],
    ['the first one after the base', [placed(1, simple('abc'))]],
    ['one after the end of the log', [placed(0, simple('abc')), placed(10, simple('abc', 'd'))]],
    ['falling indexes', [placed(0, simple('abc')), placed(5, simple('abc', 'd')), placed(5, simple('abc'))]],
    ['one that cannot follow', [placed(0, simple('abc')), placed(5, simple('abd'))]],
    ['nobody, in the log', [placed(0, simple('abc')), placed(5, simple(''))]],
    ['a voter that is a learner', [placed(0, configuration(['a'], ['a']))]],
  ])('refuses a log with %s', (_, list) => {
    expect(() => history(list)).toThrow();
  });
});
