/** X2: what a run does to a cluster is drawn from its seed, and nothing else. */
import { describe, expect, it } from 'vitest';
import { bridge, halves, oneAgainstAll, oneWay, ring } from '../../jepsen-style/nemesis/partitions.ts';
import { NEMESES, parseNemeses } from '../../jepsen-style/nemesis/table.ts';
import { parseRequest } from '../../jepsen-style/options.ts';
import { Random } from '../../jepsen-style/random.ts';
import { drawSchedule } from '../../jepsen-style/schedule.ts';

const MINUTE_MS = 60_000;
const base = { seed: 7, durationMs: 60 * MINUTE_MS, members: 5, nemeses: NEMESES, pairs: false };

describe('X2: a schedule', () => {
  it('is the same for the same seed, and another one for another seed', () => {
    expect(drawSchedule(base)).toEqual(drawSchedule(base));
    expect(drawSchedule({ ...base, seed: 8 })).not.toEqual(drawSchedule(base));
  });

  it('has every nemesis once before one comes again', () => {
    const schedule = drawSchedule(base);
    const first = schedule.slice(0, NEMESES.length).map(({ nemesis }) => nemesis);
    expect(new Set(first).size).toBe(NEMESES.length);
    expect(schedule.length).toBeGreaterThan(NEMESES.length);
  });

  it('keeps lengths within what the nemesis says, ends in time, and has one fault at a time', () => {
    let freeMs = 0;
    for (const { nemesis, startMs, lengthMs } of drawSchedule(base)) {
      const [minMs, maxMs] = NEMESES.find(({ name }) => name === nemesis)?.lengthMs ?? [0, 0];
      expect(lengthMs).toBeGreaterThanOrEqual(minMs);
      expect(lengthMs).toBeLessThanOrEqual(maxMs);
      expect(startMs).toBeGreaterThan(freeMs);
      freeMs = startMs + lengthMs;
      expect(freeMs).toBeLessThanOrEqual(base.durationMs);
    }
  });

  it('with pairs has two at a time that overlap, and every pair before one comes again', () => {
    const nemeses = parseNemeses('partition-one,kill,power-one');
    const schedule = drawSchedule({ ...base, nemeses, pairs: true });
    const pairs: string[] = [];
    for (let i = 0; i < schedule.length; i += 2) {
      const [left, right] = schedule.slice(i, i + 2);
      if (left === undefined || right === undefined) throw new Error('faults come in twos');
      expect(right.startMs).toBeLessThan(left.startMs + left.lengthMs);
      pairs.push([left.nemesis, right.nemesis].sort().join());
    }
    const count = (nemeses.length * (nemeses.length - 1)) / 2;
    expect(new Set(pairs.slice(0, count)).size).toBe(count);
  });

  it('leaves out what makes no sense with so few members, and has a fault however short it is', () => {
    const names = drawSchedule({ ...base, members: 3 }).map(({ nemesis }) => nemesis);
    expect(names).not.toContain('partition-ring');
    expect(drawSchedule({ ...base, durationMs: 1_000 }).length).toBe(1);
    expect(drawSchedule({ ...base, nemeses: [] })).toEqual([]);
  });
});

describe('X2: chance', () => {
  it('is the same for a seed and a label, and covers its range', () => {
    const numbers = (seed: number, label: string): readonly number[] => {
      const random = new Random(seed, label);
      return Array.from({ length: 1_000 }, () => random.between(1, 6));
    };
    expect(numbers(1, 'a')).toEqual(numbers(1, 'a'));
    expect(numbers(1, 'a')).not.toEqual(numbers(1, 'b'));
    const counts = [1, 2, 3, 4, 5, 6].map((face) => numbers(3, 'dice').filter((one) => one === face).length);
    for (const count of counts) expect(count).toBeGreaterThan(100);
  });

  it('shuffles without losing anybody', () => {
    expect(new Random(5).shuffle([1, 2, 3, 4, 5]).sort()).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('X2: shapes of partitions', () => {
  /** Who is heard by each member, itself included. */
  function heard(cuts: readonly { readonly from: number; readonly to: number }[], members: number): readonly string[] {
    const all = Array.from({ length: members }, (_, i) => i);
    return all.map((to) => all.filter((from) => !cuts.some((cut) => cut.from === from && cut.to === to)).join(''));
  }

  it('halves, one against all, one-way', () => {
    expect(heard(halves([3, 0, 1, 2, 4]).cuts, 5)).toEqual(['03', '124', '124', '03', '124']);
    expect(heard(oneAgainstAll([2, 0, 1, 3, 4]).cuts, 5)).toEqual(['0134', '0134', '2', '0134', '0134']);
    expect(heard(oneWay([1, 0, 2], true).cuts, 3)).toEqual(['012', '1', '012']);
    expect(heard(oneWay([1, 0, 2], false).cuts, 3)).toEqual(['02', '012', '02']);
  });

  it.each([5, 7])('ring of %i: each hears a majority, no two the same one', (members) => {
    const order = Array.from({ length: members }, (_, i) => i);
    const groups = heard(ring(order).cuts, members);
    expect(new Set(groups).size).toBe(members);
    for (const group of groups) expect(group.length).toBeGreaterThan(members / 2);
    expect(groups.every((group) => group.length < members)).toBe(true);
  });

  it('bridge: the one between the halves hears all', () => {
    expect(heard(bridge([4, 0, 1, 2, 3]).cuts, 5)).toEqual(['014', '014', '234', '234', '01234']);
  });
});

describe('X2: what a run is asked for', () => {
  it('takes names, prefixes, all and none', () => {
    expect(parseNemeses('none')).toEqual([]);
    expect(parseNemeses('all')).toEqual(NEMESES);
    expect(parseNemeses('pause-one,kill').map(({ name }) => name)).toEqual([
      'pause-one',
      'kill-one',
      'kill-minority',
      'kill-majority',
      'kill-all',
      'kill-leader',
    ]);
    expect(() => parseNemeses('earthquake')).toThrow(/there is no earthquake/);
  });

  it('refuses what it cannot do, and draws a seed only when none is given', () => {
    const never = (): number => {
      throw new Error('a seed was given');
    };
    const { options } = parseRequest(['--seed', '5', '--members', '3', '--minutes', '0.5', '--pairs'], never);
    expect(options).toMatchObject({ seed: 5, members: 3, minutes: 0.5, pairs: true });
    expect(parseRequest([], () => 42).options.seed).toBe(42);
    expect(() => parseRequest(['--members', '4'], () => 1)).toThrow(/3, 5 or 7/);
    expect(() => parseRequest(['--minutes', '0'], () => 1)).toThrow(/--minutes/);
    expect(() => parseRequest(['--workload', 'chess'], () => 1)).toThrow(/there is no chess/);
  });
});
