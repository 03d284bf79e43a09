/** The adaptive timeout (D2): against the formula written down another way, and against durations of many kinds. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimate, limitFactor, timeoutOf } from '../../src/machine/detection/estimate.ts';
import { readText } from '../tidy/files.ts';
import { coverage, FAMILIES, freshClusters, measure, measuredTable } from './detector-rates.ts';

/** D2 in the other direction: the variance from the sums of squares, in whole numbers, and only divided at the end. */
function independently(durations: readonly number[], prior: number): { mean: number; variance: number } {
  const n = BigInt(durations.length);
  const sum = durations.reduce((total, x) => total + BigInt(x), 0n);
  const squares = durations.reduce((total, x) => total + BigInt(x) * BigInt(x), 0n);
  // n·Σ(x − x̄)² = n·Σx² − (Σx)².
  const spread = n === 0n ? 0 : Number(n * squares - sum * sum) / Number(n);
  const missing = durations.length < 10 ? 10 - durations.length : 0;
  const weight = durations.length + missing;
  return {
    mean: (missing * prior + Number(sum)) / weight,
    variance: (missing * prior * prior * 0.25 + spread) / weight,
  };
}

/**
 * Natrella's factor the other way round: the K at which a normal approximation of x̄ + K·s, which has the variance
 * σ²(1/n + K²/(2(n − 1))), is at the 95th percentile with 99 % confidence.
 */
function factorBySearch(n: number): number {
  const of = (m: number): number => {
    let [low, high] = [0, 100];
    for (let i = 0; i < 100; i++) {
      const middle = (low + high) / 2;
      const sure = (middle - 1.6448536) / Math.sqrt(1 / m + (middle * middle) / (2 * (m - 1)));
      if (sure < 2.3263479) low = middle;
      else high = middle;
    }
    return low * Math.sqrt(m / (m - 1));
  };
  return n >= 10 ? of(n) : ((10 - n) * 1.6448536 + n * of(10)) / 10;
}

describe('D2: the closed formula', () => {
  const durations = fc.array(fc.nat(10_000_000), { maxLength: 100 });

  it('is the one of the requirements', () => {
    fc.assert(
      fc.property(
        durations,
        fc.integer({ min: 1, max: 10_000_000 }),
        fc.integer({ min: 100, max: 5_000 }),
        (xs, prior, k) => {
          const { mean, variance } = independently(xs, prior);
          const found = estimate(xs, prior);
          expect(Math.abs(found.meanMs - mean)).toBeLessThanOrEqual(1e-9 * mean + 1e-9);
          expect(Math.abs(found.variance - variance)).toBeLessThanOrEqual(1e-6 * variance + 1e-6);
          const p95 = mean + factorBySearch(xs.length) * Math.sqrt(variance);
          expect(Math.abs(found.p95Ms - p95)).toBeLessThanOrEqual(1e-6 * p95 + 1e-3);
          const timeoutMs = timeoutOf(found, k);
          expect(Number.isSafeInteger(timeoutMs) && timeoutMs >= 1).toBe(true);
          expect(timeoutMs - (k * found.p95Ms) / 1_000).toBeGreaterThanOrEqual(0);
          expect(timeoutMs - (k * found.p95Ms) / 1_000).toBeLessThan(timeoutMs === 1 ? 1.01 : 1);
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    [15_000, 43_739],
    [20_000, 58_318],
    [120_000, 349_906],
    [30_000, 87_477],
    [10_000, 29_159],
  ])('with a prior of %i ms alone the timeout is %i ms', (prior, timeoutMs) => {
    expect(timeoutOf(estimate([], prior), 1_600)).toBe(timeoutMs);
  });

  it('from ten samples on the prior counts no more', () => {
    const ten = Array.from({ length: 10 }, (_, i) => 100 + i);
    expect(estimate(ten, 1)).toEqual(estimate(ten, 1_000_000));
    expect(estimate(ten.slice(1), 1)).not.toEqual(estimate(ten.slice(1), 1_000_000));
  });

  it('grows with k', () => {
    fc.assert(
      fc.property(durations, fc.integer({ min: 100, max: 5_000 }), (xs, k) => {
        const found = estimate(xs, 1_000);
        expect(timeoutOf(found, k + 1)).toBeGreaterThanOrEqual(timeoutOf(found, k));
      }),
    );
  });
});

describe('alarms', () => {
  it('D2: a fresh cluster raises none in its first 99 phases, durations drawn from the priors', () => {
    const { clusters, phases, alarms, clustersWithAlarm } = freshClusters(1_000, 99);
    process.stdout.write(
      `fresh clusters: ${alarms} alarms in ${phases} phases, ${clustersWithAlarm} of ${clusters} clusters\n`,
    );
    expect(phases).toBe(99_000);
    // Figures of docs/recovery.md. The prior itself errs: k × P95 is 3.8 of its standard deviations off.
    expect([alarms, clustersWithAlarm]).toEqual([1, 1]);
  });

  it('the limit is above the true 95th percentile as often as it says: 99 windows of 100', () => {
    for (const n of [10, 20, 50, 100]) {
      const share = coverage(n, 20_000);
      expect(share).toBeGreaterThan(0.985);
      expect(share).toBeLessThan(0.995);
    }
  });

  it('what the limit costs falls with the window', () => {
    const factors = [10, 20, 50, 100].map(limitFactor);
    expect(factors.map((factor) => factor.toFixed(2))).toEqual(['4.12', '2.91', '2.30', '2.07']);
  });

  it('false alarms and misses by kind of duration are those of docs/recovery.md', () => {
    const rows = FAMILIES.map((family) => measure(family));
    const table = measuredTable(rows);
    process.stdout.write(`${table}\n`);
    // A formatter may line the columns up.
    const plain = (text: string): string => text.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---');
    expect(plain(readText('docs/recovery.md'))).toContain(plain(table));
    // A hang is always over the timeout in the end: it is never missed, only late.
    for (const { hangsMissed } of rows) expect(hangsMissed).toBe(0);
  });
});
