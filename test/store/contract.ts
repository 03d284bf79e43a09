/** What every store promises (src/store/types.ts). Run over the memory store and the LevelDB store. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RowChange, StoredRow } from '../../src/machine/types.ts';
import type { Store } from '../../src/store/types.ts';
import { streamId } from '../../src/types/ids.ts';
import { Bench, session } from '../machine/kit.ts';
import { allRows, del, machineOf, mark, ONE, put, row, stored, TWO } from './support.ts';

/** A place that stores can be opened on, one after the other. */
export interface Place {
  open(): Promise<Store>;
  remove(): Promise<void>;
}

const sorted = (rows: readonly StoredRow[]): string[] =>
  rows.map(({ table, key, value }) => `${table}|${key}|${value}`).sort();
const TEXTS = ['', ' ', '!', ' two  spaces ', '\u0000', 'ÄÖ', '\ue000', '😀', '\uffff', '"\n\\', 'ü'.repeat(5_000)];

export function storeContract(name: string, makePlace: () => Promise<Place>): void {
  let place: Place;
  let store: Store;
  const reopen = async (): Promise<void> => {
    await store.close();
    store = await place.open();
  };

  describe(`store contract: ${name}`, () => {
    beforeEach(async () => {
      place = await makePlace();
      store = await place.open();
    });
    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    describe('writes', () => writes(() => store, reopen));
    describe('images', () => images(() => store));
    describe('staging', () => staging(() => store, reopen));

    it('waits for writes in flight when it closes; closes twice; refuses everything afterwards', async () => {
      const all = Array.from({ length: 20 }, (_, i) => store.write(ONE, mark(i + 1), [put('a', `k${i}`, '1')]));
      const image = await store.image(ONE);
      const staged = await store.stage(ONE);
      await Promise.all([store.close(), store.close()]);
      await Promise.all(all);
      await expect(store.write(ONE, mark(99), [])).rejects.toThrow('closed');
      await expect(store.state(ONE)).rejects.toThrow('closed');
      await expect(store.image(ONE)).rejects.toThrow('closed');
      await expect(staged.add([])).rejects.toThrow('closed');
      await image?.close();
      store = await place.open();
      const { index, rows } = await stored(store);
      expect(index).toBe(20);
      expect(rows).toHaveLength(20);
    });

    it('SE, R6: a machine comes back from it with the same hash, sessions included, and goes on the same', async () => {
      const bench = new Bench({ eventHistoryMax: 20 });
      const opened = bench.openSession();
      bench.createLoop();
      const again = { session: session(opened, 1) };
      const first = bench.apply({ kind: 'createLoop', loop: 'second', plan: '' }, again);
      for (let i = 0; i < 12; i++) {
        bench.round();
        await store.write(ONE, mark(bench.machine.appliedIndex), bench.machine.takeChanges());
      }
      await reopen();
      const loaded = machineOf(await stored(store));
      expect(loaded.stateHash()).toBe(bench.machine.stateHash());
      expect(loaded.loop('loop')).toEqual(bench.machine.loop('loop'));
      expect(loaded.session(opened)).toEqual(bench.machine.session(opened));
      expect(loaded.takeChanges()).toEqual([]);
      bench.entry(null);
      const retry = bench.log.find(({ command }) => command?.session?.sequence === 1)?.command ?? null;
      const entry = { index: bench.machine.appliedIndex, term: bench.log.at(-1)?.term ?? (1 as never), command: retry };
      expect(loaded.apply(entry)).toMatchObject({ replayed: true, result: first.result });
    });
  });
}

