/** Effects, fencing tokens and sessions. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkEffects, type EffectRecord } from '../../../jepsen-style/checkers/effects.ts';
import { checkFencing } from '../../../jepsen-style/checkers/fencing.ts';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { checkSessions } from '../../../jepsen-style/checkers/sessions.ts';
import type { Verdict } from '../../../jepsen-style/checkers/verdict.ts';
import { Dice, op } from './support.ts';

type At = readonly [number, number];
const said = ({ valid, detail }: Verdict): string => (valid === true ? 'good' : `${valid}: ${detail}`);

describe('exactly-once effects', () => {
  /** `do k1 5` is done under token 5; `-do k1 5` was refused. */
  const records = (...lines: readonly string[]): EffectRecord[] =>
    lines.map((line, at) => {
      const [kind = '', key = '', token] = line.split(' ');
      const accepted = !kind.startsWith('-');
      return { time: at, key, token: Number(token), attempt: 1, accepted, kind: kind.endsWith('undo') ? 'undo' : 'do' };
    });
  const effect = (key: string, outcome: Operation['outcome'] = 'ok'): Operation =>
    op({ f: 'effect', key, at: [0, 1], outcome });
  const verdict = (lines: readonly string[], ...operations: readonly Operation[]): string =>
    said(checkEffects(records(...lines), operations, 'effects'));

  it('are done once, and may be undone once', () => {
    expect(verdict(['do k 1', '-do k 1', '-do k 2'])).toBe('good');
    expect(verdict(['do k 1', 'undo k 2', '-do k 1', '-undo k 2'])).toBe('good');
    expect(verdict(['do k 1', 'do k 1'])).toContain('k done twice');
    expect(verdict(['do k 1', 'undo k 1', 'undo k 2'])).toContain('k undone twice');
    expect(verdict(['do k 1', 'do j 1'])).toBe('good');
    expect(verdict([])).toContain('unknown');
  });

  it('are not done under an old token; undone under another lock, whose tokens are others', () => {
    expect(verdict(['do k 2', '-do k 1', 'undo k 1'])).toBe('good');
    expect(verdict(['do k 2', 'do k 1'])).toContain('accepted under token 1, after token 2');
  });

  it('that came after they were undone are counted, and wrong if the client was told that all is well', () => {
    expect(verdict(['undo k 2', 'do k 1'])).toContain('good');
    expect(checkEffects(records('undo k 2', 'do k 1'), [], 'effects').detail).toContain('1 done after it was undone');
    expect(verdict(['undo k 2', 'do k 1'], effect('k'))).toContain('k was acknowledged after it had been undone');
    expect(verdict(['do k 1', 'undo k 2'], effect('k'))).toBe('good');
  });

  it('are as the ledger has them in the end', () => {
    const ledger = (state: string): Operation =>
      op({ by: 'ledger', f: 'ledger', key: 'k', value: { state }, at: [9, 9] });
    expect(verdict(['do k 1'], ledger('CONFIRMED'))).toBe('good');
    expect(verdict(['do k 1', 'undo k 1'], ledger('COMPENSATED'))).toBe('good');
    expect(verdict(['do k 1', 'undo k 1'], ledger('CONFIRMED'))).toContain('k is CONFIRMED on record, and was undone');
    expect(verdict(['do k 1'], ledger('COMPENSATED'))).toContain('k is COMPENSATED on record, and was never undone');
    expect(verdict(['do j 1'], ledger('CONFIRMED'))).toContain('k is CONFIRMED on record, and was never done');
  });

  it('share the token of their scope where the server names one', () => {
    const of = (token: number, key: string): EffectRecord => ({
      ...{ time: token, key, token, attempt: 1, accepted: true, kind: 'do', scope: 'run' },
    });
    expect(checkEffects([of(1, 'a'), of(2, 'b')], [], 'effects').valid).toBe(true);
    expect(checkEffects([of(2, 'a'), of(1, 'b')], [], 'effects').detail).toContain('b accepted under token 1');
  });

  it('were done if a client was told so; if it was not told, nobody knows', () => {
    expect(verdict(['do k 1'], effect('k'))).toBe('good');
    expect(verdict(['-do k 1'], effect('k'))).toContain('k was acknowledged');
    expect(verdict(['do j 1'], effect('j'), effect('k', 'info'), effect('m', 'fail'))).toBe('good');
    expect(verdict(['do j 1'], effect('k', 'info'))).toContain('j was done, and nobody had asked for it');
    expect(verdict(['do j 1'], effect('j', 'fail'))).toContain('j was done, although every call of it failed');
    expect(verdict(['do k 1', 'undo j 1'], effect('k'))).toContain('j was undone, and nobody had asked for it');
    // Asked for twice: one was refused, one was not.
    expect(verdict(['do j 1'], effect('j', 'fail'), effect('j', 'info'))).toBe('good');
  });

  it('are in the ledger at the end, as far back as that goes', () => {
    const acked = (key: string, g: number): Operation => op({ f: 'effect', key, value: { loop: 'l', g }, at: [0, 1] });
    const row = (key: string, g: number): Operation =>
      op({ by: 'ledger', f: 'ledger', key, value: { loop: 'l', g, state: 'CONFIRMED' }, at: [9, 9] });
    const both = ['do j 1', 'do k 1'];
    expect(verdict(both, acked('j', 2), acked('k', 3), row('j', 2), row('k', 3))).toBe('good');
    expect(verdict(both, acked('j', 2), acked('k', 3), row('j', 2))).toContain(
      'k was acknowledged to 0, and is not in',
    );
    // Old rounds are not kept.
    expect(verdict(both, acked('j', 2), acked('k', 3), row('k', 3))).toBe('good');
  });
});

