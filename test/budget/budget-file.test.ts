import { describe, expect, test } from 'vitest';
import { parseBudget, parseFx } from '../../src/budget/budget-file.ts';

const d = (digits: bigint, scale = 0) => ({ digits, scale });

describe('L4: budget.yaml', () => {
  test('regions with currency and limit, and what holds for the others', () => {
    const text = `
currency: EUR
default: { currency: USD, limit: 250.50 }
regions:
  eu-central: { currency: EUR, limit: 0.1 }
  us-east:
    currency: USD
`;
    expect(parseBudget(text)).toEqual({
      ok: true,
      value: {
        currency: 'EUR',
        fallback: { currency: 'USD', limit: d(25050n, 2) },
        regions: new Map([
          ['eu-central', { currency: 'EUR', limit: d(1n, 1) }],
          ['us-east', { currency: 'USD', limit: d(500n) }],
        ]),
      },
    });
  });

  test.each(['', '# nothing\n', '{}', 'currency: USD'])('%j means 500 US dollars everywhere', (text) => {
    expect(parseBudget(text)).toEqual({
      ok: true,
      value: { currency: 'USD', fallback: { currency: 'USD', limit: d(500n) }, regions: new Map() },
    });
  });

  test('the limit is in the currency of the budget where only that is said', () => {
    const read = parseBudget('currency: JPY');
    expect(read.ok && read.value.fallback).toEqual({ currency: 'JPY', limit: d(500n) });
  });

  test.each([
    ['currency: eur', 'currency: must be a currency of 3 to 8 capital letters'],
    ['curency: EUR', 'curency'],
    ['regions: {a: {currency: EUR, limit: -5}}', 'regions.a.limit: must be an amount'],
    ['regions: {a: {currency: EUR, limit: 1e3}}', 'it is "1e3"'],
    ['regions: {a: {limit: 5}}', 'regions.a.currency: must be a currency'],
    ['regions: {a: {currency: EUR, limt: 5}}', 'limt'],
    ['regions: [a]', 'regions'],
    ['regions: {"a b": {currency: EUR}}', 'must be the name of a region'],
    ['- 1', 'must be a map'],
    ['currency: EUR\ncurrency: USD', 'not valid YAML'],
    ['a: [', 'not valid YAML'],
    ['regions: &x {a: {currency: EUR}}\ndefault: *x', 'not valid YAML'],
  ])('%j is refused, and it is said why', (text, why) => {
    const read = parseBudget(text);
    expect(read).toMatchObject({ ok: false, error: expect.stringContaining(why) });
  });
});

describe('L4: exchange rates', () => {
  test('rates of a day; the base is 1', () => {
    expect(parseFx('date: 2026-03-01\nbase: EUR\nrates: { USD: 1.0842, GBP: 0.8371 }')).toEqual({
      ok: true,
      value: {
        date: '2026-03-01',
        dateMs: Date.UTC(2026, 2, 1),
        base: 'EUR',
        rates: new Map([
          ['USD', d(10842n, 4)],
          ['GBP', d(8371n, 4)],
          ['EUR', d(1n)],
        ]),
      },
    });
  });

  test('a time of the day is kept, JSON is YAML, and the base may say that it is 1', () => {
    const read = parseFx('{"date": "2026-03-01T16:00:00Z", "base": "EUR", "rates": {"USD": "1.1", "EUR": 1.0}}');
    expect(read.ok && read.value.dateMs).toBe(Date.UTC(2026, 2, 1, 16));
  });

  test.each([
    ['base: EUR\nrates: {USD: 1}', 'date: must be the day'],
    ['date: 2026-02-30\nbase: EUR\nrates: {}', 'is no such day'],
    ['date: 1 March\nbase: EUR\nrates: {}', 'date: must be a day'],
    ['date: 2026-03-01\nbase: EUR\nrates: {USD: 0}', 'rates.USD: must be a rate above 0'],
    ['date: 2026-03-01\nbase: EUR\nrates: {USD: 0.0}', 'rates.USD: must be a rate above 0'],
    ['date: 2026-03-01\nbase: EUR\nrates: {USD: .inf}', 'rates.USD'],
    ['date: 2026-03-01\nbase: EUR\nrates: {EUR: 2}', 'rates.EUR: must be 1'],
    ['date: 2026-03-01\nrates: {USD: 1}', 'base'],
  ])('%j is refused, and it is said why', (text, why) => {
    expect(parseFx(text)).toMatchObject({ ok: false, error: expect.stringContaining(why) });
  });
});
