/** The real clock and the real source of randomness. */
import { randomInt } from 'node:crypto';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  defer(callback) {
    setImmediate(callback);
  },
};

export const systemRandom: Random = {
  below: (bound) => randomInt(bound),
};
