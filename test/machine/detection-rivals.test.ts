import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VectorClock } from '../../src/machine/types.ts';
import { compareClocks } from '../../src/machine/vector-clock.ts';
import { progressBody } from './kit.ts';
import { Ward } from './recovery-kit.ts';

interface Told {
  readonly result: string;
  readonly vectorClock: VectorClock;
}

/** Tells sub-step `s` of phase A in these words, and lets RECONCILE decide. Answers with what stands, or null for a mismatch. */
function decide(told: readonly Told[]): string | null {
  const ward = new Ward();
  ward.begin('A');
  for (const { result, vectorClock } of told) {
    ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result }], vectorClock });
  }
  expect(ward.machine.rows.rival.size).toBeLessThanOrEqual(5);
  ward.interrupt();
  ward.start();
  ward.step('wal_fsync');
  ward.step('checkpoint_flush');
  const { state } = ward.step('vc_merge');
  if (state !== 'CLEAN_EXIT') return null;
  return ward.machine.subSteps('loop', 1, 'A', null, 1).rows[0]?.result ?? '';
}

describe('V2: histories that contradict each other', () => {
  it.each<[string, readonly Told[], string | null]>([
    ['one report', [{ result: 'x', vectorClock: [] }], 'x'],
    [
      'the same twice',
      [
        { result: 'x', vectorClock: [] },
        { result: 'x', vectorClock: [['a', 1]] },
      ],
      'x',
    ],
    [
      'the later one knows the first',
      [
        { result: 'x', vectorClock: [['a', 1]] },
        { result: 'y', vectorClock: [['a', 2]] },
      ],
      'y',
    ],
    [
      'the first one knows the later',
      [
        { result: 'x', vectorClock: [['a', 2]] },
        { result: 'y', vectorClock: [['a', 1]] },
      ],
      'x',
    ],
    [
      'neither knows the other',
      [
        { result: 'x', vectorClock: [['a', 1]] },
        { result: 'y', vectorClock: [['b', 1]] },
      ],
      null,
    ],
    [
      'equal clocks',
      [
        { result: 'x', vectorClock: [['a', 1]] },
        { result: 'y', vectorClock: [['a', 1]] },
      ],
      null,
    ],
    [
      'the first one again, knowing the other',
      [
        { result: 'x', vectorClock: [['a', 1]] },
        { result: 'y', vectorClock: [['b', 1]] },
        {
          result: 'x',
          vectorClock: [
            ['a', 2],
            ['b', 1],
          ],
        },
      ],
      'x',
    ],
    [
      'no clocks',
      [
        { result: 'x', vectorClock: [] },
        { result: 'y', vectorClock: [] },
      ],
      null,
    ],
  ])('%s', (_, told, stands) => {
    expect(decide(told)).toBe(stands);
  });

  it('the bound decides nothing that all reports together would not decide', () => {
    const clock = fc
      .tuple(fc.nat(3), fc.nat(3), fc.nat(3))
      .map((counts) => counts.flatMap((n, i) => (n === 0 ? [] : [['abc'[i] ?? '', n] as const])));
    const told = fc.uniqueArray(clock, { minLength: 2, maxLength: 9, selector: (c) => JSON.stringify(c) });
    const seen = { decided: 0, open: 0 };
    fc.assert(
      fc.property(told, (clocks) => {
        const all = clocks.map((vectorClock, i) => ({ result: `r${i}`, vectorClock }));
        const winner = all.find((one) =>
          all.every((other) => other === one || compareClocks(other.vectorClock, one.vectorClock) === 'before'),
        );
        const decision = decide(all);
        // Five reports and fewer are all kept; of more, the merged clock may be all that is left of some.
        if (all.length <= 5) expect(decision).toBe(winner?.result ?? null);
        else expect([winner?.result ?? null, null]).toContain(decision);
        seen[decision === null ? 'open' : 'decided']++;
      }),
      { numRuns: 150, seed: 3 },
    );
    expect(Math.min(seen.decided, seen.open)).toBeGreaterThan(10);
  });

  it('works through many sub-steps a bounded number at a time, and a document that is not what it was stops it', () => {
    const ward = new Ward();
    ward.begin('A');
    const steps = (result: string) => Array.from({ length: 300 }, (_, i) => ({ id: `s${i}`, result }));
    ward.report({ completed: 300, total: 300, subSteps: steps('x'), vectorClock: [['a', 1]] });
    ward.report({ subSteps: steps('y'), vectorClock: [['a', 2]] });
    ward.put('doc', 'x', 0);
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync');
    ward.step('checkpoint_flush');
    expect(ward.step('vc_merge')).toMatchObject({ state: 'RECONCILE', step: 'vc_merge' });
    expect(ward.step('vc_merge').state).toBe('CLEAN_EXIT');
    const rows = ward.machine.subSteps('loop', 1, 'A', null, 1_000).rows;
    expect(new Set(rows.map(({ result }) => result))).toEqual(new Set(['y']));
  });

  it.each([
    ['checkpointCrc', -1, 'INVALID_ARGUMENT'],
    ['checkpointCrc', 2 ** 32, 'INVALID_ARGUMENT'],
    ['participant', '', 'INVALID_ARGUMENT'],
    ['participant', 'x'.repeat(129), 'INVALID_ARGUMENT'],
    ['vectorClock', [['a', 0]], 'INVALID_ARGUMENT'],
    [
      'vectorClock',
      [
        ['a', 1],
        ['a', 2],
      ],
      'INVALID_ARGUMENT',
    ],
  ])('refuses %s %s', (field, value, reason) => {
    const ward = new Ward();
    const { token: fence } = ward.begin('A');
    const body = progressBody('A', fence, { checkpoint: 'c', [field]: value });
    expect(ward.rejected(body).reason).toBe(reason);
    const crcAlone = progressBody('A', fence, { checkpointCrc: 1 });
    expect(ward.rejected(crcAlone)).toMatchObject({ reason: 'INVALID_ARGUMENT', details: { field: 'checkpointCrc' } });
  });
});
