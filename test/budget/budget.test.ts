import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Budget, type BudgetNotice, type BudgetOptions, FX_STALE_MS } from '../../src/budget/budget.ts';

const DAY = Date.UTC(2026, 2, 1);
const FX = 'date: 2026-03-01\nbase: EUR\nrates: { USD: 1.25, GBP: 0.8 }\n';

let folder: string;
let budget: Budget | null = null;
let notices: BudgetNotice[];
let wallMs: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'budget-'));
  notices = [];
  wallMs = DAY;
});

afterEach(async () => {
  budget?.close();
  budget = null;
  await rm(folder, { recursive: true });
});

const path = (name: string) => join(folder, name);

async function open(options: Partial<BudgetOptions> = {}): Promise<Budget> {
  const opened = await Budget.open({
    budgetFile: path('budget.yaml'),
    fxFile: path('fx.yaml'),
    wallMs: () => wallMs,
    onNotice: (notice) => notices.push(notice),
    ...options,
  });
  if (!opened.ok) throw new Error(opened.error);
  budget = opened.value;
  return budget;
}

const cost = (region: string, currency: string, amount: string) => {
  const price = budget?.price(region, currency, amount);
  return price?.ok === true ? [price.value.costMicros, price.value.limitMicros] : price?.error;
};

describe('L4: the price of an effect', () => {
  test('without files: 500 units, and no other currency than the budget knows', async () => {
    await open({ budgetFile: null, fxFile: null });
    expect(cost('anywhere', '', '12.50')).toEqual(['12500000', '500000000']);
    expect(cost('anywhere', 'EUR', '1')).toMatch(/no table of exchange rates .* EUR into USD/);
  });

  test('in the currency of the region, of the budget, and of neither', async () => {
    await writeFile(path('budget.yaml'), 'currency: EUR\nregions: { us: { currency: USD, limit: 100 } }');
    await writeFile(path('fx.yaml'), FX);
    await open();
    // 1 EUR = 1.25 USD = 0.8 GBP
    expect(cost('us', '', '5')).toEqual(['4000000', '80000000']);
    expect(cost('us', 'EUR', '5')).toEqual(['5000000', '80000000']);
    expect(cost('us', 'GBP', '4')).toEqual(['5000000', '80000000']);
    expect(cost('elsewhere', '', '5')).toEqual(['5000000', '500000000']);
    expect(budget?.currency).toBe('EUR');
  });

  test.each(['-1', '1e9', '', 'ten'])('%j is refused', async (amount) => {
    await open({ budgetFile: null, fxFile: null });
    expect(cost('', '', amount)).toMatch(/is no amount; send a decimal number/);
  });

  test('a currency that is not in the table, and a cost beyond what can be on record, are refused', async () => {
    await writeFile(path('fx.yaml'), 'date: 2026-03-01\nbase: USD\nrates: { AAA: 0.000000000000000001 }');
    await open({ budgetFile: null });
    expect(cost('', 'CHF', '1')).toMatch(/of 2026-03-01 has no CHF/);
    expect(cost('', 'AAA', '999999999999')).toMatch(/more than can be put on record/);
  });
});

