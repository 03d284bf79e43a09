/**
 * Suspicion φ = −log10(1 − F(elapsed)) of the phi accrual failure detector (Hayashibara et al. 2004), F being the normal
 * distribution of the window. φ = 1: such a duration comes once in ten times; 2: once in a hundred; and so on. Shown, not decided
 * by: what is overdue is decided by the closed formula of D2, in the state.
 *
 * 1 − F is 0 in floating point from about eight deviations on, so its logarithm is worked out directly.
 */
import { assert } from '../types/assert.ts';

const LN_SQRT_2PI = 0.5 * Math.log(2 * Math.PI);
/** From here on the continued fraction is as good as the series, and does not cancel. */
const SERIES_MAX = 3;
const FRACTION_TERMS = 80;

/** ln of the density of the standard normal distribution. */
function logDensity(z: number): number {
  return -0.5 * z * z - LN_SQRT_2PI;
}

/** F(z) − 1/2 for 0 ≤ z ≤ SERIES_MAX: density · (z + z³/3 + z⁵/15 + …) (Marsaglia 2004). All terms are positive. */
function halfCdf(z: number): number {
  let term = z;
  let sum = z;
  for (let n = 3; term > sum * Number.EPSILON; n += 2) {
    term *= (z * z) / n;
    sum += term;
  }
  return sum * Math.exp(logDensity(z));
}

/** ln(1 − F(z)) of the standard normal distribution, for any finite z. */
export function logSurvival(z: number): number {
  if (z < 0) return Math.log1p(-(0.5 - upperHalf(-z)));
  if (z <= SERIES_MAX) return Math.log(0.5 - halfCdf(z));
  return logDensity(z) + Math.log(millsRatio(z));
}

/** F(z) − 1/2 for z ≥ 0. */
function upperHalf(z: number): number {
  return z <= SERIES_MAX ? halfCdf(z) : 0.5 - Math.exp(logDensity(z)) * millsRatio(z);
}

/** (1 − F(z)) / density for z > SERIES_MAX: Laplace's continued fraction 1/(z + 1/(z + 2/(z + 3/…))). */
function millsRatio(z: number): number {
  let value = z;
  for (let n = FRACTION_TERMS; n >= 1; n -= 1) value = z + n / value;
  return 1 / value;
}

/**
 * φ of a run that has lasted `elapsedMs`; `meanMs` and `sdMs` are those of the window. Never negative, rises with `elapsedMs`, finite
 * for finite arguments. Without any deviation a run is not suspect up to the mean, and beyond it the deviation counts as 1 ms.
 */
export function phi(elapsedMs: number, meanMs: number, sdMs: number): number {
  assert(Number.isFinite(elapsedMs) && Number.isFinite(meanMs), `not durations: ${elapsedMs}, ${meanMs}`);
  assert(Number.isFinite(sdMs) && sdMs >= 0, `not a deviation: ${sdMs}`);
  const z = (elapsedMs - meanMs) / Math.max(sdMs, 1);
  return Math.max(0, -logSurvival(z) / Math.LN10);
}
