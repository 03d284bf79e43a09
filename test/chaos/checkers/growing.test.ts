/** Sets and lists: hand-written histories, and agreement with the search for an order. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkLists } from '../../../jepsen-style/checkers/append.ts';
import { listCalls } from '../../../jepsen-style/checkers/linearizability/calls.ts';
import { ListModel, type Model } from '../../../jepsen-style/checkers/linearizability/model.ts';
import { search } from '../../../jepsen-style/checkers/linearizability/search.ts';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { checkSets } from '../../../jepsen-style/checkers/set.ts';
import type { Verdict } from '../../../jepsen-style/checkers/verdict.ts';
import { Dice, draw, growingThing, op } from './support.ts';

type At = readonly [number, number];
const grow =
  (f: 'add' | 'append') =>
  (value: number, at: At, outcome: Operation['outcome'] = 'ok'): Operation =>
    op({ f, by: at[0], value, at, outcome });
const read = (result: readonly number[], at: At): Operation => op({ f: 'read', by: at[0], result, at });
const sorted = (operations: readonly Operation[]): Operation[] => operations.toSorted((a, b) => a.index - b.index);

const snapshots = (operations: readonly Operation[], workload: string): Verdict =>
  checkSets(operations, workload, true);

describe.each([
  { name: 'set', add: grow('add'), check: snapshots },
  { name: 'append', add: grow('append'), check: checkLists },
])('$name', ({ name, add, check }) => {
  const verdict = (...operations: readonly Operation[]): string => {
    const { valid, detail } = check(sorted(operations), name);
    return valid === true ? 'good' : `${valid}: ${detail}`;
  };

  it('accepts overlaps, and unknown adds that came late, or never', () => {
    expect(verdict(add(1, [0, 1]), read([1], [2, 3]))).toBe('good');
    expect(verdict(add(1, [0, 3]), read([], [1, 2]))).toBe('good');
    expect(verdict(add(1, [0, 3]), read([1], [1, 2]))).toBe('good');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'info'), read([1], [4, 5]), read([1, 2], [6, 7]))).toBe('good');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'info'), read([1], [4, 5]))).toBe('good');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'fail'), read([1], [4, 5]))).toBe('good');
  });

  it('finds what was lost, and what vanished again', () => {
    expect(verdict(add(1, [0, 1]), read([], [2, 3]))).toContain('lost or stale: 1 is missing');
    const vanished = [add(1, [0, 1], 'info'), read([1], [2, 3]), read([], [4, 5])];
    expect(verdict(...vanished)).toMatch(/false: .*a read went back/);
    // The second add was acknowledged before the third was called, and only the third is there.
    const skipped = [add(1, [0, 1]), add(2, [2, 3]), add(3, [4, 5]), read([1, 3], [4.5, 6])];
    expect(verdict(...skipped)).toContain('2 is missing');
    const hidden = [add(1, [0, 1]), read([1, 3], [1.5, 9]), add(2, [2, 3]), add(3, [4, 5])];
    expect(verdict(...hidden)).toContain('3 comes before 2');
  });

  it('finds what is there twice, was never added, was refused, or comes too early', () => {
    expect(verdict(add(1, [0, 1]), read([1, 1], [2, 3]))).toContain('1 is there twice');
    expect(verdict(add(1, [0, 1]), read([1, 7], [2, 3]))).toContain('7 was never added');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'fail'), read([1, 2], [4, 5]))).toContain('2 was refused');
    expect(verdict(read([1], [0, 1]), add(1, [2, 3]))).toContain('1 was seen before it was added');
  });

  it('says unknown when nothing was acknowledged or read', () => {
    expect(verdict()).toContain('unknown');
    expect(verdict(add(1, [0, 1]))).toContain('unknown');
    expect(verdict(add(1, [0, 1], 'info'), read([], [2, 3]))).toContain('unknown');
  });

  it('keeps keys apart', () => {
    const mine = { ...add(1, [0, 1]), key: 'a' };
    const other = { ...read([], [2, 3]), key: 'b' };
    const own = { ...read([1], [4, 5]), key: 'a' };
    expect(check([mine, other, own], name).valid).toBe(true);
    // What was added to the first one was looked for by nobody.
    expect(check([mine, other], name)).toMatchObject({
      valid: 'unknown',
      detail: expect.stringContaining('never read: a'),
    });
  });

  it('is satisfied with every history of a correct object', () => {
    const property = fc.property(fc.integer(), (seed) => {
      const thing = growingThing(name === 'set' ? 'add' : 'append', ['x', 'y']);
      expect(check(draw(thing, new Dice(seed), 300, 8), name).valid).toBe(true);
    });
    fc.assert(property, { numRuns: 200 });
  });

  it('finds one acknowledged element that is missing from one read, or stands in another twice', () => {
    let tried = 0;
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      const operations = draw(growingThing(name === 'set' ? 'add' : 'append'), dice, 200, 6);
      const reads = operations.filter(({ f, outcome }) => f === 'read' && outcome === 'ok');
      const target = dice.pick(reads);
      const missing = operations.find(
        ({ f, outcome, endIndex }) => f !== 'read' && outcome === 'ok' && (endIndex ?? 0) < target.index,
      );
      if (missing === undefined) return;
      tried += 1;
      const elements = target.result as readonly unknown[];
      const twice = [...elements, missing.value];
      const less = elements.filter((element) => element !== missing.value);
      for (const result of [twice, less]) {
        const spoiled = operations.map((one) => (one === target ? { ...one, result } : one));
        expect(check(spoiled, name).valid).toBe(false);
      }
    });
    fc.assert(property, { numRuns: 200 });
    expect(tried).toBeGreaterThan(150);
  });
});

/** A set of numbers below 31 as its bits. */
const SET: Model<{ readonly isRead: boolean; readonly bits: number }> = {
  initial: 0,
  step: (state, { isRead, bits }) => (!isRead ? state | bits : state === bits ? state : -1),
  readOnly: ({ isRead }) => isRead,
  classOf: ({ isRead, bits }) => `${isRead} ${bits}`,
  describe: (state) => state.toString(2),
};

