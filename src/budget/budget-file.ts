/**
 * The two files that say what things may cost (L4): `budget.yaml` (region → currency, limit) and the table of exchange rates. Both
 * are read with YAML's failsafe schema, in which every scalar is text as it was written: 0.1 stays 0.1.
 */
import { parse } from 'yaml';
import { z } from 'zod';
import { err, ok, type Result } from '../types/result.ts';
import { type Decimal, parseDecimal } from './decimal.ts';

export interface RegionBudget {
  readonly currency: string;
  /** Of one trace, in `currency`. */
  readonly limit: Decimal;
}

export interface BudgetTable {
  /** In which spending is summed. */
  readonly currency: string;
  /** For regions that are not listed. */
  readonly fallback: RegionBudget;
  readonly regions: ReadonlyMap<string, RegionBudget>;
}

export interface FxTable {
  /** Milliseconds since the Unix epoch; a day means its beginning, UTC. */
  readonly dateMs: number;
  /** As written. */
  readonly date: string;
  readonly base: string;
  /** One unit of the base in each currency; that of the base is 1. */
  readonly rates: ReadonlyMap<string, Decimal>;
}

export const LIMIT_DEFAULT = '500';
const REGIONS_MAX = 1_000;
const RATES_MAX = 1_000;

const currency = z
  .string({ error: 'must be a currency' })
  .regex(/^[A-Z][A-Z0-9]{2,7}$/, { error: 'must be a currency of 3 to 8 capital letters and digits, such as EUR' });

function decimal(what: string, isGood: (value: Decimal) => boolean = () => true) {
  const error = `must be ${what}, such as 500 or 0.25, with at most 18 digits before and after the point`;
  return z.string({ error }).transform((text, context): Decimal => {
    const value = parseDecimal(text);
    if (value !== null && isGood(value)) return value;
    context.addIssue({ code: 'custom', message: `${error}; it is "${text}"` });
    return z.NEVER;
  });
}

const limit = decimal('an amount').prefault(LIMIT_DEFAULT);
const region = z.string().regex(/^[\x21-\x7e]{1,128}$/, {
  error: 'must be the name of a region: 1 to 128 visible ASCII characters',
});

const budgetSchema = z.strictObject(
  {
    currency: currency.prefault('USD'),
    default: z.strictObject({ currency: currency.optional(), limit }).optional(),
    regions: z
      .record(region, z.strictObject({ currency, limit }, { error: shape('must be {currency, limit}') }))
      .refine((regions) => Object.keys(regions).length <= REGIONS_MAX, {
        error: `must be at most ${REGIONS_MAX} regions`,
      })
      .prefault({}),
  },
  { error: shape('must be a map with the keys currency, default and regions') },
);

const fxSchema = z.strictObject(
  {
    date: z
      .string({ error: 'must be the day of the rates, such as 2026-03-01' })
      .regex(/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/, {
        error: 'must be a day such as 2026-03-01, or a time such as 2026-03-01T16:00:00Z',
      })
      .refine(isDate, { error: 'is no such day' }),
    base: currency,
    rates: z
      .record(
        currency,
        decimal('a rate above 0', ({ digits }) => digits > 0n),
      )
      .refine((rates) => Object.keys(rates).length <= RATES_MAX, { error: `must be at most ${RATES_MAX} rates` }),
  },
  { error: shape('must be a map with the keys date, base and rates') },
);

/** JavaScript makes 1 March of 30 February. */
function isDate(text: string): boolean {
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 10));
}

/** Zod has no text for keys that are unknown once an error is given; it is left to say that itself. */
function shape(message: string) {
  return (issue: { readonly code?: string | undefined }) => (issue.code === 'unrecognized_keys' ? undefined : message);
}

/** The error is a sentence for people: where in the file, and what is wrong there. */
export function parseBudget(text: string): Result<BudgetTable, string> {
  const read = readAs(budgetSchema, text);
  if (!read.ok) return read;
  const { currency: sum, default: given, regions } = read.value;
  const fallback = { currency: given?.currency ?? sum, limit: given?.limit ?? DEFAULT_LIMIT };
  return ok({ currency: sum, fallback, regions: new Map(Object.entries(regions)) });
}

export function parseFx(text: string): Result<FxTable, string> {
  const read = readAs(fxSchema, text);
  if (!read.ok) return read;
  const { date, base, rates } = read.value;
  const one: Decimal = { digits: 1n, scale: 0 };
  const own = rates[base];
  if (own !== undefined && own.digits !== 10n ** BigInt(own.scale)) {
    return err(`rates.${base}: must be 1, or left out: it is the base`);
  }
  return ok({ date, dateMs: Date.parse(date), base, rates: new Map([...Object.entries(rates), [base, one]]) });
}

const DEFAULT_LIMIT: Decimal = { digits: BigInt(LIMIT_DEFAULT), scale: 0 };

/** Without a file. */
export const DEFAULT_BUDGET: BudgetTable = {
  currency: 'USD',
  fallback: { currency: 'USD', limit: DEFAULT_LIMIT },
  regions: new Map(),
};

function readAs<Schema extends z.ZodType>(schema: Schema, text: string): Result<z.output<Schema>, string> {
  let value: unknown;
  try {
    value = parse(text, { schema: 'failsafe', maxAliasCount: 0 });
  } catch (error) {
    return err(`not valid YAML: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
  }
  // A file of comments alone says nothing else than the defaults.
  const parsed = schema.safeParse(value === null || value === '' ? {} : value);
  if (parsed.success) return ok(parsed.data);
  const problems = parsed.error.issues.slice(0, 8).map((issue) => {
    const { path } = issue;
    // A key's own problem is inside of the problem that there is one.
    const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
    return path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`;
  });
  return err(problems.join('; '));
}
