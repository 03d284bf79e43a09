import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENTRY_OVERHEAD_BYTES, LogView } from '../../src/raft/log-view.ts';
import { logIndex, term } from '../../src/types/ids.ts';
import { entriesOfTerms, spansOf } from './cluster.ts';

const at = logIndex;
const ALL = Number.MAX_SAFE_INTEGER;

function recovered(terms: readonly number[]): LogView {
  return new LogView({
    firstIndex: at(1),
    lastIndex: at(terms.length),
    baseIndex: at(0),
    baseTerm: term(0),
    spans: spansOf(entriesOfTerms(terms)),
  });
}

function appended(terms: readonly number[]): LogView {
  const log = recovered([]);
  log.append(entriesOfTerms(terms));
  return log;
}

describe('log view', () => {
  it('knows the term of every index and of the base, and no other', () => {
    const log = recovered([1, 1, 4, 4, 6]);
    expect([0, 1, 2, 3, 4, 5, 6].map((index) => log.termAt(at(index)))).toEqual([0, 1, 1, 4, 4, 6, null]);
  });

  it('a log that is empty after its base still has a last term (known bug E6)', () => {
    const log = new LogView({ firstIndex: at(8), lastIndex: at(7), baseIndex: at(7), baseTerm: term(3), spans: [] });
    expect([log.lastIndex, log.lastTerm, log.termAt(at(7)), log.termAt(at(6))]).toEqual([7, 3, 3, null]);
    expect(log.isUpToDate(at(7), term(2))).toBe(false);
    expect(log.lastIndexOfTermAtMost(at(9), term(2))).toBe(7);
  });

  it.each([
    // Raft paper, 5.4.1
    [3, 2, false],
    [4, 2, true],
    [5, 2, true],
    [9, 1, false],
    [1, 3, true],
  ])('a log that ends at %i in term %i is up to date: %s', (index, value, expected) => {
    expect(recovered([1, 1, 2, 2]).isUpToDate(at(index), term(value))).toBe(expected);
  });

  it.each([
    [7, 6, 7],
    [7, 5, 5],
    [7, 4, 5],
    [7, 3, 2],
    [4, 9, 4],
    [99, 9, 7],
    [7, 0, 0],
    [0, 9, 0],
  ])('the last index ≤ %i of a term ≤ %i is %i', (index, value, expected) => {
    expect(recovered([1, 1, 4, 4, 4, 6, 6]).lastIndexOfTermAtMost(at(index), term(value))).toBe(expected);
  });

  it('slices within limits, but gives at least one entry', () => {
    const log = appended([1, 1, 1, 1]);
    const size = entriesOfTerms([1])[0]?.payload.length ?? 0;
    const indexes = (entries: number, bytes: number): readonly number[] | undefined =>
      log.slice(at(2), at(4), entries, bytes)?.map((entry) => entry.index);
    expect(indexes(ALL, ALL)).toEqual([2, 3, 4]);
    expect(indexes(2, ALL)).toEqual([2, 3]);
    expect(indexes(ALL, 2 * size)).toEqual([2, 3]);
    expect(indexes(ALL, 2 * size - 1)).toEqual([2]);
    expect(indexes(1, 0)).toEqual([2]);
    expect(log.slice(at(3), at(2), ALL, ALL)).toBeNull();
    expect(log.slice(at(3), at(5), ALL, ALL)).toBeNull();
  });

  it('evicts the oldest, none after the given index, and only as many as needed', () => {
    const log = appended([1, 1, 1, 1]);
    const size = (entriesOfTerms([1])[0]?.payload.length ?? 0) + ENTRY_OVERHEAD_BYTES;
    log.evict(at(4), 3 * size);
    expect([log.cacheFirstIndex, log.cacheBytes]).toEqual([2, 3 * size]);
    log.evict(at(2), 0);
    expect(log.cacheFirstIndex).toBe(3);
    expect(log.slice(at(2), at(4), ALL, ALL)).toBeNull();
    log.evict(at(4), 0);
    expect([log.cacheFirstIndex, log.cacheBytes, log.termAt(at(1))]).toEqual([5, 0, 1]);
  });

  it('refuses entries that leave a gap or go back in terms', () => {
    const log = appended([1, 2]);
    const [, , third, fourth] = entriesOfTerms([1, 1, 1, 3]);
    expect(() => log.append(fourth ? [fourth] : [])).toThrow('follows');
    expect(() => log.append(third ? [third] : [])).toThrow('do not go back');
  });

  it('refuses spans that do not fit the log', () => {
    const base = { firstIndex: at(1), baseIndex: at(0), baseTerm: term(0) };
    const span = (index: number, value: number) => ({ firstIndex: at(index), term: term(value) });
    expect(() => new LogView({ ...base, lastIndex: at(3), spans: [] })).toThrow('cover');
    expect(() => new LogView({ ...base, lastIndex: at(3), spans: [span(2, 1)] })).toThrow('starts');
    expect(() => new LogView({ ...base, lastIndex: at(3), spans: [span(1, 1), span(4, 2)] })).toThrow('end');
    expect(() => new LogView({ ...base, lastIndex: at(3), spans: [span(1, 2), span(2, 1)] })).toThrow('rise');
  });

  it('behaves like a plain array under appends, truncations and evictions', () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 5 }), rise: fc.nat(2) }),
      fc.record({ kind: fc.constant('truncate' as const), back: fc.nat(6) }),
      fc.record({ kind: fc.constant('evict' as const), back: fc.nat(6), bytes: fc.nat(600) }),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(1), { maxLength: 4 }), fc.array(action, { maxLength: 40 }), (rises, actions) => {
        let value = 1;
        const model: number[] = rises.map((rise) => {
          value += rise;
          return value;
        });
        const log = recovered(model);
        for (const step of actions) {
          if (step.kind === 'append') {
            value = Math.max(model[model.length - 1] ?? 1, 1) + step.rise;
            for (let turn = 0; turn < step.count; turn++) model.push(value);
            log.append(entriesOfTerms(model).slice(model.length - step.count));
          } else if (step.kind === 'truncate' && model.length > 0) {
            const index = Math.max(1, model.length - step.back);
            model.length = index - 1;
            log.truncateFrom(at(index));
          } else if (step.kind === 'evict') {
            log.evict(at(Math.max(0, model.length - step.back)), step.bytes);
          }
          expect(log.lastIndex).toBe(model.length);
          expect(model.map((_, index) => log.termAt(at(index + 1)))).toEqual(model);
          const cached = log.slice(log.cacheFirstIndex, log.lastIndex, ALL, ALL) ?? [];
          expect(cached.map((entry) => entry.term)).toEqual(model.slice(log.cacheFirstIndex - 1));
        }
      }),
    );
  });

  it('keeps little behind after a hundred thousand appends and evictions', () => {
    const log = recovered([]);
    for (let index = 1; index <= 100_000; index++) {
      log.append([{ index: at(index), term: term(1), kind: 'command', payload: new Uint8Array(1) }]);
      log.evict(at(index), 10_000);
    }
    expect(log.cacheBytes).toBeLessThanOrEqual(10_000);
    expect(log.slice(log.cacheFirstIndex, log.lastIndex, ALL, ALL)?.[0]?.index).toBe(log.cacheFirstIndex);
  });
});