function writes(store: () => Store, reopen: () => Promise<void>): void {
  it('is empty when new', async () => {
    expect(await store().state(ONE)).toEqual({ mark: null, installing: false });
    expect(await store().image(ONE)).toBeNull();
  });

  it('keeps rows and mark, also over a restart', async () => {
    await store().write(ONE, mark(3), [put('a', 'k', '[1]'), put('a', 'gone', '[2]')]);
    await store().write(ONE, mark(4, 2), [put('a', 'k', '[3]'), del('a', 'gone'), del('a', 'never')]);
    for (const again of [false, true]) {
      if (again) await reopen();
      expect(await store().state(ONE)).toEqual({ mark: mark(4, 2), installing: false });
      expect(await stored(store())).toEqual({ index: 4, rows: [row('a', 'k', '[3]')] });
    }
  });

  it('keeps a mark without changes, and the same mark twice', async () => {
    await store().write(ONE, mark(7), []);
    expect(await stored(store())).toEqual({ index: 7, rows: [] });
    await store().write(ONE, mark(7), [put('a', 'k', '[]')]);
    await store().sync();
    expect((await store().state(ONE)).mark).toEqual(mark(7));
  });

  it('keeps streams apart', async () => {
    await store().write(ONE, mark(1), [put('a', 'k', '1')]);
    await store().write(TWO, mark(9), [put('a', 'k', '2')]);
    await store().write(streamId(11), mark(5), [put('a', 'k', '3')]);
    await reopen();
    expect(await stored(store(), ONE)).toEqual({ index: 1, rows: [row('a', 'k', '1')] });
    expect(await stored(store(), TWO)).toEqual({ index: 9, rows: [row('a', 'k', '2')] });
  });

  it('keeps any text in keys and values as it is', async () => {
    const changes = TEXTS.flatMap((text) => [put('a', `k${text}`, text), put('b', `k${text}`, `${text}x`)]);
    await store().write(ONE, mark(1), changes);
    await reopen();
    const { rows } = await stored(store());
    expect(sorted(rows)).toEqual(sorted(changes.map(({ table, key, value }) => ({ table, key, value: value ?? '' }))));
  });

  it('carries writes out in the order of the calls, without waiting between them', async () => {
    const all = Array.from({ length: 200 }, (_, i) =>
      store().write(ONE, mark(i + 1), [put('a', 'last', String(i + 1)), put('a', `k${i % 7}`, String(i))]),
    );
    const other = Array.from({ length: 50 }, (_, i) => store().write(TWO, mark(i + 1), [put('a', 'last', `${i + 1}`)]));
    // What comes after writes sees them.
    const { index, rows } = await stored(store());
    expect(index).toBe(200);
    expect(rows.find(({ key }) => key === 'last')?.value).toBe('200');
    await Promise.all([...all, ...other]);
    expect((await stored(store(), TWO)).rows).toEqual([row('a', 'last', '50')]);
  });

  it('refuses a mark that goes back, also after a restart', async () => {
    await store().write(ONE, mark(5), []);
    await expect(store().write(ONE, mark(4), [put('a', 'k', '1')])).rejects.toThrow('goes back from 5 to 4');
    await reopen();
    await expect(store().write(ONE, mark(4), [put('a', 'k', '1')])).rejects.toThrow('goes back from 5 to 4');
    expect(await stored(store())).toEqual({ index: 5, rows: [] });
  });
}

function images(store: () => Store): void {
  it('R4: stay as they were while writes go on', async () => {
    // Every write sets all rows to its index: an image that mixes two writes shows it.
    const state = (index: number): RowChange[] =>
      Array.from({ length: 50 }, (_, i) => put('a', `k${i}`, String(index)));
    await store().write(ONE, mark(1), state(1));
    const reads: Promise<void>[] = [];
    const all: Promise<void>[] = [];
    for (let index = 2; index <= 40; index++) {
      all.push(store().write(ONE, mark(index), state(index)));
      reads.push(
        stored(store()).then(({ index: at, rows }) => {
          expect(rows).toHaveLength(50);
          expect(new Set(rows.map(({ value }) => value))).toEqual(new Set([String(at)]));
        }),
      );
    }
    await Promise.all([...all, ...reads]);
  });

  it('S4: say the mark of the rows that they hold', async () => {
    await store().write(ONE, mark(1), [put('a', 'k', '1')]);
    const image = await store().image(ONE);
    await store().write(ONE, mark(2, 3), [put('a', 'k', '2'), put('a', 'new', '2')]);
    expect(image?.mark).toEqual(mark(1));
    expect(image === null ? null : await allRows(image)).toEqual([row('a', 'k', '1')]);
    await image?.close();
    const later = await store().image(ONE);
    expect(later?.mark).toEqual(mark(2, 3));
    await later?.close();
  });

  it('give rows in order, in pages of the size that is asked for, the same for the same call', async () => {
    const changes = TEXTS.flatMap((text) => ['a', 'ab', 'b'].map((table) => put(table, text, text.slice(0, 100))));
    await store().write(ONE, mark(1), changes);
    const image = await store().image(ONE);
    if (image === null) throw new Error('no image');
    const whole = await image.read(null, 1_000_000);
    expect(whole.next).toBeNull();
    const bytes = (rows: readonly StoredRow[]): number =>
      rows.reduce((sum, { table, key, value }) => sum + Buffer.byteLength(table + key + value), 0);
    expect(whole.rows.map(({ table }) => table).join()).toMatch(/^(?:a,)+(?:ab,)+(?:b,?)+$/);
    for (const size of [1, 20, 1_000, 40_000]) expect(await allRows(image, size)).toEqual(whole.rows);
    const page = await image.read(null, 1_000);
    expect(bytes(page.rows)).toBeLessThanOrEqual(1_000);
    expect(page.next).toEqual({ table: page.rows.at(-1)?.table, key: page.rows.at(-1)?.key });
    expect(await image.read(null, 1_000)).toEqual(page);
    const single = await image.read(page.next, 1);
    expect(single.rows).toEqual([whole.rows[page.rows.length]]);
    await image.close();
  });
}

