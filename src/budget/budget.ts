/**
 * What things cost and may cost (L4), for the member that takes a call: it turns an amount in some currency into millionths of the
 * budget's currency, and says the limit of the trace in the same unit. The replicated state only adds up and compares.
 *
 * The files are followed while the member runs. One that is broken is refused whole, and what held before goes on to hold.
 */
import { COST_DIGITS_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import {
  type BudgetTable,
  DEFAULT_BUDGET,
  type FxTable,
  parseBudget,
  parseFx,
  type RegionBudget,
} from './budget-file.ts';
import { convertToMicros, type Decimal, ONE, parseDecimal } from './decimal.ts';
import { FileFollower, readBounded } from './file-follower.ts';

const HOUR_MS = 60 * 60 * 1_000;
/** An older table is told of, and used all the same: an old rate is a better guess than none. */
export const FX_STALE_MS = 48 * HOUR_MS;
const FX_LOOK_MS = HOUR_MS;

export interface Price {
  /** Millionths of the budget's currency, decimal digits. */
  readonly costMicros: string;
  /** What one trace may spend, in the same unit. */
  readonly limitMicros: string;
}

export type BudgetNotice =
  | { readonly kind: 'budgetChanged'; readonly file: string }
  | { readonly kind: 'fxChanged'; readonly file: string; readonly date: string }
  /** It is refused, and what held before goes on to hold. */
  | { readonly kind: 'fileBroken'; readonly file: string; readonly problem: string }
  | { readonly kind: 'fxStale'; readonly file: string; readonly date: string; readonly ageMs: number };

export interface BudgetOptions {
  /** Absolute; null: the default budget. */
  readonly budgetFile: string | null;
  /** Absolute; null: amounts in other currencies than the budget's are refused. */
  readonly fxFile: string | null;
  readonly wallMs: () => number;
  readonly onNotice: (notice: BudgetNotice) => void;
  /** Shorter ones are for tests, milliseconds. */
  readonly lookMs?: number;
}

interface Loaded<T> {
  readonly value: T;
  readonly text: string;
}

export class Budget {
  readonly #options: BudgetOptions;
  readonly #followers: FileFollower[] = [];
  #fxLook: NodeJS.Timeout | null = null;
  #budget: BudgetTable = DEFAULT_BUDGET;
  #fx: FxTable | null = null;
  /** Date of the table that was told of as stale. */
  #toldStale = '';
  /** What the files say, as far as they are well-formed; it holds when all of its limits have a rate. */
  #saidBudget: BudgetTable = DEFAULT_BUDGET;
  #saidFx: FxTable | null = null;

  private constructor(options: BudgetOptions) {
    this.#options = options;
  }

  /** The error is a sentence: a file that cannot be used at the start is a mistake of the configuration. */
  static async open(options: BudgetOptions): Promise<Result<Budget, string>> {
    const budget = new Budget(options);
    const { budgetFile, fxFile, lookMs } = options;
    const table = budgetFile === null ? null : await load(budgetFile, parseBudget);
    const fx = fxFile === null ? null : await load(fxFile, parseFx);
    if (table?.ok === false) return err(`budgetFile ${budgetFile}: ${table.error}`);
    if (fx?.ok === false) return err(`fxFile ${fxFile}: ${fx.error}`);
    const tables = { budget: table?.value.value ?? DEFAULT_BUDGET, fx: fx?.value.value ?? null };
    const problem = missingRate(tables.budget, tables.fx);
    if (problem !== null) return err(`budgetFile ${budgetFile}: ${problem}`);
    budget.#budget = budget.#saidBudget = tables.budget;
    budget.#fx = budget.#saidFx = tables.fx;
    if (budgetFile !== null && table !== null)
      budget.#follow(budgetFile, table.value.text, lookMs, (text) => budget.#setBudget(text));
    if (fxFile !== null && fx !== null) {
      budget.#follow(fxFile, fx.value.text, lookMs, (text) => budget.#setFx(text));
      budget.#fxLook = setInterval(() => budget.lookAtFx(), FX_LOOK_MS).unref();
      budget.lookAtFx();
    }
    return ok(budget);
  }

  /** `currency` '': that of the region. `amount`: decimal text. The error is a sentence that says what to send instead. */
  price(region: string, currency: string, amount: string): Result<Price, string> {
    const value = parseDecimal(amount);
    if (value === null) {
      return err(
        `${JSON.stringify(amount)} is no amount; send a decimal number without a sign, such as 12.50, of at most 18 digits before and after the point`,
      );
    }
    const own = this.#region(region);
    const cost = this.#micros(value, currency === '' ? own.currency : currency);
    if (!cost.ok) return cost;
    const limit = this.#micros(own.limit, own.currency);
    if (!limit.ok) return limit;
    if ([cost.value, limit.value].some((micros) => String(micros).length > COST_DIGITS_MAX)) {
      return err(`${amount} is more than can be put on record; send less, or correct the exchange rates`);
    }
    return ok({ costMicros: String(cost.value), limitMicros: String(limit.value) });
  }

  /** In which spending is summed. */
  get currency(): string {
    return this.#budget.currency;
  }

  /** How old the exchange rates are, milliseconds; null: there is no table. */
  get fxAgeMs(): number | null {
    return this.#fx === null ? null : Math.max(0, this.#options.wallMs() - this.#fx.dateMs);
  }

  /** Tells of a table that has grown old, once for each table. Done every hour, too. */
  lookAtFx(): void {
    const ageMs = this.fxAgeMs;
    const { fxFile, onNotice } = this.#options;
    if (this.#fx === null || ageMs === null || fxFile === null) return;
    const { date } = this.#fx;
    if (ageMs <= FX_STALE_MS || this.#toldStale === date) return;
    this.#toldStale = date;
    onNotice({ kind: 'fxStale', file: fxFile, date, ageMs });
  }

  close(): void {
    if (this.#fxLook !== null) clearInterval(this.#fxLook);
    for (const follower of this.#followers) follower.close();
  }

  #region(region: string): RegionBudget {
    return this.#budget.regions.get(region) ?? this.#budget.fallback;
  }

  #micros(amount: Decimal, currency: string): Result<bigint, string> {
    const rates = ratesBetween(currency, this.#budget.currency, this.#fx);
    return rates.ok ? ok(convertToMicros(amount, rates.value.to, rates.value.from)) : rates;
  }

  #follow(file: string, known: string, lookMs: number | undefined, set: (text: string) => string | null): void {
    const broken = (problem: string): void => this.#options.onNotice({ kind: 'fileBroken', file, problem });
    const onChange = (read: Result<string, string>): void => {
      const problem = read.ok ? set(read.value) : read.error;
      if (problem !== null) broken(problem);
    };
    this.#followers.push(
      new FileFollower({ path: file, known, onChange, ...(lookMs === undefined ? {} : { lookMs }) }),
    );
  }

  /** null: it holds from now on; else why not. */
  #setBudget(text: string): string | null {
    const read = parseBudget(text);
    if (!read.ok) return read.error;
    this.#saidBudget = read.value;
    this.#adopt();
    return this.#budget === read.value ? null : missingRate(read.value, this.#fx);
  }

  #setFx(text: string): string | null {
    const read = parseFx(text);
    if (!read.ok) return read.error;
    this.#saidFx = read.value;
    this.#adopt();
    return this.#fx === read.value ? null : missingRate(this.#budget, read.value);
  }

  /** The files may need each other, and one changes first: both as they are now if that fits, else the one that does. */
  #adopt(): void {
    const pairs = [
      [this.#saidBudget, this.#saidFx],
      [this.#saidBudget, this.#fx],
      [this.#budget, this.#saidFx],
    ] as const;
    const fitting = pairs.find(([budget, fx]) => missingRate(budget, fx) === null);
    if (fitting === undefined) return;
    const [budget, fx] = fitting;
    const { budgetFile, fxFile, onNotice } = this.#options;
    const changed = { budget: budget !== this.#budget, fx: fx !== this.#fx };
    this.#budget = budget;
    this.#fx = fx;
    if (changed.budget) onNotice({ kind: 'budgetChanged', file: budgetFile ?? '' });
    if (changed.fx) onNotice({ kind: 'fxChanged', file: fxFile ?? '', date: fx?.date ?? '' });
    this.lookAtFx();
  }
}

async function load<T>(path: string, parse: (text: string) => Result<T, string>): Promise<Result<Loaded<T>, string>> {
  const text = await readBounded(path);
  if (!text.ok) return text;
  const value = parse(text.value);
  return value.ok ? ok({ value: value.value, text: text.value }) : value;
}

/** Every limit must be known in the budget's currency. */
function missingRate(budget: BudgetTable, fx: FxTable | null): string | null {
  for (const { currency } of [budget.fallback, ...budget.regions.values()]) {
    const rates = ratesBetween(currency, budget.currency, fx);
    if (!rates.ok) return rates.error;
  }
  return null;
}

/** An amount in `from` is amount · rate(to) / rate(from) in `to`. */
function ratesBetween(
  from: string,
  to: string,
  fx: FxTable | null,
): Result<{ readonly from: Decimal; readonly to: Decimal }, string> {
  if (from === to) return ok({ from: ONE, to: ONE });
  if (fx === null) return err(`there is no table of exchange rates (fxFile) to turn ${from} into ${to}`);
  const rateFrom = fx.rates.get(from);
  const rateTo = fx.rates.get(to);
  if (rateFrom === undefined || rateTo === undefined) {
    return err(`the table of exchange rates of ${fx.date} has no ${rateFrom === undefined ? from : to}`);
  }
  return ok({ from: rateFrom, to: rateTo });
}
