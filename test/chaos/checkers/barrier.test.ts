/** Rounds of phases: the barrier between rounds, the order inside, and who holds a phase. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkBarrier } from '../../../jepsen-style/checkers/barrier.ts';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { Dice, op } from './support.ts';

type At = readonly [number, number];

interface More {
  readonly attempt?: number;
  readonly token?: number;
  readonly revision?: number;
  readonly by?: number;
  readonly outcome?: Operation['outcome'];
}

const step = (
  f: string,
  g: number,
  phase: string,
  at: At,
  { by = at[0], outcome = 'ok', ...more }: More = {},
): Operation => {
  const value = { loop: 'l', g, phase, ...more };
  return op({ by, f, key: 'l', value, at, outcome });
};
const begin = (g: number, phase: string, at: At, more?: More): Operation => step('begin', g, phase, at, more);
const commit = (g: number, phase: string, at: At, more?: More): Operation => step('commit', g, phase, at, more);
const PLAN = ['A', 'B'];
const verdict = (...operations: readonly Operation[]): string => {
  const inOrder = operations.toSorted((a, b) => a.index - b.index);
  const plan = op({ by: 'setup', f: 'plan', key: 'l', value: PLAN, result: PLAN, outcome: 'info', at: [-1, -1] });
  const { valid, detail } = checkBarrier([plan, ...inOrder], 'phase');
  return valid === true ? 'good' : `${valid}: ${detail}`;
};

/** Round 1, complete. */
const ROUND = [begin(1, 'A', [0, 1]), commit(1, 'A', [2, 3]), begin(1, 'B', [4, 5]), commit(1, 'B', [6, 7])];

describe('the barrier', () => {
  it('opens when all of the round before is final', () => {
    expect(verdict(...ROUND, begin(2, 'A', [8, 9]))).toBe('good');
    expect(verdict(...ROUND.slice(0, 3), begin(2, 'A', [8, 9]))).toContain('g2/A began before g1/B was final');
    expect(verdict(...ROUND.slice(0, 2), begin(2, 'A', [8, 9]))).toContain('g2/A began before g1/B was final');
    expect(verdict()).toContain('unknown');
  });

  it('does not mind what overlaps, nor a begin that was refused or never answered', () => {
    expect(verdict(...ROUND.slice(0, 3), commit(1, 'B', [6, 12]), begin(2, 'A', [8, 9]))).toBe('good');
    expect(verdict(...ROUND.slice(0, 3), begin(2, 'A', [8, 9], { outcome: 'fail' }))).toBe('good');
    expect(verdict(...ROUND.slice(0, 3), begin(2, 'A', [8, 9], { outcome: 'info' }))).toBe('good');
  });

  it('counts a commit of unknown outcome as one that may have come, a refused one not', () => {
    const open = ROUND.slice(0, 3);
    expect(verdict(...open, commit(1, 'B', [6, 7], { outcome: 'info' }), begin(2, 'A', [8, 9]))).toBe('good');
    expect(verdict(...open, commit(1, 'B', [6, 7], { outcome: 'fail' }), begin(2, 'A', [8, 9]))).toContain('false');
    expect(verdict(...open, commit(1, 'B', [10, 11], { outcome: 'info' }), begin(2, 'A', [8, 9]))).toContain('false');
  });

  it('takes the word of an observer, and goes by revisions where both sides have one', () => {
    const open = ROUND.slice(0, 3);
    expect(verdict(...open, begin(2, 'A', [8, 9]), step('final', 1, 'B', [10, 10]))).toBe('good');
    const final = step('final', 1, 'B', [10, 10], { revision: 50 });
    expect(verdict(...open, begin(2, 'A', [8, 9], { revision: 60 }), final)).toBe('good');
    expect(verdict(...open, begin(2, 'A', [8, 9], { revision: 40 }), final)).toContain('false');
    const late = [commit(1, 'B', [6, 7], { revision: 50 }), begin(2, 'A', [8, 9], { revision: 40 })];
    expect(verdict(...open, ...late)).toContain('g2/A began before g1/B was final');
  });

  it('keeps the order of the plan inside a round', () => {
    expect(verdict(begin(1, 'B', [0, 1]))).toContain('g1/B began before g1/A was final');
    expect(verdict(begin(1, 'A', [0, 1]), begin(1, 'B', [2, 3]), commit(1, 'A', [4, 5]))).toContain('false');
    expect(verdict(begin(1, 'A', [0, 1]), commit(1, 'A', [2, 6]), begin(1, 'B', [3, 4]))).toBe('good');
  });
});