describe('fencing tokens', () => {
  const acquire = (token: number, at: At, outcome: Operation['outcome'] = 'ok'): Operation =>
    op({ by: at[0], f: 'acquire', key: 'l', result: outcome === 'ok' ? { token } : null, at, outcome });
  const use = (token: number, at: At, outcome: Operation['outcome'] = 'ok'): Operation =>
    op({ by: at[0], f: 'use', key: 'l', value: { token }, at, outcome });
  const verdict = (...operations: readonly Operation[]): string =>
    said(
      checkFencing(
        operations.toSorted((a, b) => a.index - b.index),
        'fencing',
      ),
    );

  it('rise in real time; what overlaps may come in any order', () => {
    expect(verdict(acquire(1, [0, 1]), acquire(2, [2, 3]), use(2, [4, 5]))).toBe('good');
    expect(verdict(acquire(2, [0, 3]), acquire(1, [1, 4]), use(2, [2, 5]))).toBe('good');
    expect(verdict(acquire(2, [0, 1]), acquire(1, [2, 3]))).toContain('called after token 2 was given');
    expect(verdict()).toContain('unknown');
    // Who refuses everything shows nothing.
    expect(verdict(acquire(1, [0, 1]), use(1, [2, 3], 'fail'))).toContain('unknown');
  });

  it('are given to one holder each', () => {
    expect(verdict(acquire(1, [0, 3]), acquire(1, [1, 4]))).toContain('token 1 was given to 0 and to 1');
  });

  it('are refused when they are old', () => {
    const two = [acquire(1, [0, 1]), acquire(2, [2, 4])];
    expect(verdict(...two, use(1, [3, 6]))).toBe('good');
    const newest = use(2, [8, 9]);
    expect(verdict(...two, use(1, [5, 6], 'fail'), newest)).toBe('good');
    expect(verdict(...two, use(1, [5, 6], 'info'), newest)).toBe('good');
    expect(verdict(...two, use(1, [5, 6]))).toContain('was called after token 2 was given');
    const seen = [acquire(1, [0, 1]), acquire(2, [2, 9]), use(2, [3, 4]), use(1, [5, 6])];
    expect(verdict(...seen)).toContain('was called after token 2 was used');
  });

  it('are not accepted before they were given', () => {
    expect(verdict(use(1, [0, 1]), acquire(1, [2, 3]))).toContain('used token 1 before it was given');
    expect(verdict(use(1, [0, 3]), acquire(1, [1, 4]))).toBe('good');
  });

  it('were given by somebody, as far as all answers are known', () => {
    expect(verdict(acquire(1, [0, 1]), use(2, [2, 3]))).toContain('used token 2, which nobody was given');
    expect(verdict(acquire(1, [0, 1]), acquire(2, [1.5, 9], 'info'), use(2, [2, 3]))).toBe('good');
  });

  it('of a correct lock are good; one that is exchanged is found', () => {
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      let at = 0;
      const operations = Array.from({ length: 30 }, (_, token) => {
        const call = at + dice.next();
        at += 1 + dice.next();
        return acquire(token + 1, [call, at]);
      });
      expect(verdict(...operations, use(30, [at + 1, at + 2]))).toBe('good');
      const [i, j] = [dice.below(10), 20 + dice.below(10)];
      const exchanged = operations.map((one, n) =>
        n === i
          ? acquire(j + 1, [one.index, one.endIndex ?? 0])
          : n === j
            ? acquire(i + 1, [one.index, one.endIndex ?? 0])
            : one,
      );
      expect(verdict(...exchanged)).toContain('false');
    });
    fc.assert(property, { numRuns: 200 });
  });
});

