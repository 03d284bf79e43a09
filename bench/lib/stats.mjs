/** Medians, quantiles and spreads of samples. */

/** @param {readonly number[]} samples @param {number} q from 0 to 1; the nearest sample above it */
export function quantile(samples, q) {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

export function mean(samples) {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
}

/** What is said of the samples of one figure. */
export function summary(samples) {
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), runs: samples.length };
}

/** Latencies in milliseconds as the figures that suites report. */
export function latencyFigures(latenciesMs) {
  return { mean: mean(latenciesMs), p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99) };
}
