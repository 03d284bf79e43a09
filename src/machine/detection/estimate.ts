/**
 * How long a phase may take (D2): the adaptive timeout from the durations of the past, in a closed form, so that it can be
 * checked by hand and is the same on every replica. The normal distribution of the phi accrual detector (Hayashibara et al.,
 * "The φ accrual failure detector", 2004, section IV), asked for its 95th percentile instead of its φ: only + − × ÷ and √
 * are needed, which IEEE 754 rounds correctly everywhere.
 *
 * With n samples x, prior p:
 *   n < 10   m = ((10 − n)·p + Σx) / 10,  v = ((10 − n)·(p/2)² + Σ(x − x̄)²) / 10
 *   n ≥ 10   m = Σx / n,                  v = Σ(x − x̄)² / n
 *   P95 = m + 1.6448536·√v,  timeout = ⌈k·P95⌉
 */
import { assert } from '../../types/assert.ts';

/** The 95th percentile of the standard normal distribution. */
export const Z95 = 1.6448536;
/** From so many samples on the prior counts no more. */
export const BLEND_SAMPLES = 10;

export interface Estimate {
  readonly meanMs: number;
  /** Milliseconds squared. */
  readonly variance: number;
  readonly p95Ms: number;
}

/** `priorMs` ≥ 1; durations ≥ 0, milliseconds. */
export function estimate(durationsMs: readonly number[], priorMs: number): Estimate {
  assert(priorMs >= 1, 'a phase has a prior');
  const n = durationsMs.length;
  let sum = 0;
  for (const x of durationsMs) sum += x;
  const windowMean = n === 0 ? 0 : sum / n;
  let squares = 0;
  for (const x of durationsMs) squares += (x - windowMean) * (x - windowMean);
  const blended = Math.max(0, BLEND_SAMPLES - n);
  const weight = n + blended;
  const meanMs = (blended * priorMs + sum) / weight;
  const variance = (blended * (priorMs / 2) * (priorMs / 2) + squares) / weight;
  return { meanMs, variance, p95Ms: meanMs + Z95 * Math.sqrt(variance) };
}

/** k × P95 in whole milliseconds, rounded up, at least 1. `kMilli`: thousandths. */
export function timeoutOf({ p95Ms }: Estimate, kMilli: number): number {
  return Math.max(1, Math.ceil((kMilli * p95Ms) / 1_000));
}
