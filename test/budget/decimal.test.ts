import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { convertToMicros, type Decimal, ONE, parseDecimal } from '../../src/budget/decimal.ts';

const decimal = (text: string): Decimal => {
  const value = parseDecimal(text);
  if (value === null) throw new Error(`no decimal: ${text}`);
  return value;
};

const micros = (amount: string, times = '1', over = '1') =>
  convertToMicros(decimal(amount), decimal(times), decimal(over));

describe('L4: decimal arithmetic', () => {
  test.each([
    ['0', 0n],
    ['500', 500_000_000n],
    ['0.1', 100_000n],
    ['0.000001', 1n],
    ['12.50', 12_500_000n],
    ['999999999999999999.999999', 999_999_999_999_999_999_999_999n],
  ])('%s is %s millionths', (text, expected) => {
    expect(convertToMicros(decimal(text), ONE, ONE)).toBe(expected);
  });

  test('sums that floating point gets wrong are right', () => {
    expect(micros('0.1') + micros('0.2')).toBe(micros('0.3'));
    expect(micros('1.005', '100')).toBe(100_500_000n);
  });

  test('a part of a millionth counts as one', () => {
    expect(micros('0.0000001')).toBe(1n);
    expect(micros('1', '1', '3')).toBe(333_334n);
    expect(micros('2', '1', '3')).toBe(666_667n);
  });

  test.each([
    '',
    '-1',
    '+1',
    '1e3',
    '.5',
    '1.',
    '1,5',
    ' 1',
    '0x10',
    'NaN',
    '1234567890123456789',
    '0.1234567890123456789',
  ])('%j is no amount', (text) => {
    expect(parseDecimal(text)).toBeNull();
  });

  test('never below the exact value, and by less than a millionth above it', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 18n - 1n });
    const scale = fc.integer({ min: 0, max: 18 });
    const amount = fc.record({ digits, scale });
    const rate = fc.record({ digits: fc.bigInt({ min: 1n, max: 10n ** 18n - 1n }), scale });
    fc.assert(
      fc.property(amount, rate, rate, (a, times, over) => {
        const got = convertToMicros(a, times, over);
        // got · over · 10^(a+times) against a · times · 10^(6+over): cross-multiplied, so exact.
        const exact = a.digits * times.digits * 10n ** BigInt(6 + over.scale);
        const unit = over.digits * 10n ** BigInt(a.scale + times.scale);
        expect(got * unit >= exact).toBe(true);
        expect((got - 1n) * unit < exact).toBe(true);
      }),
    );
  });
});
