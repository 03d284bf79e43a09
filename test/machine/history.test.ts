import { describe, expect, it } from 'vitest';
import { StateError, TOTAL_INDEX_KEY } from '../../src/machine/loader.ts';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import { logIndex, revision } from '../../src/types/ids.ts';
import { Bench, limits, Mirror } from './kit.ts';

/** Loops created: two events each. */
function withLoops(count: number, eventHistoryMax: number): Bench {
  const bench = new Bench({ eventHistoryMax });
  for (let i = 0; i < count; i++) bench.createLoop(`l${i}`);
  return bench;
}

const at = (bench: Bench, from: number, limit: number): string[] =>
  bench.machine.events(revision(from), limit).map((event) => `${event.revision}.${event.ordinal}`);

describe('P4: the event history', () => {
  it('is read from a revision on, in whole revisions, until the limit is reached', () => {
    const bench = withLoops(3, 100);
    bench.begin('ANALYZE', { loop: 'l0' });
    expect(at(bench, 0, 100)).toEqual(['1.0', '1.1', '2.0', '2.1', '3.0', '3.1', '4.0']);
    expect(at(bench, 2, 1)).toEqual(['2.0', '2.1']);
    expect(at(bench, 2, 2)).toEqual(['2.0', '2.1']);
    expect(at(bench, 2, 3)).toEqual(['2.0', '2.1', '3.0', '3.1']);
    expect(at(bench, 4, 1)).toEqual(['4.0']);
    expect(at(bench, 5, 9)).toEqual([]);
  });

  it('drops the oldest revisions, whole ones, and marks where it begins', () => {
    const bench = withLoops(2, 5);
    expect(bench.machine.firstEventRevision()).toBe(1);
    bench.begin('ANALYZE', { loop: 'l0' });
    expect(bench.machine.firstEventRevision()).toBe(1);
    bench.entry(null);
    bench.begin('ANALYZE', { loop: 'l1' });
    // Six events, five allowed: revision 1 goes with both of its events.
    expect(bench.machine.firstEventRevision()).toBe(2);
    expect(at(bench, 0, 100)).toEqual(['2.0', '2.1', '3.0', '5.0']);
    bench.createLoop('l9');
    expect(bench.machine.firstEventRevision()).toBe(3);
    expect(at(bench, 0, 100)).toEqual(['3.0', '5.0', '6.0', '6.1']);
  });

  it('one revision larger than the bound leaves nothing, and says so', () => {
    const bench = withLoops(2, 1);
    expect(at(bench, 0, 9)).toEqual([]);
    expect(bench.machine.firstEventRevision()).toBe(3);
  });

  it('the mark outlives a restart', () => {
    const bench = withLoops(9, 4);
    const mirror = new Mirror();
    mirror.take(bench.machine);
    const loader = startLoading(limits({ eventHistoryMax: 4 }));
    loader.add(mirror.rows.values());
    const loaded = loader.finish(bench.machine.appliedIndex);
    expect(loaded.firstEventRevision()).toBe(8);
    expect(loaded.events(revision(0), 9)).toEqual(bench.machine.events(revision(0), 9));
  });
});

describe('loading', () => {
  it('of nothing gives a new machine, whose first rows are changes', () => {
    const [fresh, loaded] = [createMachine(), startLoading().finish(logIndex(0))];
    expect(loaded.stateHash()).toBe(fresh.stateHash());
    expect(loaded.takeChanges()).toEqual(fresh.takeChanges());
  });

  it('refuses a store that lost, garbled or gained a row', () => {
    const bench = withLoops(2, 100);
    const mirror = new Mirror();
    mirror.take(bench.machine);
    const rows = [...mirror.rows.values()];
    const load = (damaged: typeof rows): void => {
      const loader = startLoading();
      loader.add(damaged);
      loader.finish(bench.machine.appliedIndex);
    };
    const [first] = rows;
    if (first === undefined) throw new Error('no rows');
    load(rows);
    for (const [i, { key }] of rows.entries()) {
      // Release 0.1 did not write the index.
      if (key !== TOTAL_INDEX_KEY) expect(() => load(rows.filter((_, k) => k !== i))).toThrow('do not add up');
    }
    const later = rows.map((row) => (row.key === TOTAL_INDEX_KEY ? { ...row, value: '9' } : row));
    expect(() => load(later)).toThrow('those after entry 9, not after 2');
    expect(() => load([...rows, { table: 'total', key: 'x', value: '' }])).toThrow('unknown total x');
    const garbled = rows.map((row) => ({ ...row, value: row.value.replace('"l1"', '"l7"') }));
    expect(() => load(garbled)).toThrow('do not add up');
    expect(() => load([...rows, { table: 'checkpoint', key: 'x', value: '["y"]' }])).toThrow('do not add up');
    expect(() => load([...rows, { table: 'what', key: 'x', value: '[]' }])).toThrow('unknown table what');
    expect(() => load([...rows, first])).toThrow(StateError);
    for (const value of ['{', '[]', '7', 'null']) expect(() => load([{ ...first, value }])).toThrow(StateError);
    expect(() => startLoading().finish(logIndex(5))).toThrow('no rows at applied index 5');
  });

  it('comes first, and entries come one after the other', () => {
    const bench = withLoops(1, 100);
    const loader = startLoading();
    loader.finish(logIndex(0));
    expect(() => loader.add([])).toThrow('after the last one');
    expect(() => loader.finish(logIndex(0))).toThrow('taken already');
    expect(() =>
      bench.machine.apply({ index: logIndex(3), term: bench.log[0]?.term ?? (0 as never), command: null }),
    ).toThrow('apply 3 after 1');
  });
});
