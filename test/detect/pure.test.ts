/** The pure parts of the detector: suspicion, pauses, memory of heartbeats. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AgentWatch, missedBeats } from '../../src/detect/agent-watch.ts';
import { PauseGuard } from '../../src/detect/pause-guard.ts';
import { logSurvival, phi } from '../../src/detect/phi.ts';

describe('phi (Hayashibara et al. 2004)', () => {
  it('is the logarithm of the normal distribution, to the values of its tables', () => {
    // 1 − F(z): Abramowitz and Stegun, table 26.1; far out −log10 of it, table 26.2.
    for (const [z, survival] of [
      [-3, 0.998650101968],
      [-1, 0.841344746069],
      [0, 0.5],
      [0.5, 0.308537538726],
      [1, 0.158655253931],
      [1.6448536, 0.0500000028],
      [2, 0.022750131948],
      [3, 0.001349898032],
      [3.2, 0.000687137938],
      [4, 0.0000316712418],
    ] as const) {
      expect(Math.exp(logSurvival(z)) / survival).toBeCloseTo(1, 7);
    }
    for (const [z, minusLog10] of [
      [5, 6.54265],
      [10, 23.11805],
      [20, 88.5601],
      [50, 544.96634],
      [100, 2173.87154],
      [500, 54289.9083],
    ] as const) {
      expect(-logSurvival(z) / Math.LN10).toBeCloseTo(minusLog10, 4);
    }
  });

  it('property: rises with the time, is finite and never negative, also far out', () => {
    const ms = fc.double({ min: 0, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(ms, ms, ms, fc.double({ min: 0, max: 1e9, noNaN: true }), (a, b, mean, sd) => {
        const [low, high] = [phi(Math.min(a, b), mean, sd), phi(Math.max(a, b), mean, sd)];
        expect(Number.isFinite(high)).toBe(true);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeGreaterThanOrEqual(low - 1e-9 * Math.max(1, low));
      }),
      { numRuns: 2_000 },
    );
  });

  it('has no step where one formula takes over from the other', () => {
    for (let z = -8; z < 8; z += 0.001) expect(logSurvival(z + 0.001)).toBeLessThan(logSurvival(z) + 1e-12);
    expect(logSurvival(3 + 1e-9)).toBeCloseTo(logSurvival(3), 7);
  });

  it('is 0.3 at the mean: half of all take longer', () => {
    expect(phi(120_000, 120_000, 60_000)).toBeCloseTo(Math.log10(2), 12);
    expect(phi(0, 120_000, 0)).toBe(0);
  });
});

describe('the pause guard', () => {
  it('is quiet after an election for the heartbeat interval', () => {
    const guard = new PauseGuard(250, 1_000, 15_000);
    expect(guard.tick(1_020, 15_000)).toBe(false);
    for (let nowMs = 1_040; nowMs < 16_000; nowMs += 20) expect(guard.tick(nowMs, 15_000)).toBe(false);
    expect(guard.tick(16_000, 15_000)).toBe(true);
    expect(guard.stalls).toBe(0);
  });

  it('property: after a gap of more than twice the period nothing is overdue for its length and at least an interval, after a shorter one for its length', () => {
    const gap = fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: 100_000 }));
    fc.assert(
      fc.property(fc.array(gap, { minLength: 1 }), fc.integer({ min: 0, max: 20_000 }), (gaps, leastMs) => {
        const guard = new PauseGuard(250, 0, leastMs);
        let nowMs = 0;
        let quietUntilMs = leastMs;
        for (const gapMs of gaps) {
          nowMs += gapMs;
          const graceMs = gapMs > 500 ? Math.max(gapMs, leastMs) : gapMs > 50 ? gapMs : 0;
          if (graceMs > 0) quietUntilMs = Math.max(quietUntilMs, nowMs + graceMs);
          expect(guard.tick(nowMs, leastMs)).toBe(nowMs >= quietUntilMs);
          expect(guard.quietUntilMs).toBe(quietUntilMs);
        }
        expect(guard.stalls).toBe(gaps.filter((gapMs) => gapMs > 500).length);
      }),
    );
  });
});

describe('D3: heartbeats in memory', () => {
  it('counts whole intervals', () => {
    expect([0, 14_999, 15_000, 59_999, 60_000, -5].map((ms) => missedBeats(ms, 15_000))).toEqual([0, 0, 1, 3, 4, 0]);
  });

  it('property: overdue are exactly those that missed too many, the longest silent first, up to the limit', () => {
    const beats = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 300 })));
    fc.assert(
      fc.property(beats, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 25 }), (given, missesMax, limit) => {
        const watch = new AgentWatch();
        const last = new Map<string, number>();
        let nowMs = 0;
        for (const [agent, gapMs] of given) {
          nowMs += gapMs;
          watch.beat(`a${agent}`, nowMs);
          last.set(`a${agent}`, nowMs);
        }
        nowMs += 200;
        const late = [...last].filter(([, beatMs]) => missedBeats(nowMs - beatMs, 100) > missesMax);
        const found = watch.overdue(nowMs, 100, missesMax, limit);
        expect(found).toHaveLength(Math.min(limit, late.length));
        expect(found.map(([, silentMs]) => silentMs)).toEqual(
          late
            .map(([, beatMs]) => nowMs - beatMs)
            .sort((a, b) => b - a)
            .slice(0, limit),
        );
        for (const [agent] of found) expect(late.map(([name]) => name)).toContain(agent);
      }),
    );
  });

  it('forgets', () => {
    const watch = new AgentWatch();
    watch.beat('a', 0);
    watch.beat('b', 0);
    watch.forget('a');
    expect([watch.size, watch.has('a'), watch.has('b')]).toEqual([1, false, true]);
    watch.clear();
    expect(watch.overdue(1e9, 1, 1, 9)).toEqual([]);
  });
});
