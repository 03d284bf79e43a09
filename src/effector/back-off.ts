/** Full jitter (L3): the wait is uniform over everything up to the exponential bound, so that those who failed together come back apart. */
import { RANDOM_BOUND_MAX, type Random } from '../ports/random.ts';
import { assert } from '../types/assert.ts';

/** Milliseconds to wait after try `attempt` (from 1) has failed: uniform in [0, min(cap, base · 2^(attempt − 1))]. */
export function fullJitterMs(random: Random, attempt: number, baseMs: number, capMs: number): number {
  assert(attempt >= 1, `a try from 1: ${attempt}`);
  const boundMs = Math.min(capMs, baseMs * 2 ** (attempt - 1));
  assert(boundMs >= 0 && boundMs + 1 < RANDOM_BOUND_MAX, `a wait that can be drawn: ${boundMs}`);
  return random.below(boundMs + 1);
}
