import { describe, expect, it } from 'vitest';
import { Waiters } from '../../src/proposal/waiters.ts';

function setUp() {
  const waiters = new Waiters<string>();
  const settled: string[] = [];
  const add = (id: number, deadlineMs = 100) =>
    waiters.add(id, { settle: (outcome) => settled.push(`${id}:${outcome}`), deadlineMs });
  return { waiters, settled, add };
}

describe('Waiters', () => {
  it('P1: an entry of another term at the index is somebody else’s (known-bugs R18)', () => {
    const { waiters, settled, add } = setUp();
    add(1);
    waiters.place(1, 10, 3, 'lost');
    waiters.applied(10, 4, () => 'applied', 'lost');
    expect(settled).toEqual(['1:lost']);
  });

  it('P1: the entry of the same index and term is the waiter’s', () => {
    const { waiters, settled, add } = setUp();
    add(1);
    waiters.place(1, 10, 3, 'lost');
    waiters.applied(9, 3, () => 'applied', 'lost');
    expect(settled).toEqual([]);
    waiters.applied(10, 3, () => 'applied', 'lost');
    expect(settled).toEqual(['1:applied']);
  });

  it('a later placement at the index tells the earlier waiter that its entry is gone', () => {
    const { waiters, settled, add } = setUp();
    add(1);
    add(2);
    waiters.place(1, 10, 3, 'lost');
    waiters.place(2, 10, 5, 'lost');
    waiters.applied(10, 5, () => 'applied', 'lost');
    expect(settled).toEqual(['1:lost', '2:applied']);
  });

  it('P2: settles once, whatever comes after', () => {
    const { waiters, settled, add } = setUp();
    add(1, 50);
    waiters.place(1, 10, 3, 'lost');
    waiters.expire(49, 'late');
    expect(settled).toEqual([]);
    waiters.expire(50, 'late');
    waiters.applied(10, 3, () => 'applied', 'lost');
    waiters.settleAll('stopped');
    expect(settled).toEqual(['1:late']);
    expect(waiters.size).toBe(0);
  });

  it('an expired waiter that is placed afterwards does not come back', () => {
    const { waiters, settled, add } = setUp();
    add(1, 50);
    waiters.expire(60, 'late');
    waiters.place(1, 10, 3, 'lost');
    waiters.applied(10, 3, () => 'applied', 'lost');
    expect(settled).toEqual(['1:late']);
  });
});