function staging(store: () => Store, reopen: () => Promise<void>): void {
  it('R4: rows that are staged replace the old ones when they are installed, and not before', async () => {
    await store().write(ONE, mark(3), [put('a', 'old', '1'), put('a', 'both', '1')]);
    await store().write(TWO, mark(1), [put('a', 'other', '1')]);
    const staged = await store().stage(ONE);
    await staged.add([row('a', 'both', '2')]);
    await staged.add([row('a', 'new', '2')]);
    const rows = [row('a', 'both', '2'), row('a', 'new', '2')];
    expect(await allRows(staged, 1)).toEqual(rows);
    expect((await stored(store())).index).toBe(3);
    const before = await store().image(ONE);
    // Writes go on meanwhile.
    await store().write(ONE, mark(4), [put('a', 'both', '4')]);
    await staged.install(mark(9, 2));
    expect(await store().state(ONE)).toEqual({ mark: mark(9, 2), installing: true });
    expect(await stored(store())).toEqual({ index: 9, rows });
    expect(before === null ? null : await allRows(before)).toEqual([row('a', 'both', '1'), row('a', 'old', '1')]);
    await before?.close();
    await reopen();
    expect(await store().state(ONE)).toEqual({ mark: mark(9, 2), installing: true });
    await store().installed(ONE);
    await store().installed(ONE);
    await reopen();
    expect(await store().state(ONE)).toEqual({ mark: mark(9, 2), installing: false });
    await store().write(ONE, mark(10, 2), [del('a', 'both')]);
    expect(await stored(store())).toEqual({ index: 10, rows: [row('a', 'new', '2')] });
    expect(await stored(store(), TWO)).toEqual({ index: 1, rows: [row('a', 'other', '1')] });
  });

  it('a store that holds nothing takes an image, several times', async () => {
    for (let i = 1; i <= 4; i++) {
      const staged = await store().stage(ONE);
      await staged.add([row('a', `k${i}`, '1')]);
      await staged.install(mark(i));
      if (i % 2 === 0) await reopen();
      expect(await stored(store())).toEqual({ index: i, rows: [row('a', `k${i}`, '1')] });
    }
  });

  it('R4: two images never mix: another stage begins with nothing, and the one before is refused', async () => {
    const one = await store().stage(ONE);
    await one.add([row('a', 'one', '1')]);
    const two = await store().stage(ONE);
    await expect(one.add([row('a', 'late', '1')])).rejects.toThrow('staged');
    await expect(one.install(mark(1))).rejects.toThrow('staged');
    await one.discard();
    await two.add([row('a', 'two', '2')]);
    expect(await allRows(two)).toEqual([row('a', 'two', '2')]);
    await two.install(mark(2));
    await expect(two.add([])).rejects.toThrow('staged');
    expect(await stored(store())).toEqual({ index: 2, rows: [row('a', 'two', '2')] });
  });

  it('what was not installed is gone after a restart, and after discard', async () => {
    await store().write(ONE, mark(1), [put('a', 'k', '1')]);
    const left = await store().stage(ONE);
    await left.add([row('a', 'left', '1')]);
    await reopen();
    expect(await stored(store())).toEqual({ index: 1, rows: [row('a', 'k', '1')] });
    const staged = await store().stage(ONE);
    await staged.add([row('a', 'discarded', '1')]);
    await staged.discard();
    await staged.discard();
    await expect(staged.install(mark(5))).rejects.toThrow('staged');
    const next = await store().stage(ONE);
    expect(await allRows(next)).toEqual([]);
    expect(await stored(store())).toEqual({ index: 1, rows: [row('a', 'k', '1')] });
  });

  it('S1: an image older than what is stored is not installed', async () => {
    await store().write(ONE, mark(7), [put('a', 'k', '1')]);
    const staged = await store().stage(ONE);
    await expect(staged.install(mark(6))).rejects.toThrow('goes back from 7 to 6');
    expect(await stored(store())).toEqual({ index: 7, rows: [row('a', 'k', '1')] });
  });
}
