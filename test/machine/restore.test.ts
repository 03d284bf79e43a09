import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StateError, TOTAL_HASH_KEY, TOTAL_INDEX_KEY } from '../../src/machine/loader.ts';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import { RowRestorer, restoreRows } from '../../src/machine/restore.ts';
import type { StoredRow } from '../../src/machine/types.ts';
import { clusterTimeMs, type LogIndex, logIndex, type MemberId, revision, term } from '../../src/types/ids.ts';
import { Bench, Mirror, session } from './kit.ts';
import { Driver, history, SMALL_LIMITS } from './random-history.ts';

const BUMP = 1_000_000;

function rowsOf(bench: Bench): readonly StoredRow[] {
  const mirror = new Mirror();
  mirror.take(bench.machine);
  return [...mirror.rows.values()];
}

function load(rows: Iterable<StoredRow>, index: LogIndex) {
  const loader = startLoading();
  loader.add(rows);
  return loader.finish(index);
}

describe('U5: the state in another cluster', () => {
  it('goes on with tokens, revisions and sessions above all that was given; members, pins and events stay behind', () => {
    const bench = new Bench();
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 2, pinned: true });
    bench.done('membersChanged', { kind: 'changeMembers', changes: [{ kind: 'remove', member: 'a' as MemberId }] });
    const opened = bench.openSession();
    bench.createLoop();
    const begun = bench.begin('ANALYZE', { session: session(opened, 1) });
    const newIndex = logIndex(bench.machine.appliedIndex + BUMP);
    const restored = load(restoreRows(rowsOf(bench), newIndex), newIndex);
    expect(restored.appliedIndex).toBe(newIndex);
    expect(restored.members()).toEqual([]);
    expect(restored.featureLevel()).toEqual({ level: 2, used: 2, pinned: false });
    expect(restored.firstEventRevision()).toBe(newIndex + 1);
    expect(restored.events(revision(0), 100)).toEqual([]);
    expect(restored.loop('loop')).toEqual(bench.machine.loop('loop'));
    expect(restored.run('loop', 1, 'ANALYZE')).toEqual(bench.machine.run('loop', 1, 'ANALYZE'));
    expect(restored.session(opened)).toEqual(bench.machine.session(opened));
    const command = { timeMs: bench.machine.timeMs, session: session(opened, 1), caller: '', traceId: '' };
    const body = {
      kind: 'beginPhase',
      ref: { loop: 'loop', g: 1, phase: 'ANALYZE' },
      supersedeAttempt: 1,
      vectorClock: [],
    } as const;
    // R6: what the old cluster answered is answered the same; a new attempt gets a higher token.
    const again = restored.apply({ index: logIndex(newIndex + 1), term: term(2), command: { ...command, body } });
    expect(again).toMatchObject({ replayed: true, result: { value: { token: begun.token } } });
    const next = { ...command, session: session(opened, 2), body };
    const taken = restored.apply({ index: logIndex(newIndex + 2), term: term(2), command: next });
    expect(taken.result).toMatchObject({ ok: true, value: { token: newIndex + 2 } });
    expect(restored.events(revision(0), 100).map((event) => event.revision)).toContain(newIndex + 2);
  });

  it('automation is paused, whatever the backup said, where there is any', () => {
    for (const [level, before] of [
      [2, null],
      [3, null],
      [3, 0],
    ] as const) {
      const bench = new Bench();
      bench.done('featureLevelSet', { kind: 'setFeatureLevel', level, pinned: false });
      const values = [{ name: 'automationPaused', value: 0 }] as const;
      if (before !== null) bench.done('policySet', { kind: 'setPolicy', values });
      const newIndex = logIndex(bench.machine.appliedIndex + BUMP);
      const restored = load(restoreRows(rowsOf(bench), newIndex), newIndex);
      const row = { name: 'automationPaused', value: 1, changedRevision: newIndex };
      expect(restored.rows.policy.get('automationPaused')).toEqual(level === 3 ? row : null);
    }
  });

  it('A1–A3: what was found of the old members stays behind: nobody is evicted, or acknowledges early, for what was there', () => {
    const bench = new Bench();
    const [a, b, c] = ['a', 'b', 'c'] as MemberId[] as [MemberId, MemberId, MemberId];
    bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    bench.done('availabilityChanged', { kind: 'markIsolated', member: b, isolated: true });
    bench.done('availabilityChanged', { kind: 'markLagging', member: a, lagging: true, detail: '' });
    bench.done('availabilityChanged', { kind: 'permitAsync', member: c, on: true });
    expect(bench.machine.nextTimerMs()).not.toBe(null);
    const newIndex = logIndex(bench.machine.appliedIndex + BUMP);
    const restored = load(restoreRows(rowsOf(bench), newIndex), newIndex);
    expect(restored.rows.availability.size).toBe(0);
    expect(restored.nextTimerMs()).toBe(null);
    const body = { kind: 'evictMember', member: b, voters: [a, b, c] } as const;
    const timeMs = clusterTimeMs(bench.machine.timeMs + 86_400_000);
    const command = { timeMs, session: null, caller: '', traceId: '', body };
    const { result } = restored.apply({ index: logIndex(newIndex + 1), term: term(2), command });
    expect(result).toMatchObject({ ok: false, rejection: { reason: 'AVAILABILITY_LIMIT' } });
  });

  it('adds up for any state, whatever the pages', () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 50 }), fc.boolean(), (steps, size, domain) => {
        const machine = createMachine(SMALL_LIMITS);
        const driver = new Driver(domain);
        for (const step of steps) machine.apply(driver.next(machine, step));
        const mirror = new Mirror();
        mirror.take(machine);
        const rows = [...mirror.rows.values()];
        const newIndex = logIndex(machine.appliedIndex + 7);
        const restorer = new RowRestorer(newIndex);
        const restored: StoredRow[] = [];
        for (let i = 0; i < rows.length; i += size) restored.push(...restorer.add(rows.slice(i, i + size)));
        restored.push(restorer.finish());
        expect(restored).toEqual([...restoreRows(rows, newIndex)]);
        const loader = startLoading(SMALL_LIMITS);
        loader.add(restored);
        const loaded = loader.finish(newIndex);
        expect(loaded.sessionCount()).toBe(machine.sessionCount());
        expect(loaded.nextTimerMs()).toBe(machine.nextTimerMs());
        expect(loaded.loops(null, 9)).toEqual(machine.loops(null, 9));
      }),
      { numRuns: 30 },
    );
  });

  it('refuses rows that do not add up, and an index below that of the state', () => {
    const bench = new Bench({ eventHistoryMax: 1 });
    for (let i = 0; i < 5; i++) bench.createLoop(`l${i}`);
    const rows = rowsOf(bench);
    const restore = (some: readonly StoredRow[], index = 9): readonly StoredRow[] => [
      ...restoreRows(some, logIndex(index)),
    ];
    expect(() => restore(rows, 2)).toThrow('never go back');
    restore(rows);
    for (const [i, { key }] of rows.entries()) {
      if (key !== TOTAL_INDEX_KEY) expect(() => restore(rows.filter((_, k) => k !== i))).toThrow(StateError);
    }
    expect(() => restore(rows.map((row) => (row.table === 'meta' ? { ...row, value: '[' } : row)))).toThrow(StateError);
    const total = rows.find(({ key }) => key === TOTAL_HASH_KEY);
    if (total !== undefined) expect(() => restore([...rows, total])).toThrow('stored twice');
    expect(() => restore([])).toThrow(StateError);
  });
});
