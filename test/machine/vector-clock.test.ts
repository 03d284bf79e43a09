import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VectorClock } from '../../src/machine/types.ts';
import { advanceClock, mergeClocks } from '../../src/machine/vector-clock.ts';
import { VECTOR_CLOCK_ENTRIES_MAX } from '../../src/types/limits.ts';
import { Bench, beginBody } from './kit.ts';

const clockArbitrary: fc.Arbitrary<VectorClock> = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'ä', '\ue000', '😀'), fc.integer({ min: 1, max: 9 }))
  .map((clock) => Object.entries(clock).sort(([x], [y]) => (x < y ? -1 : 1)));

const counter = (clock: VectorClock, node: string): number => clock.find(([name]) => name === node)?.[1] ?? 0;

describe('P8: vector clocks', () => {
  it('a merge is the maximum of each entry, sorted', () => {
    fc.assert(
      fc.property(clockArbitrary, clockArbitrary, (one, other) => {
        const merged = mergeClocks(one, other);
        const nodes = [...new Set([...one, ...other].map(([node]) => node))].sort();
        expect(merged).toEqual(nodes.map((node) => [node, Math.max(counter(one, node), counter(other, node))]));
      }),
    );
  });

  it('the caller counts up by one over both, from 1 when new; the order sent makes no difference', () => {
    fc.assert(
      fc.property(clockArbitrary, clockArbitrary, fc.constantFrom('', 'a', '😀', 'new'), (one, other, caller) => {
        const advanced = advanceClock(one, [...other].reverse(), caller);
        if (!advanced.ok) throw new Error(advanced.error.message);
        const node = caller === '' ? 'unknown' : caller;
        const merged = mergeClocks(one, other);
        expect(counter(advanced.value, node)).toBe(counter(merged, node) + 1);
        expect(advanced.value.filter(([name]) => name !== node)).toEqual(merged.filter(([name]) => name !== node));
        expect(advanced.value).toEqual([...advanced.value].sort(([x], [y]) => (x < y ? -1 : 1)));
      }),
    );
  });

  it('is bounded in entries, sent and merged', () => {
    const many = (count: number): VectorClock => Array.from({ length: count }, (_, i) => [`n${i + 100}`, 1]);
    const full = many(VECTOR_CLOCK_ENTRIES_MAX);
    expect(advanceClock([], many(VECTOR_CLOCK_ENTRIES_MAX + 1), 'n100')).toMatchObject({
      error: { reason: 'LIMIT_EXCEEDED' },
    });
    expect(advanceClock(full, [], 'other')).toMatchObject({ error: { reason: 'LIMIT_EXCEEDED' } });
    expect(advanceClock(full, full, 'n100').ok).toBe(true);
  });

  it('a counter at its end is refused, not rounded', () => {
    const end: VectorClock = [['a', Number.MAX_SAFE_INTEGER]];
    expect(advanceClock(end, [], 'a')).toMatchObject({ error: { reason: 'LIMIT_EXCEEDED' } });
    expect(advanceClock(end, [], 'b').ok).toBe(true);
    expect(advanceClock([['a', Number.MAX_SAFE_INTEGER - 1]], [], 'a')).toEqual({ ok: true, value: end });
  });

  it('a loop carries it from transition to transition, into answers, rows and events', () => {
    const bench = new Bench();
    bench.createLoop();
    const begun = bench.done(
      'phaseBegun',
      {
        ...beginBody('ANALYZE'),
        vectorClock: [
          ['db', 4],
          ['agent', 7],
        ],
      },
      { caller: 'w1' },
    );
    const expected = [
      ['agent', 7],
      ['db', 4],
      ['w1', 1],
    ];
    expect(begun.vectorClock).toEqual(expected);
    expect(bench.machine.loop('loop')?.vectorClock).toEqual(expected);
    expect(bench.machine.run('loop', 1, 'ANALYZE')?.vectorClock).toEqual(expected);
    expect(bench.events.at(-1)?.vectorClock).toEqual(expected);
    const committed = bench.commit('ANALYZE', begun.token, 1, 'loop', { caller: '' });
    expect(committed.vectorClock).toEqual([...expected.slice(0, 2), ['unknown', 1], ['w1', 1]]);
  });
});
