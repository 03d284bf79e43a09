/** A1: who is slow, by the numbers alone. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  LAG_RULES,
  type LagVerdict,
  LagWatch,
  type Measured,
  paceOf,
  referenceMs,
} from '../../src/availability/lag.ts';
import type { AckWindow } from '../../src/node/ack-times.ts';
import { memberId } from '../../src/types/ids.ts';

const RULES = LAG_RULES;

const window = (p95Ms: number | null, count = 100, pendingMs = 0, p50Ms = p95Ms): AckWindow => ({
  count,
  p50Ms,
  p95Ms,
  pendingMs,
});

function voter(name: string, p95Ms: number | null, some: Partial<Measured> = {}): Measured {
  const member = memberId(name);
  return { member, voter: true, leader: name === 'a', lagging: false, healthy: true, window: window(p95Ms), ...some };
}

const learner = (name: string, p95Ms: number | null, some: Partial<Measured> = {}): Measured =>
  voter(name, p95Ms, { voter: false, lagging: true, healthy: false, ...some });

/** What is found when the same is seen again and again for `forMs`. */
function seenFor(measured: readonly Measured[], forMs: number, watch = new LagWatch()): LagVerdict | null {
  let verdict: LagVerdict | null = null;
  for (let nowMs = 0; nowMs <= forMs; nowMs += 500) verdict = watch.judge(measured, nowMs);
  return verdict;
}

describe('what a member is compared with', () => {
  it.each([
    ['one slow of three does not lift it', [5, 6, 500], 6],
    ['nor do two slow of five', [5, 6, 7, 500, 900], 7],
    ['of an even number it is the lower one', [5, 500], 5],
    ['when all are slow it is slow', [300, 310, 320], 310],
  ])('%s', (_, all, expected) => {
    const measured = all.map((p95Ms, i) => voter('abcde'.charAt(i), p95Ms));
    expect(referenceMs(measured, RULES)).toBe(expected);
  });

  it('is not known without samples of a majority of the voters; learners do not count', () => {
    const few = { window: window(5, RULES.samplesMin - 1) };
    expect(referenceMs([voter('a', 5), voter('b', 5), voter('c', 5, few)], RULES)).toBe(5);
    expect(referenceMs([voter('a', 5), voter('b', 5, few), voter('c', 5, few)], RULES)).toBeNull();
    expect(referenceMs([voter('a', 5), voter('b', 5, few), voter('c', 5, few), learner('d', 5)], RULES)).toBeNull();
  });
});

describe('the pace of a member', () => {
  it.each([
    ['double is still well', 60, 30, 'between'],
    ['more than double is slow', 60.1, 30, 'slow'],
    ['one and a half is fine', 45, 30, 'fine'],
    ['below the floor nobody is slow', 20, 0.1, 'between'],
    ['well below the floor everybody is fine', 15, 0.1, 'fine'],
  ] as const)('%s', (_, p95Ms, reference, pace) => {
    expect(paceOf(window(p95Ms), reference, RULES)).toBe(pace);
  });

  it('is unknown without samples enough, or without a comparison', () => {
    expect(paceOf(window(500, RULES.samplesMin - 1), 5, RULES)).toBe('unknown');
    expect(paceOf(window(null, 0), 5, RULES)).toBe('unknown');
    expect(paceOf(window(500), null, RULES)).toBe('unknown');
  });

  it('is slow when an append hangs, whatever was before it', () => {
    expect(paceOf(window(1, 100, RULES.holdMs + 1), 1, RULES)).toBe('slow');
    expect(paceOf(window(null, 0, RULES.holdMs + 1), 1, RULES)).toBe('slow');
    expect(paceOf(window(1, 100, RULES.holdMs), 1, RULES)).toBe('fine');
  });
});

describe('a slow voter', () => {
  it('is marked when it was slow for the whole time, not before', () => {
    const measured = [voter('a', 5), voter('b', 6), voter('c', 100)];
    expect(seenFor(measured, RULES.holdMs - 500)).toBeNull();
    expect(seenFor(measured, RULES.holdMs)).toMatchObject({ kind: 'mark', member: 'c' });
  });

  it('begins anew after a break', () => {
    const watch = new LagWatch();
    const slow = [voter('a', 5), voter('b', 6), voter('c', 100)];
    const well = [voter('a', 5), voter('b', 6), voter('c', 7)];
    expect(watch.judge(slow, 0)).toBeNull();
    expect(watch.judge(well, RULES.holdMs - 1)).toBeNull();
    expect(watch.judge(slow, RULES.holdMs)).toBeNull();
    expect(watch.judge(slow, 2 * RULES.holdMs)).toMatchObject({ kind: 'mark', member: 'c' });
  });

  it('is left alone when another one is marked, the slowest goes first', () => {
    const five = [voter('a', 5), voter('b', 6), voter('c', 7), voter('d', 100), voter('e', 200)];
    expect(seenFor(five, RULES.holdMs)).toMatchObject({ kind: 'mark', member: 'e' });
    expect(seenFor([...five.slice(0, 4), learner('e', 200)], RULES.holdMs)).toBeNull();
  });

  it.each([
    ['of two', [voter('a', 5), voter('b', 100)], false],
    ['of three', [voter('a', 5), voter('b', 6), voter('c', 100)], true],
    ['of three, one away', [voter('a', 5), voter('b', 6, { healthy: false }), voter('c', 100)], false],
    ['of four', [voter('a', 5), voter('b', 6), voter('d', 6), voter('c', 100)], true],
    ['of four, one away', [voter('a', 5), voter('b', 6), voter('d', 6, { healthy: false }), voter('c', 100)], false],
    [
      'of five, one away',
      [voter('a', 5), voter('b', 6), voter('d', 6), voter('e', 6, { healthy: false }), voter('c', 100)],
      true,
    ],
  ])('%s voters', (_, measured, marked) => {
    expect(seenFor(measured, RULES.holdMs)?.kind ?? null).toBe(marked ? 'mark' : null);
  });
});