describe('sessions', () => {
  const call = (sequence: number, answer: unknown, at: At, outcome: Operation['outcome'] = 'ok'): Operation => {
    const value = { session: 's', sequence };
    return op({ by: at[0], f: 'call', key: 'k', value, result: { ...value, answer }, at, outcome });
  };
  const refused = (sequence: number, error: string, at: At): Operation => {
    const value = { session: 's', sequence };
    return op({ by: at[0], f: 'call', key: 'k', value, at, outcome: 'fail', error });
  };
  const count = (result: number, at: At): Operation => op({ by: 'reader', f: 'count', key: 'k', result, at });
  const verdict = (...operations: readonly Operation[]): string => said(checkSessions(operations, 'sessions'));

  it('answer a repeated call as the first time', () => {
    expect(verdict(call(1, 10, [0, 1]), call(1, 10, [2, 3]), call(2, 11, [4, 5]))).toBe('good');
    expect(verdict(call(1, 10, [0, 1], 'info'), call(1, 10, [2, 3]))).toBe('good');
    expect(verdict(call(1, 10, [0, 1]), call(1, 11, [2, 3]))).toContain('call s/1 was answered with 10 and with 11');
    expect(verdict()).toContain('unknown');
  });

  it('carry a repeated call out once', () => {
    const again = (error: string): string => verdict(call(1, 1, [0, 1]), refused(1, error, [2, 3]));
    expect(again('VERSION_MISMATCH')).toContain('call s/1 was carried out a second time');
    expect(again('SESSION_EXPIRED')).toBe('good');
  });

  it('answer each call with a version of its own, and later ones with higher ones', () => {
    expect(verdict(call(1, 1, [0, 1]), call(2, 1, [2, 3]))).toContain('version 1 was the answer to s/1 and to s/2');
    expect(verdict(call(1, 2, [0, 1]), call(2, 1, [2, 3]))).toContain('s/2 wrote version 1 after s/1 had written 2');
    expect(verdict(call(1, 2, [0, 3]), call(2, 1, [1, 4]))).toBe('good');
    // The answer of long ago.
    expect(verdict(call(1, 1, [0, 1], 'info'), call(2, 2, [2, 3]), call(1, 1, [4, 5]))).toBe('good');
  });

  it('carry a request out once, to whomever it is sent', () => {
    const write = (
      sequence: number,
      expected: number,
      answers: readonly object[],
      outcome: Operation['outcome'] = 'ok',
    ): Operation => {
      const at: At = [2 * sequence, 2 * sequence + 1];
      return op({ f: 'write', key: 'd', value: { sequence, expected }, result: { session: 1, answers }, at, outcome });
    };
    const lost = { error: 'UNAVAILABLE', unknown: true };
    const refused = { error: 'VERSION_MISMATCH', unknown: false };
    const [three, four] = [
      { version: 3, replayed: false },
      { version: 4, replayed: true },
    ];
    expect(verdict(write(1, 0, [three, three]), write(2, 3, [lost, four]))).toBe('good');
    expect(verdict(write(1, 0, [three]), write(2, 3, [lost, lost], 'info'))).toBe('good');
    expect(verdict(write(1, 0, [three, four]))).toContain('answered with the versions 3 and 4');
    expect(verdict(write(1, 0, [three, refused]))).toContain('carried out a second time');
    expect(verdict(write(1, 0, [lost, refused], 'fail'))).toContain('carried out a second time');
    expect(verdict(write(1, 0, [three]), write(2, 0, [three]))).toContain('as another write before');
    expect(verdict(write(1, 5, [three]))).toContain('version 3, when 5 was replaced');
  });

  it('apply each call once', () => {
    const sent = [call(1, 1, [0, 1], 'info'), call(1, 1, [2, 3]), call(2, 2, [4, 5], 'info')];
    expect(verdict(...sent, count(1, [6, 7]))).toBe('good');
    expect(verdict(...sent, count(2, [6, 7]))).toBe('good');
    expect(verdict(...sent, count(3, [6, 7]))).toContain('3 calls were applied, but only 2 were sent');
    expect(verdict(...sent, count(0, [6, 7]))).toContain('0 calls were applied, but 1 had been acknowledged');
    expect(verdict(call(1, 1, [0, 1]), call(2, 2, [2, 3], 'fail'), count(2, [4, 5]))).toContain('only 1 were sent');
    expect(verdict(call(1, 1, [0, 4]), count(0, [1, 2]))).toBe('good');
  });
});
