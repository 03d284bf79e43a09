/** What every store promises (src/store/types.ts). Run over the memory store and the LevelDB store. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMachine } from '../../src/machine/machine.ts';
import type { RowChange, StoredRow } from '../../src/machine/types.ts';
import type { Store } from '../../src/store/types.ts';
import { logIndex, streamId } from '../../src/types/ids.ts';
import { Bench } from '../machine/kit.ts';

/** A place that stores can be opened on, one after the other. */
export interface Place {
  open(): Promise<Store>;
  remove(): Promise<void>;
}

const ONE = streamId(1);
const TWO = streamId(2);
const put = (table: string, key: string, value: string): RowChange => ({ table, key, value });
const del = (table: string, key: string): RowChange => ({ table, key, value: null });
const sorted = (rows: readonly StoredRow[]): string[] =>
  rows.map(({ table, key, value }) => `${table}|${key}|${value}`).sort();

export function storeContract(name: string, makePlace: () => Promise<Place>): void {
  describe(`store contract: ${name}`, () => {
    let place: Place;
    let store: Store;
    beforeEach(async () => {
      place = await makePlace();
      store = await place.open();
    });
    afterEach(async () => {
      await store.close();
      await place.remove();
    });
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await place.open();
    };

    it('is empty at index 0 when new', async () => {
      expect(await store.load(ONE)).toEqual({ appliedIndex: 0, rows: [] });
    });

    it('keeps rows and applied index, also over a restart', async () => {
      await store.write(ONE, logIndex(3), [put('a', 'k', '[1]'), put('a', 'gone', '[2]')]);
      await store.write(ONE, logIndex(4), [put('a', 'k', '[3]'), del('a', 'gone'), del('a', 'never')]);
      const expected = { appliedIndex: 4, rows: [{ table: 'a', key: 'k', value: '[3]' }] };
      expect(await store.load(ONE)).toEqual(expected);
      await reopen();
      expect(await store.load(ONE)).toEqual(expected);
    });

    it('keeps an index without changes, and the same index twice', async () => {
      await store.write(ONE, logIndex(7), []);
      await store.write(ONE, logIndex(7), [put('a', 'k', '[]')]);
      expect((await store.load(ONE)).appliedIndex).toBe(7);
    });

    it('keeps streams apart', async () => {
      await store.write(ONE, logIndex(1), [put('a', 'k', '1')]);
      await store.write(TWO, logIndex(9), [put('a', 'k', '2')]);
      await store.write(streamId(11), logIndex(5), [put('a', 'k', '3')]);
      expect(await store.load(ONE)).toEqual({ appliedIndex: 1, rows: [{ table: 'a', key: 'k', value: '1' }] });
      expect(await store.load(TWO)).toEqual({ appliedIndex: 9, rows: [{ table: 'a', key: 'k', value: '2' }] });
    });

    it('keeps any text in keys and values as it is', async () => {
      const texts = [
        '',
        ' ',
        '!',
        ' two  spaces ',
        '\u0000',
        'ÄÖ',
        '\ue000',
        '😀',
        '\uffff',
        '"\n\\',
        'ü'.repeat(5_000),
      ];
      const changes = texts.flatMap((text) => [put('a', `k${text}`, text), put('b', `k${text}`, `${text}x`)]);
      await store.write(ONE, logIndex(1), changes);
      await reopen();
      const { rows } = await store.load(ONE);
      expect(sorted(rows)).toEqual(
        sorted(changes.map(({ table, key, value }) => ({ table, key, value: value ?? '' }))),
      );
    });

    it('carries writes out in the order of the calls, without waiting between them', async () => {
      const writes = Array.from({ length: 200 }, (_, i) =>
        store.write(ONE, logIndex(i + 1), [put('a', 'last', String(i + 1)), put('a', `k${i % 7}`, String(i))]),
      );
      const other = Array.from({ length: 50 }, (_, i) =>
        store.write(TWO, logIndex(i + 1), [put('a', 'last', `${i + 1}`)]),
      );
      // A load that comes after writes sees them.
      const { appliedIndex, rows } = await store.load(ONE);
      expect(appliedIndex).toBe(200);
      expect(rows.find(({ key }) => key === 'last')?.value).toBe('200');
      await Promise.all([...writes, ...other]);
      expect((await store.load(TWO)).rows).toEqual([{ table: 'a', key: 'last', value: '50' }]);
    });

    it('reads rows and index of one state while writes go on', async () => {
      // Every write sets all rows to its index: a load that mixes two writes shows it.
      const state = (index: number): RowChange[] =>
        Array.from({ length: 50 }, (_, i) => put('a', `k${i}`, String(index)));
      await store.write(ONE, logIndex(1), state(1));
      const loads: Promise<void>[] = [];
      const writes: Promise<void>[] = [];
      for (let index = 2; index <= 40; index++) {
        writes.push(store.write(ONE, logIndex(index), state(index)));
        loads.push(
          store.load(ONE).then(({ appliedIndex, rows }) => {
            expect(rows).toHaveLength(50);
            expect(new Set(rows.map(({ value }) => value))).toEqual(new Set([String(appliedIndex)]));
          }),
        );
      }
      await Promise.all([...writes, ...loads]);
    });

    it('refuses an applied index that goes back, also after a restart', async () => {
      await store.write(ONE, logIndex(5), []);
      await expect(store.write(ONE, logIndex(4), [put('a', 'k', '1')])).rejects.toThrow('goes back from 5 to 4');
      await reopen();
      await expect(store.write(ONE, logIndex(4), [put('a', 'k', '1')])).rejects.toThrow('goes back from 5 to 4');
      expect(await store.load(ONE)).toEqual({ appliedIndex: 5, rows: [] });
    });

    it('waits for writes in flight when it closes; closes twice; refuses writes afterwards', async () => {
      const writes = Array.from({ length: 20 }, (_, i) => store.write(ONE, logIndex(i + 1), [put('a', `k${i}`, '1')]));
      await Promise.all([store.close(), store.close()]);
      await Promise.all(writes);
      await expect(store.write(ONE, logIndex(99), [])).rejects.toThrow('closed');
      store = await place.open();
      const { appliedIndex, rows } = await store.load(ONE);
      expect(appliedIndex).toBe(20);
      expect(rows).toHaveLength(20);
    });

    it('SE: a machine comes back from it with the same hash and goes on the same', async () => {
      const bench = new Bench({ eventHistoryMax: 20 });
      bench.openSession();
      bench.createLoop();
      for (let i = 0; i < 12; i++) {
        bench.round();
        await store.write(ONE, bench.machine.appliedIndex, bench.machine.takeChanges());
      }
      await reopen();
      const { appliedIndex, rows } = await store.load(ONE);
      const loaded = createMachine();
      loaded.load(appliedIndex, rows);
      expect(loaded.stateHash()).toBe(bench.machine.stateHash());
      expect(loaded.loop('loop')).toEqual(bench.machine.loop('loop'));
      expect(loaded.takeChanges()).toEqual([]);
    });
  });
}
