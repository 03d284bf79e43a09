/**
 * Money: exact decimals as whole numbers of a power of ten, and millionths for what is on record (L4). No floating point anywhere:
 * not even a file's numbers are read as such.
 */
import { assert } from '../types/assert.ts';

/** `digits` · 10^−`scale` */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

const TEXT = /^(\d{1,18})(?:\.(\d{1,18}))?$/;
const MICROS_SCALE = 6;

/** null: not a decimal number without a sign, such as 500 or 0.25, of at most 18 digits before the point and 18 after it. */
export function parseDecimal(text: string): Decimal | null {
  const match = TEXT.exec(text);
  if (match === null) return null;
  const [, whole = '', fraction = ''] = match;
  return { digits: BigInt(whole + fraction), scale: fraction.length };
}

/** `amount` · `times` / `over` in millionths, rounded up: a cost is never put on record for less than it is. */
export function convertToMicros(amount: Decimal, times: Decimal, over: Decimal): bigint {
  assert(over.digits > 0n, 'a divisor above 0');
  const above = amount.digits * times.digits * 10n ** BigInt(over.scale + MICROS_SCALE);
  const below = over.digits * 10n ** BigInt(amount.scale + times.scale);
  return (above + below - 1n) / below;
}

export const ONE: Decimal = { digits: 1n, scale: 0 };
