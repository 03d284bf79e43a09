import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { QuorateError } from '../../src/client/errors.ts';
import { REQUESTS_IN_FLIGHT_MAX, RequestWindow } from '../../src/client/request-window.ts';
import { SESSION_ANSWERS_MAX } from '../../src/types/limits.ts';

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending;
}

describe('R6: the window of a session', () => {
  test('numbers from 1, without gaps, and acknowledges what is answered in order', async () => {
    const window = new RequestWindow();
    expect(await window.acquire()).toBe(1);
    expect(await window.acquire()).toBe(2);
    expect(await window.acquire()).toBe(3);
    window.settle(2);
    expect(window.ackedThrough).toBe(0);
    window.settle(1);
    expect(window.ackedThrough).toBe(2);
    window.settle(3);
    expect(window.ackedThrough).toBe(3);
  });

  test('lets 64 in, in the order of asking', async () => {
    const window = new RequestWindow();
    for (let i = 0; i < REQUESTS_IN_FLIGHT_MAX; i++) await window.acquire();
    const next = window.acquire();
    const afterNext = window.acquire();
    expect(await isPending(next)).toBe(true);
    window.settle(5);
    expect(await next).toBe(REQUESTS_IN_FLIGHT_MAX + 1);
    expect(await isPending(afterNext)).toBe(true);
    window.settle(6);
    expect(await afterNext).toBe(REQUESTS_IN_FLIGHT_MAX + 2);
  });

  test('a caller that gives up leaves the queue', async () => {
    const window = new RequestWindow();
    for (let i = 0; i < REQUESTS_IN_FLIGHT_MAX; i++) await window.acquire();
    const controller = new AbortController();
    const given = window.acquire(controller.signal);
    const other = window.acquire();
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    window.settle(1);
    expect(await other).toBe(REQUESTS_IN_FLIGHT_MAX + 1);
  });

  test('a caller too many is refused, and told what to do', async () => {
    const window = new RequestWindow();
    for (let i = 0; i < REQUESTS_IN_FLIGHT_MAX; i++) await window.acquire();
    for (let i = 0; i < 65_536; i++) void window.acquire();
    const refused = await window.acquire().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(QuorateError);
    expect(refused).toMatchObject({ reason: 'OVERLOADED', message: expect.stringContaining('await some before') });
  });

  test('an abandoned request holds the acknowledgement back until its place is needed', async () => {
    const window = new RequestWindow();
    window.abandon(await window.acquire());
    for (let i = 0; i < SESSION_ANSWERS_MAX; i++) window.settle(await window.acquire());
    expect(window.ackedThrough).toBeGreaterThan(0);
    window.reopen(1);
    window.abandon(1);
    expect(window.ackedThrough).toBe(SESSION_ANSWERS_MAX + 1);
  });

  test('never runs ahead of what the cluster remembers, whatever the order of answers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 600 }), async (steps) => {
        const window = new RequestWindow();
        const open: number[] = [];
        let acked = 0;
        for (const [pick, abandon] of steps) {
          const place = window.acquire();
          if (await isPending(place)) {
            const [sequence = 0] = open.splice(pick % open.length, 1);
            if (abandon) window.abandon(sequence);
            else window.settle(sequence);
            if (await isPending(place)) while (await isPending(place)) window.settle(open.shift() ?? 0);
          }
          const sequence = await place;
          open.push(sequence);
          expect(sequence - window.ackedThrough).toBeLessThanOrEqual(SESSION_ANSWERS_MAX);
          expect(window.ackedThrough).toBeGreaterThanOrEqual(acked);
          expect(window.ackedThrough).toBeLessThan(Math.min(...open));
          acked = window.ackedThrough;
        }
      }),
      { numRuns: 50 },
    );
  });
});