describe('a phase', () => {
  it('is held by one attempt, and tokens rise', () => {
    const first = begin(1, 'A', [0, 1], { attempt: 1, token: 5 });
    expect(verdict(first, begin(1, 'A', [2, 3], { attempt: 2, token: 6 }))).toBe('good');
    expect(verdict(first, begin(1, 'A', [2, 3], { attempt: 1, token: 5 }))).toContain(
      'attempt 1 was given to 0 and to 2',
    );
    expect(verdict(first, begin(1, 'A', [2, 3], { by: 0, attempt: 1, token: 5 }))).toBe('good');
    expect(verdict(first, begin(1, 'A', [2, 3], { attempt: 2, token: 4 }))).toContain('token 4 was given after 5');
  });

  it('has tokens of its own, which come after those of the phases before', () => {
    const next = (token: number): string =>
      verdict(
        begin(1, 'A', [0, 1], { attempt: 1, token: 5 }),
        commit(1, 'A', [2, 3], { attempt: 1, token: 5 }),
        begin(1, 'B', [4, 5], { attempt: 1, token }),
      );
    expect(next(6)).toBe('good');
    expect(next(5)).toContain('token 5 was given for g1/A and for g1/B');
    expect(next(4)).toContain('token 4 was given after 5');
  });

  it('is not committed by an attempt that was replaced, nor by two', () => {
    const two = [begin(1, 'A', [0, 1], { attempt: 1 }), begin(1, 'A', [2, 4], { attempt: 2 })];
    expect(verdict(...two, commit(1, 'A', [3, 6], { attempt: 1 }))).toBe('good');
    expect(verdict(...two, commit(1, 'A', [5, 6], { attempt: 1 }))).toContain('attempt 1 committed after attempt 2');
    expect(verdict(...two, commit(1, 'A', [5, 6], { attempt: 1, outcome: 'fail' }))).toBe('good');
    const both = [commit(1, 'A', [3, 6], { attempt: 1 }), commit(1, 'A', [3.5, 7], { attempt: 2 })];
    expect(verdict(...two, ...both)).toContain('committed by attempt 1 and by attempt 2');
  });

  it('is committed by an attempt that somebody was given', () => {
    const given = begin(1, 'A', [2, 3], { attempt: 1, token: 5 });
    expect(verdict(given, commit(1, 'A', [4, 5], { attempt: 9, token: 9 }))).toContain('which nobody was given');
    expect(verdict(given, commit(1, 'A', [0, 1], { attempt: 1, token: 5 }))).toContain('which nobody was given');
    const unknown = begin(1, 'A', [3, 4], { outcome: 'info' });
    expect(verdict(given, unknown, commit(1, 'A', [5, 6], { attempt: 2, token: 6 }))).toBe('good');
  });

  it('is told by its token where the commit does not name the attempt', () => {
    const [one, two] = [
      { attempt: 1, token: 7 },
      { attempt: 2, token: 9 },
    ];
    const begins = [begin(1, 'A', [0, 1], one), begin(1, 'A', [2, 4], two)];
    expect(verdict(...begins, commit(1, 'A', [5, 6], { token: 9 }))).toBe('good');
    expect(verdict(...begins, commit(1, 'A', [5, 6], { token: 7 }))).toContain('token 7 committed after attempt 2');
    const after = begin(1, 'A', [7, 8], { attempt: 3, token: 11 });
    expect(verdict(...begins, commit(1, 'A', [5, 6], { token: 9 }), after)).toContain('began again (attempt 3)');
  });

  it('does not begin again once it is committed', () => {
    const done = [begin(1, 'A', [0, 1], { attempt: 1 }), commit(1, 'A', [2, 3], { attempt: 1 })];
    expect(verdict(...done, begin(1, 'A', [4, 5], { attempt: 2 }))).toContain('began again (attempt 2)');
    expect(verdict(...done, begin(1, 'A', [4, 5], { attempt: 1, by: 0 }))).toBe('good');
  });
});