const setCalls = (operations: readonly Operation[]): Parameters<typeof search<{ isRead: boolean; bits: number }>>[1] =>
  operations.flatMap(({ f, value, result, outcome, index, endIndex }) => {
    if (outcome === 'fail' || (f === 'read' && outcome !== 'ok')) return [];
    const elements = (f === 'read' ? result : [value]) as readonly number[];
    const op = { isRead: f === 'read', bits: elements.reduce((bits, element) => bits | (1 << element), 0) };
    return [{ op, calledAt: index, returnedAt: endIndex }];
  });

describe('set', () => {
  const add = grow('add');

  it('finds two reads that no order explains', () => {
    const { valid, detail } = snapshots(
      sorted([add(1, [0, 9]), add(2, [1, 8]), read([1], [2, 4]), read([2], [3, 5])]),
      'set',
    );
    expect(valid).toBe(false);
    expect(detail).toContain('no order explains both reads');
  });

  it('agrees with the search for an order, on good and bad histories', () => {
    let bad = 0;
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      const drawn = draw(growingThing('add'), dice, 9, 4, 0.25);
      const reads = drawn.filter(({ f, outcome }) => f === 'read' && outcome === 'ok');
      const elements = drawn.flatMap(({ f, value }) => (f === 'add' ? [value] : []));
      if (reads.length === 0 || elements.length === 0) return;
      const [target, element] = [dice.pick(reads), dice.pick(elements)];
      const now = target.result as readonly unknown[];
      const result = now.includes(element) ? now.filter((one) => one !== element) : [...now, element];
      const operations = drawn.map((one) => (one === target ? { ...one, result } : one));
      const isGood = search(SET, setCalls(operations)).kind === 'linearizable';
      if (!isGood) bad += 1;
      expect(snapshots(operations, 'set').valid !== false).toBe(isGood);
    });
    fc.assert(property, { numRuns: 3_000 });
    expect(bad).toBeGreaterThan(300);
  });

  it('does not mind the order of elements', () => {
    const operations = [add(1, [0, 1]), add(2, [2, 3]), read([2, 1], [4, 5]), read([1, 2], [6, 7])];
    expect(snapshots(operations, 'set').valid).toBe(true);
  });
});

