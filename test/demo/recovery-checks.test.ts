/** The verdict of the recovery demo: it must see what would be wrong. */
import { describe, expect, test } from 'vitest';
import type { ProviderCall } from '../../src/demo/provider.ts';
import { THINGS } from '../../src/demo/provision.ts';
import { type EffectLine, effectProblems, ranTwice } from '../../src/demo/recovery-checks.ts';

const UNDONE = THINGS.slice(0, 6);

function line(attempt: number, thing: string, seq: number): EffectLine {
  const gone = attempt === 1;
  return {
    attempt,
    seq,
    thing,
    key: `${attempt}-${thing}`,
    state: gone ? 'COMPENSATED' : 'CONFIRMED',
    asked: gone ? [{ token: 5, outcome: 'done' }] : [],
    made: 1,
    unmade: gone ? 1 : 0,
  };
}

function call(kind: ProviderCall['kind'], key: string, token = 0): ProviderCall {
  return { kind, key, token, attempt: 1, outcome: 'done', atMs: 0 };
}

/** What happened when all is well. */
const LINES = [
  ...UNDONE.map((thing, i) => line(1, thing, i + 1)),
  ...THINGS.map((thing, i) => line(2, thing, UNDONE.length + i + 1)),
];
const CALLS = [
  ...UNDONE.map((thing) => call('make', `1-${thing}`)),
  ...[...UNDONE].reverse().map((thing, i) => call('unmake', `1-${thing}`, i < 2 ? 5 : 7)),
  ...THINGS.map((thing) => call('make', `2-${thing}`)),
];
const PROVIDER = { calls: CALLS, things: [...THINGS].sort() };

function changed(index: number, change: Partial<EffectLine>): readonly EffectLine[] {
  return LINES.map((one, i) => (i === index ? { ...one, ...change } : one));
}

describe('the verdict of the recovery demo', () => {
  test('finds nothing where all is well', () => {
    expect(effectProblems(LINES, PROVIDER)).toEqual([]);
    expect(ranTwice(LINES)).toEqual([]);
  });

  test.each<[string, Partial<EffectLine>]>([
    ['an effect that was compensated twice', { unmade: 2 }],
    ['an effect that was never compensated, though the ledger says so', { unmade: 0 }],
    ['a compensation that the ledger does not know of', { state: 'INTENT' }],
    ['an effect that happened twice', { made: 2 }],
  ])('finds %s', (_name, change) => {
    const problems = effectProblems(changed(2, change), PROVIDER);
    expect(problems[0]).toMatch(/^disk of attempt 1: /);
  });

  test('counts what ran twice, either way', () => {
    expect(ranTwice(changed(2, { unmade: 2 })).map(({ thing }) => thing)).toEqual(['disk']);
    expect(ranTwice(changed(8, { made: 2 })).map(({ thing }) => thing)).toEqual(['disk']);
  });

  test('finds a wrong order', () => {
    const calls = [...CALLS];
    const [first, second] = [calls[UNDONE.length], calls[UNDONE.length + 1]];
    if (first === undefined || second === undefined) throw new Error('there are two');
    calls[UNDONE.length] = second;
    calls[UNDONE.length + 1] = first;
    expect(effectProblems(LINES, { ...PROVIDER, calls })).toEqual([expect.stringMatching(/not the newest first$/)]);
  });

  test('finds that one leader did everything', () => {
    const calls = CALLS.map((one) => (one.kind === 'unmake' ? { ...one, token: 5 } : one));
    expect(effectProblems(LINES, { ...PROVIDER, calls })).toEqual([expect.stringContaining('one recovery token')]);
  });

  test('finds what nobody has on record, and what is missing', () => {
    const calls = [...CALLS, call('make', 'strange')];
    expect(effectProblems(LINES, { calls, things: PROVIDER.things.slice(1) })).toEqual([
      expect.stringContaining('strange'),
      expect.stringContaining('not just the eight things'),
    ]);
  });
});
