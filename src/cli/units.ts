/** Durations and amounts of money as people write and read them. */

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

/** Milliseconds of `15s`, `1.5h`, `90d` or `250ms`; null: it is none of these, or no whole number of milliseconds. */
export function durationOf(text: string): number | null {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = UNITS.find(([name]) => name === unit)?.[1];
  if (digits === undefined || factor === undefined) return null;
  const ms = Number(digits) * factor;
  return Number.isSafeInteger(ms) ? ms : null;
}

/** In the largest unit that leaves a whole number: 15s, 90m, 250ms. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  const [unit, factor] = UNITS.find(([, size]) => ms % size === 0) ?? ['ms', 1];
  return `${ms / factor}${unit}`;
}

/** Rounded to what a person wants to know: 850ms, 12.3s, 4m 10s, 2h 5m, 3d 4h. */
export function roughDuration(ms: number): string {
  const positive = Math.max(0, Math.round(ms));
  if (positive < 1_000) return `${positive}ms`;
  if (positive < 60_000) return `${Math.round(positive / 100) / 10}s`;
  const at = UNITS.findIndex(([, size]) => positive >= size);
  const [unit, size] = UNITS[at] ?? ['m', 60_000];
  const [small, smallSize] = UNITS[at + 1] ?? ['s', 1_000];
  const rest = Math.floor((positive % size) / smallSize);
  return `${Math.floor(positive / size)}${unit}${rest === 0 ? '' : ` ${rest}${small}`}`;
}

/** Millionths as a decimal number: 12500000 is 12.50. Exact: no floating point touches money. */
export function formatMicros(micros: string): string {
  const digits = micros.padStart(7, '0');
  const fraction = digits.slice(-6).replace(/0{1,4}$/, '');
  return `${digits.slice(0, -6)}.${fraction}`;
}