describe('L4: the files', () => {
  test('a broken file at the start is a mistake of the configuration', async () => {
    await writeFile(path('budget.yaml'), 'currency: 5');
    const opened = await Budget.open({
      budgetFile: path('budget.yaml'),
      fxFile: null,
      wallMs: () => wallMs,
      onNotice: () => undefined,
    });
    expect(opened).toMatchObject({
      ok: false,
      error: expect.stringMatching(/^budgetFile .*currency: must be a currency/),
    });
  });

  test.each([
    ['fxFile', { budgetFile: null }],
    ['budgetFile', { fxFile: null }],
  ])('a missing %s at the start, too', async (what, options) => {
    await expect(open(options)).rejects.toThrow(new RegExp(`^${what} .*ENOENT`));
  });

  test('a limit in a currency without a rate is refused', async () => {
    await writeFile(path('budget.yaml'), 'currency: EUR\nregions: { us: { currency: JPY } }');
    await writeFile(path('fx.yaml'), FX);
    await expect(open()).rejects.toThrow(/has no JPY/);
  });

  const writers: readonly (readonly [string, (text: string) => Promise<void>])[] = [
    ['written in place', (text) => writeFile(path('budget.yaml'), text)],
    [
      'renamed over the old one',
      async (text) => {
        await writeFile(path('.budget.yaml.swp'), text);
        await rename(path('.budget.yaml.swp'), path('budget.yaml'));
      },
    ],
    [
      'taken away and made again',
      async (text) => {
        await unlink(path('budget.yaml'));
        await writeFile(path('budget.yaml'), text);
      },
    ],
  ];
  test.each(writers)('a new file that is %s holds without a restart', async (_how, write) => {
    await writeFile(path('budget.yaml'), 'default: { limit: 10 }');
    await open({ fxFile: null });
    expect(cost('', '', '1')).toEqual(['1000000', '10000000']);
    await write('default: { limit: 20 }');
    await vi.waitFor(() => expect(cost('', '', '1')).toEqual(['1000000', '20000000']));
    await vi.waitFor(() => expect(notices).toContainEqual({ kind: 'budgetChanged', file: path('budget.yaml') }));
  });

  test('a file that is reached through a link which is moved, as mounted configuration is', async () => {
    await mkdir(path('one'));
    await mkdir(path('two'));
    await writeFile(path('one/budget.yaml'), 'default: { limit: 10 }');
    await writeFile(path('two/budget.yaml'), 'default: { limit: 20 }');
    await symlink('one', path('data'));
    await symlink('data/budget.yaml', path('budget.yaml'));
    await open({ fxFile: null });
    await symlink('two', path('data.new'));
    await rename(path('data.new'), path('data'));
    await vi.waitFor(() => expect(cost('', '', '1')).toEqual(['1000000', '20000000']));
  });

  test('a broken file is refused and said to be, the old one stays, and a good one after it holds', async () => {
    await writeFile(path('budget.yaml'), 'default: { limit: 10 }');
    await open({ fxFile: null });
    await writeFile(path('budget.yaml'), 'default: { limit: much }');
    await vi.waitFor(() => expect(notices.map(({ kind }) => kind)).toEqual(['fileBroken']));
    expect(notices[0]).toMatchObject({ file: path('budget.yaml'), problem: expect.stringContaining('it is "much"') });
    expect(cost('', '', '1')).toEqual(['1000000', '10000000']);
    await unlink(path('budget.yaml'));
    await vi.waitFor(() => expect(notices).toHaveLength(2));
    expect(notices[1]).toMatchObject({ kind: 'fileBroken', problem: expect.stringContaining('ENOENT') });
    expect(cost('', '', '1')).toEqual(['1000000', '10000000']);
    await writeFile(path('budget.yaml'), 'default: { limit: 30 }');
    await vi.waitFor(() => expect(cost('', '', '1')).toEqual(['1000000', '30000000']));
  });

  test('a file that is too large, or not UTF-8, is refused', async () => {
    await writeFile(path('budget.yaml'), '');
    await open({ fxFile: null });
    await writeFile(path('budget.yaml'), `#${'x'.repeat(1024 * 1024)}`);
    await vi.waitFor(() => expect(notices.at(-1)).toMatchObject({ problem: expect.stringContaining('bytes') }));
    await writeFile(path('budget.yaml'), Buffer.from([0x63, 0xff]));
    await vi.waitFor(() => expect(notices.at(-1)).toMatchObject({ problem: expect.stringMatching(/encoded|utf-8/i) }));
  });

  test('without a word from the system the look now and then finds the change', async () => {
    await mkdir(path('far'));
    await writeFile(path('far/budget.yaml'), 'default: { limit: 10 }');
    // What is behind the link is not in the folder that is watched.
    await symlink('far/budget.yaml', path('budget.yaml'));
    await open({ fxFile: null, lookMs: 20 });
    await writeFile(path('far/budget.yaml'), 'default: { limit: 20 }');
    await vi.waitFor(() => expect(cost('', '', '1')).toEqual(['1000000', '20000000']));
  });

  test('files that need each other may change in either order', async () => {
    await writeFile(path('budget.yaml'), 'currency: EUR');
    await writeFile(path('fx.yaml'), FX);
    await open();
    await writeFile(path('budget.yaml'), 'currency: EUR\ndefault: { currency: JPY, limit: 1600 }');
    await vi.waitFor(() => expect(notices.at(-1)).toMatchObject({ problem: expect.stringContaining('has no JPY') }));
    expect(cost('', '', '1')).toEqual(['1000000', '500000000']);
    await writeFile(path('fx.yaml'), 'date: 2026-03-02\nbase: EUR\nrates: { JPY: 160 }');
    await vi.waitFor(() => expect(cost('', 'EUR', '1')).toEqual(['1000000', '10000000']));
    // A table without a currency that is in use is refused in the same way.
    await writeFile(path('fx.yaml'), 'date: 2026-03-03\nbase: EUR\nrates: { USD: 2 }');
    await vi.waitFor(() => expect(notices.at(-1)).toMatchObject({ problem: expect.stringContaining('has no JPY') }));
    await writeFile(path('budget.yaml'), 'currency: EUR\ndefault: { currency: USD, limit: 2 }');
    await vi.waitFor(() => expect(cost('', 'EUR', '1')).toEqual(['1000000', '1000000']));
  });
});

describe('L4: exchange rates grow old', () => {
  test('older than 48 hours is told once for each table, and used all the same', async () => {
    await writeFile(path('fx.yaml'), FX);
    await open({ budgetFile: null });
    wallMs = DAY + FX_STALE_MS;
    budget?.lookAtFx();
    expect(notices).toEqual([]);
    wallMs++;
    budget?.lookAtFx();
    budget?.lookAtFx();
    const told = { kind: 'fxStale', file: path('fx.yaml'), date: '2026-03-01', ageMs: FX_STALE_MS + 1 };
    expect(notices).toEqual([told]);
    expect(cost('', 'EUR', '1')).toEqual(['1250000', '500000000']);
    await writeFile(path('fx.yaml'), FX.replace('03-01', '03-03'));
    await vi.waitFor(() => expect(notices.at(-1)).toMatchObject({ kind: 'fxChanged', date: '2026-03-03' }));
    expect(budget?.fxAgeMs).toBe(1);
    wallMs += FX_STALE_MS;
    budget?.lookAtFx();
    expect(notices.at(-1)).toMatchObject({ kind: 'fxStale', date: '2026-03-03' });
  });

  test('a table that is old at the start is told at the start', async () => {
    await writeFile(path('fx.yaml'), FX);
    wallMs = DAY + 10 * FX_STALE_MS;
    await open({ budgetFile: null });
    expect(notices).toMatchObject([{ kind: 'fxStale', date: '2026-03-01' }]);
  });
});