describe('a slow leader', () => {
  const measured = [voter('a', 800), voter('b', 8), voter('c', 6)];

  it('does not mark itself: it hands over to the fastest, and tries again only after a while', () => {
    const watch = new LagWatch();
    expect(seenFor(measured, RULES.holdMs, watch)).toEqual({ kind: 'handOver', to: 'c' });
    expect(watch.judge(measured, RULES.holdMs + 500)).toBeNull();
    expect(watch.judge(measured, RULES.holdMs + RULES.handOverMs)).toEqual({ kind: 'handOver', to: 'c' });
  });

  it('stays when nobody better is there', () => {
    const away = { healthy: false };
    expect(seenFor([voter('a', 800), voter('b', 8, away), voter('c', 6, away)], RULES.holdMs)).toBeNull();
  });
});

describe('a member that is marked', () => {
  const others = [voter('a', 30), voter('b', 40)];

  it('comes back when it was fine for the whole time', () => {
    const measured = [...others, learner('c', 45)];
    expect(seenFor(measured, RULES.returnMs - 500)).toBeNull();
    expect(seenFor(measured, RULES.returnMs)).toMatchObject({ kind: 'clear', member: 'c' });
  });

  it('does not come back while it is in between, however long, nor while it is slow', () => {
    expect(seenFor([...others, learner('c', 61)], 10 * RULES.quietMs)).toBeNull();
    expect(seenFor([...others, learner('c', 500)], 10 * RULES.quietMs)).toBeNull();
  });

  it('comes back in a cluster that writes little when half of what it writes is fast, for longer; hiccups do not matter', () => {
    const few = (p50Ms: number) => ({ window: window(90, RULES.samplesMin - 1, 50, p50Ms) });
    const measured = (p50Ms: number) => [voter('a', 5, few(5)), voter('b', 5, few(5)), learner('c', 90, few(p50Ms))];
    expect(seenFor(measured(15), RULES.quietMs - 500)).toBeNull();
    expect(seenFor(measured(15), RULES.quietMs)).toMatchObject({ kind: 'clear', member: 'c' });
    expect(seenFor(measured(25), 10 * RULES.quietMs)).toBeNull();
  });

  it('comes back in a cluster that writes nothing when nothing speaks against it for longer', () => {
    const idle = { window: window(null, 0) };
    const measured = [voter('a', null, idle), voter('b', null, idle), learner('c', null, idle)];
    expect(seenFor(measured, RULES.quietMs - 500)).toBeNull();
    expect(seenFor(measured, RULES.quietMs)).toMatchObject({ kind: 'clear', member: 'c' });
  });
});

describe('over random measurements', () => {
  const one = fc.record({
    p95Ms: fc.option(fc.double({ min: 0, max: 1_000, noNaN: true })),
    count: fc.nat(200),
    pendingMs: fc.constantFrom(0, 0, 10, 20_000),
    healthy: fc.boolean(),
    voter: fc.boolean(),
  });

  it('healthy voters that stay are always a majority of those before, and the leader is never marked', () => {
    const round = fc.array(one, { minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(fc.array(round, { minLength: 1, maxLength: 20 }), (history) => {
        const watch = new LagWatch();
        let marked: string | null = null;
        for (const [i, all] of history.entries()) {
          const measured = all.map(({ p95Ms, count, pendingMs, ...rest }, k): Measured => {
            const member = memberId('abcdefg'.charAt(k));
            const leader = k === 0;
            return { member, leader, lagging: member === marked, ...rest, window: window(p95Ms, count, pendingMs) };
          });
          // A member that left the cluster is not marked any more.
          if (!measured.some(({ member }) => member === marked)) marked = null;
          const verdict = watch.judge(measured, i * RULES.returnMs);
          if (verdict?.kind === 'clear') expect(verdict.member).toBe(marked);
          if (verdict?.kind === 'clear') marked = null;
          if (verdict?.kind !== 'mark') continue;
          expect(marked).toBeNull();
          const voters = measured.filter((each) => each.voter);
          const left = voters.filter((each) => each.healthy && each.member !== verdict.member);
          expect(verdict.member).not.toBe('a');
          expect(left.length).toBeGreaterThanOrEqual(Math.floor(voters.length / 2) + 1);
          marked = verdict.member;
        }
      }),
      { numRuns: 500 },
    );
  });
});
