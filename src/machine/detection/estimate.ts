/**
 * How long a phase may take (D2): the adaptive timeout from the durations of the past, in a closed form, so that it can be
 * checked by hand and is the same on every replica. The normal distribution of the phi accrual detector (Hayashibara et al.,
 * "The φ accrual failure detector", 2004, section IV), asked for its 95th percentile instead of its φ: only + − × ÷ and √
 * are needed, which IEEE 754 rounds correctly everywhere.
 *
 * With n samples x, prior p:
 *   n < 10   m = ((10 − n)·p + Σx) / 10,  v = ((10 − n)·(p/2)² + Σ(x − x̄)²) / 10,  K = ((10 − n)·z + n·K₁₀) / 10
 *   n ≥ 10   m = Σx / n,                  v = Σ(x − x̄)² / n,                        K = Kₙ
 *   P95 = m + K·√v,  timeout = ⌈k·P95⌉
 *
 * z = 1.6448536 would be P95 if m and v were known. A window of ten knows them badly: with z throughout, 8 of 100 fresh clusters
 * raised an alarm by chance within 99 phases. So Kₙ is the factor of a one-sided tolerance limit: the window's 95th percentile is at
 * or below m + Kₙ·√v with 99 % confidence. Natrella's closed approximation (NIST/SEMATECH e-Handbook of Statistical Methods,
 * section 7.2.6.3), for v divided by n:
 *   a = 1 − g² / (2(n − 1)),  b = z² − g² / n,  Kₙ = (z + √(z² − a·b)) / a · √(n / (n − 1)),  g = 2.3263479
 */
import { assert } from '../../types/assert.ts';

/** The 95th percentile of the standard normal distribution. */
export const Z95 = 1.6448536;
/** The 99th: how sure the limit is. */
const Z99 = 2.3263479;
/** From so many samples on the prior counts no more. */
export const BLEND_SAMPLES = 10;

/** K of the header for `n` samples, n ≥ 0. Falls with n from ten on, to 2.07 at a hundred. */
export function limitFactor(n: number): number {
  const blended = Math.max(0, BLEND_SAMPLES - n);
  if (blended > 0) return (blended * Z95 + n * toleranceFactor(BLEND_SAMPLES)) / BLEND_SAMPLES;
  return toleranceFactor(n);
}

function toleranceFactor(n: number): number {
  const a = 1 - (Z99 * Z99) / (2 * (n - 1));
  const b = Z95 * Z95 - (Z99 * Z99) / n;
  return ((Z95 + Math.sqrt(Z95 * Z95 - a * b)) / a) * Math.sqrt(n / (n - 1));
}

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
  return { meanMs, variance, p95Ms: meanMs + limitFactor(n) * Math.sqrt(variance) };
}

/** k × P95 in whole milliseconds, rounded up, at least 1. `kMilli`: thousandths. */
export function timeoutOf({ p95Ms }: Estimate, kMilli: number): number {
  return Math.max(1, Math.ceil((kMilli * p95Ms) / 1_000));
}