describe('what a look at the loop shows', () => {
  const read = (g: number, a: string, b: string, at: At): Operation => {
    const runs = [
      { phase: 'A', state: a },
      { phase: 'B', state: b },
    ];
    return op({ by: 'reader', f: 'read', key: 'l', result: { g, runs }, at });
  };

  it('is every commit that was acknowledged before', () => {
    expect(verdict(...ROUND, read(2, 'PENDING', 'PENDING', [8, 9]))).toBe('good');
    expect(verdict(...ROUND.slice(0, 3), read(1, 'CLEAN_EXIT', 'RUNNING', [8, 9]))).toBe('good');
    expect(verdict(...ROUND.slice(0, 3), read(1, 'RUNNING', 'PENDING', [8, 9]))).toContain(
      'g1/A was committed, and is not',
    );
    expect(verdict(...ROUND, read(1, 'CLEAN_EXIT', 'RUNNING', [8, 9]))).toContain('g1/B was committed, and is not');
    expect(verdict(...ROUND, read(0, 'CLEAN_EXIT', 'CLEAN_EXIT', [8, 9]))).toContain('the loop is in round 0');
  });

  it('need not be one that was not acknowledged before', () => {
    const open = ROUND.slice(0, 3);
    expect(verdict(...open, commit(1, 'B', [6, 9]), read(1, 'CLEAN_EXIT', 'RUNNING', [7, 8]))).toBe('good');
    const unknown = commit(1, 'B', [6, 7], { outcome: 'info' });
    expect(verdict(...open, unknown, read(1, 'CLEAN_EXIT', 'RUNNING', [8, 9]))).toBe('good');
  });
});

describe('loops of a correct coordinator', () => {
  it('are good; without one commit, or with a begin too early, they are not', () => {
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      let at = 0;
      const lasting = (): At => [++at, ++at + dice.next()];
      const operations = [1, 2, 3, 4].flatMap((g) =>
        PLAN.flatMap((phase) => {
          const attempts = 1 + dice.below(3);
          const begins = Array.from({ length: attempts }, (_, n) =>
            begin(g, phase, lasting(), { attempt: n + 1, token: at }),
          );
          const unknown = dice.chance(0.3) ? [commit(g, phase, lasting(), { attempt: attempts, outcome: 'info' })] : [];
          return [...begins, ...unknown, commit(g, phase, lasting(), { attempt: attempts })];
        }),
      );
      expect(verdict(...operations)).toBe('good');
      const victim = dice.pick(operations.filter(({ f, value }) => f === 'commit' && (value as { g: number }).g < 4));
      const { g, phase } = victim.value as { g: number; phase: string };
      const isSame = ({ f, value }: Operation): boolean =>
        f === 'commit' &&
        (value as typeof victim.value & { g: number }).g === g &&
        (value as { phase: string }).phase === phase;
      expect(verdict(...operations.filter((one) => !isSame(one)))).toContain('false');
      const early = begin(4, 'A', [0.1, 0.2], { attempt: 9 });
      expect(verdict(...operations, early)).toContain('false');
    });
    fc.assert(property, { numRuns: 200 });
  });
});
