import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CommandBody, VectorClock } from '../../src/machine/types.ts';
import { applyDelta, encodeDelta } from '../../src/machine/vector-clock.ts';
import { Level3, putBody, sha256 } from './document-kit.ts';
import { Bench, beginBody } from './kit.ts';

const DAY_MS = 24 * 60 * 60_000;
const decommission = (node: string): CommandBody => ({ kind: 'decommissionNode', node });
const advance: CommandBody = { kind: 'advanceTime' };

/** A loop that `gone` has written to once, and the node's entries dropped. */
function dropped(): Level3 {
  const bench = new Level3();
  bench.put('plan', 0, 'x', null, { caller: 'gone' });
  const { dropAtMs } = bench.done('nodeDecommissioned', decommission('gone'));
  expect(dropAtMs).toBe(bench.timeMs + 90 * DAY_MS);
  bench.timeMs = dropAtMs;
  bench.done('timeAdvanced', advance);
  return bench;
}

describe('nodes that are gone (P8)', () => {
  it('keep their entries for 90 days; then a tombstone is left', () => {
    const bench = new Level3();
    bench.put('plan', 0, 'x', null, { caller: 'gone' });
    const before = bench.machine.loop('loop')?.vectorClock;
    expect(before).toEqual([
      ['agent', 1],
      ['gone', 1],
    ]);
    bench.done('nodeDecommissioned', decommission('gone'));
    bench.timeMs += 90 * DAY_MS - 1;
    // Said again: it counts from the first time.
    expect(bench.done('nodeDecommissioned', decommission('gone')).dropAtMs).toBe(bench.timeMs + 1);
    expect(bench.machine.loop('loop')?.vectorClock).toEqual(before);
    bench.timeMs += 1;
    bench.done('timeAdvanced', advance);
    expect(bench.machine.loop('loop')?.vectorClock).toEqual([['agent', 1]]);
    expect(bench.machine.rows.tombstone.get('loop gone')).toEqual({
      node: 'gone',
      loop: 'loop',
      counter: 1,
      clockSha256: sha256(JSON.stringify(before)),
      droppedAtMs: bench.timeMs,
    });
    expect(bench.machine.nextTimerMs()).toBeNull();
  });

  it('history up to the tombstone is taken in silence, beyond it is a FORENSIC_MISMATCH', () => {
    const bench = dropped();
    bench.done('documentPut', putBody('plan', 1, 'y', null, { vectorClock: [['gone', 1]] }));
    expect(bench.machine.loop('loop')?.vectorClock).toEqual([['agent', 2]]);
    const beyond: VectorClock = [['gone', 2]];
    const refused = {
      reason: 'FORENSIC_MISMATCH',
      details: { counter: '2', lastCounter: '1', loop: 'loop', node: 'gone' },
    };
    expect(bench.rejected(putBody('plan', 2, 'z', null, { vectorClock: beyond }))).toMatchObject(refused);
    expect(bench.rejected({ ...beginBody('ANALYZE'), vectorClock: beyond })).toMatchObject(refused);
    const { token } = bench.begin('ANALYZE');
    expect(
      bench.rejected({
        kind: 'commitPhase',
        ref: { loop: 'loop', g: 1, phase: 'ANALYZE' },
        token,
        result: '',
        vectorClock: beyond,
      }),
    ).toMatchObject(refused);
    // In a loop that never met the node nothing is contradicted.
    bench.createLoop('other');
    expect(bench.begin('ANALYZE', { loop: 'other' }).vectorClock).toEqual([['agent', 2]]);
  });

  it('a node that speaks again contradicts its tombstone', () => {
    const bench = dropped();
    expect(bench.rejected(putBody('plan', 1, 'y'), { caller: 'gone' }).reason).toBe('FORENSIC_MISMATCH');
    expect(bench.rejected(beginBody('ANALYZE'), { caller: 'gone' }).reason).toBe('FORENSIC_MISMATCH');
    bench.createLoop('other');
    bench.begin('ANALYZE', { loop: 'other', caller: 'gone' });
    // Gone once more, from the loops that it has met since.
    const { dropAtMs } = bench.done('nodeDecommissioned', decommission('gone'));
    bench.timeMs = dropAtMs;
    bench.done('timeAdvanced', advance);
    expect(bench.machine.loop('other')?.vectorClock).toEqual([['agent', 1]]);
    expect(bench.machine.rows.tombstone.size).toBe(2);
  });

  it('are dropped from many loops a bounded number at a time', () => {
    const bench = new Bench({ timerRowsPerApplyMax: 250 });
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    for (let i = 0; i < 720; i++)
      bench.done('loopCreated', { kind: 'createLoop', loop: `l-${i}`, plan: '' }, { caller: 'gone' });
    const { dropAtMs } = bench.done('nodeDecommissioned', decommission('gone'));
    bench.timeMs = dropAtMs;
    const counts: number[] = [];
    while ((bench.machine.nextTimerMs() ?? Number.POSITIVE_INFINITY) <= bench.timeMs) {
      bench.done('timeAdvanced', advance);
      counts.push(bench.machine.rows.tombstone.size);
    }
    expect(counts).toEqual([300, 600, 720]);
    expect(bench.machine.loops(null, 1_000).rows.every(({ vectorClock }) => vectorClock.length === 0)).toBe(true);
    expect(bench.machine.rows.decommissioned.get('node gone')).toMatchObject({ dropped: true, droppedThrough: '' });
  });

  it('are refused when nameless, and at a lower feature level', () => {
    expect(new Level3().rejected(decommission('')).details.field).toBe('node');
    expect(new Bench().rejected(decommission('x')).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });
});

describe('differences of clocks (P8)', () => {
  const clock = fc
    .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'ä'), fc.integer({ min: 1, max: 9 })), {
      selector: ([node]) => node,
    })
    .map((entries): VectorClock => entries.sort(([x], [y]) => (x < y ? -1 : 1)));

  it('say what changed, and nothing else', () => {
    const from: VectorClock = [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ];
    const to: VectorClock = [
      ['a', 1],
      ['c', 4],
      ['d', 1],
    ];
    expect(encodeDelta(from, to)).toEqual({
      entries: [
        ['c', 4],
        ['d', 1],
      ],
      dropped: ['b'],
    });
    expect(encodeDelta(from, from)).toEqual({ entries: [], dropped: [] });
  });

  it('lead from any clock to any other (property)', () => {
    fc.assert(
      fc.property(clock, clock, (from, to) => {
        const delta = encodeDelta(from, to);
        expect(applyDelta(from, delta)).toEqual(to);
        expect(delta.entries.length + delta.dropped.length).toBeLessThanOrEqual(from.length + to.length);
      }),
    );
  });
});