describe('a set that is read page by page', () => {
  const add = grow('add');
  const verdict = (...operations: readonly Operation[]): string => {
    const { valid, detail } = checkSets(sorted(operations), 'set');
    return valid === true ? 'good' : `${valid}: ${detail}`;
  };

  it('may show what came meanwhile, in part', () => {
    expect(verdict(add(1, [0, 9]), add(2, [1, 8]), read([1], [2, 4]), read([2], [3, 5]))).toBe('good');
    expect(verdict(add(0, [0, 1]), read([0, 3], [2, 9]), add(2, [3, 4]), add(3, [5, 6]))).toBe('good');
  });

  it('shows everything that was known to be in it, and nothing else', () => {
    expect(verdict(add(1, [0, 1]), read([], [2, 3]))).toContain('lost or stale: 1 is missing');
    const vanished = [add(1, [0, 1], 'info'), read([1], [2, 3]), read([], [4, 5])];
    expect(verdict(...vanished, add(2, [6, 7]))).toContain('a read went back: 1 was seen');
    expect(verdict(add(1, [0, 1]), read([1, 1], [2, 3]))).toContain('1 is there twice');
    expect(verdict(add(1, [0, 1]), read([1, 2], [2, 3]), add(2, [4, 5]))).toContain('2 was seen before it was added');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'fail'), read([1, 2], [4, 5]))).toContain('2 was refused');
    expect(verdict(add(1, [0, 1]), add(2, [2, 3], 'info'), read([1], [4, 5]), read([1, 2], [6, 7]))).toBe('good');
  });

  it('is satisfied with every history of a correct set', () => {
    const property = fc.property(fc.integer(), (seed) => {
      expect(checkSets(draw(growingThing('add', ['x', 'y']), new Dice(seed), 300, 8), 'set').valid).toBe(true);
    });
    fc.assert(property, { numRuns: 100 });
  });
});

describe('append', () => {
  const append = grow('append');

  it('finds elements that changed places, and an order against real time', () => {
    const moved = [append(1, [0, 9]), append(2, [1, 8]), read([1, 2], [10, 11]), read([2, 1], [12, 13])];
    expect(checkLists(moved, 'append').detail).toContain('two reads differ at position 0');
    const against = [append(1, [0, 1]), append(2, [2, 3]), read([2, 1], [4, 5])];
    expect(checkLists(against, 'append').detail).toContain('2 comes before 1');
  });

  it('agrees with the search for an order, on good and bad histories', () => {
    let bad = 0;
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      const drawn = draw(growingThing('append'), dice, 9, 4, 0.25);
      const reads = drawn.filter(({ f, outcome }) => f === 'read' && outcome === 'ok');
      if (reads.length < 2) return;
      const [a, b] = [dice.pick(reads), dice.pick(reads)];
      const operations = drawn.map((one) =>
        one === a ? { ...a, result: b.result } : one === b ? { ...b, result: a.result } : one,
      );
      const model = new ListModel();
      const isGood = search(model, listCalls(model, operations)).kind === 'linearizable';
      if (!isGood) bad += 1;
      expect(checkLists(operations, 'append').valid !== false).toBe(isGood);
    });
    fc.assert(property, { numRuns: 3_000 });
    expect(bad).toBeGreaterThan(300);
  });
});
