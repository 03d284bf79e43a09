/**
 * Decides whether the history of one object is linearizable: the search of Wing and Gong ("Testing and verifying concurrent objects",
 * 1993) with the memory of Lowe ("Testing for linearizability", 2017).
 *
 * 1. A point of the search is: the first return that is not placed, which of the calls that are open at that return are placed
 *    already, the state, and which calls of unknown outcome were used. Everything that returned before is placed, so that a point is
 *    small however long the history is. A point that led nowhere is remembered and not tried again.
 * 2. A call that changes nothing is placed as soon as its answer fits: whoever places it later could place it now.
 * 3. A call of unknown outcome may be placed at any time after it was made, or never. A point that used more of them than one that
 *    led nowhere (all else equal) leads nowhere. Of those that do the same, the oldest unused one stands for all.
 *
 * 4. With a model's `lookahead`: a point from which one of the next reads can no longer get its answer leads nowhere, and
 *    states that no read will see are all the same.
 *
 * Bounds on time and memory end the search as `unknown`.
 */
import { IMPOSSIBLE, type Lookahead, type Model, TooManyStates } from './model.ts';

/** Positions are of one clock. Where a return and a call meet, they count as concurrent, which is the weaker assumption. */
export interface Call<Op> {
  readonly op: Op;
  readonly calledAt: number;
  /** null: the outcome is unknown. */
  readonly returnedAt: number | null;
}

export interface Limits {
  readonly msMax: number;
  /** Points that are remembered, about 150 bytes each. */
  readonly pointsMax: number;
}

export const LIMITS: Limits = { msMax: 10_000, pointsMax: 1_000_000 };

export type Result<Op> =
  | { readonly kind: 'linearizable'; readonly points: number; readonly order: readonly Call<Op>[] }
  | {
      readonly kind: 'violation';
      readonly points: number;
      /** The call at whose return no order was left. */
      readonly stuckAt: Call<Op>;
      /** The longest order before it, and the state that it leads to. */
      readonly order: readonly Call<Op>[];
      readonly state: string;
    }
  | { readonly kind: 'unknown'; readonly points: number; readonly why: string };

export function search<Op>(model: Model<Op>, calls: readonly Call<Op>[], limits: Limits = LIMITS): Result<Op> {
  const one = new Search(model, calls, limits);
  try {
    return one.run();
  } catch (error) {
    if (!(error instanceof TooManyStates)) throw error;
    return { kind: 'unknown', points: one.points, why: error.message };
  }
}

interface Completed<Op> {
  readonly call: Call<Op>;
  readonly returnedAt: number;
  /** Free again once it returned: open calls are told apart by it. */
  bit: bigint;
  /** Position among the returns. */
  at: number;
  /** For a read, with `lookahead`: the resets called before its return that may lead to its answer. */
  resets: readonly Completed<Op>[];
  /** The same, of unknown outcome: any of them may still be placed. */
  resetsUnknown: boolean;
}

interface Point<Op> {
  /** Of the first return that is not placed. */
  readonly at: number;
  /** Bits of the open calls that are placed. */
  readonly open: bigint;
  readonly state: number;
  /** Bits of the calls of unknown outcome that are placed. */
  readonly used: bigint;
  /** What was placed to come here from `parent`. */
  readonly placed: readonly Call<Op>[];
  readonly parent: Point<Op> | null;
  /** A read that nothing leads to from here. */
  readonly hopeless: Call<Op> | null;
  /** Next thing to try: first the open calls, then the classes of unknown ones. */
  next: number;
}

function isDeeper<Op>(one: Point<Op>, other: Point<Op>): boolean {
  return one.at > other.at || (one.at === other.at && one.hopeless === null && other.hopeless !== null);
}

/** Stands for every state that no read can see any more: a reset comes first. */
const LOST = -2;

/** More find little. */
const READS_AHEAD = 4;

/** How many steps to take between looks at the clock. */
const CLOCK_EVERY = 1024;

class Search<Op> {
  readonly #model: Model<Op>;
  readonly #limits: Limits;
  readonly #returns: readonly Completed<Op>[];
  /** For each return: the calls that are open at it, in the order of their returns. */
  readonly #open: readonly (readonly Completed<Op>[])[];
  readonly #unknown: readonly Call<Op>[];
  /** Positions in `#unknown` of the calls that do the same, oldest first. */
  readonly #classes: readonly (readonly number[])[];
  /** By return, open calls and state: sets of unknown calls that were used in vain. None is a part of another. */
  readonly #tried = new Map<number, Map<bigint, Map<number, bigint[]>>>();
  /** In the order of their returns, and the first of them from each return on; with `lookahead` only. */
  readonly #reads: Completed<Op>[] = [];
  readonly #readsFrom: number[] = [];
  points = 0;

  constructor(model: Model<Op>, calls: readonly Call<Op>[], limits: Limits) {
    this.#model = model;
    this.#limits = limits;
    this.#returns = completedOf(calls);
    this.#open = openAtReturns(this.#returns);
    this.#unknown = calls
      .filter(({ op, returnedAt }) => returnedAt === null && !model.readOnly(op))
      .sort((a, b) => a.calledAt - b.calledAt);
    this.#classes = classesOf(model, this.#unknown);
    if (model.lookahead !== undefined) this.#findResets(model.lookahead);
  }

  #findResets(lookahead: Lookahead<Op>): void {
    const completed = this.#returns.filter(({ call }) => lookahead.resets(call.op));
    const unknown = this.#unknown.filter(({ op }) => lookahead.resets(op));
    for (const read of this.#returns) {
      this.#readsFrom.push(this.#reads.length);
      if (!this.#model.readOnly(read.call.op)) continue;
      this.#reads.push(read);
      const fits = (call: Call<Op>): boolean =>
        call.calledAt <= read.returnedAt &&
        lookahead.leadsTo(this.#model.step(this.#model.initial, call.op), read.call.op);
      read.resets = completed.filter(({ call }) => fits(call));
      read.resetsUnknown = unknown.some(fits);
    }
  }

  run(): Result<Op> {
    const deadline = performance.now() + this.#limits.msMax;
    const root = this.#settle(0, 0n, this.#model.initial, 0n, [], null);
    let deepest = root;
    const stack = [root];
    for (let steps = 1; ; steps += 1) {
      const top = stack.at(-1);
      if (top === undefined) return this.#violation(deepest);
      if (top.at === this.#returns.length) return { kind: 'linearizable', points: this.points, order: orderOf(top) };
      if (steps % CLOCK_EVERY === 0 && performance.now() > deadline)
        return { kind: 'unknown', points: this.points, why: `more than ${this.#limits.msMax} ms` };
      if (this.points > this.#limits.pointsMax)
        return { kind: 'unknown', points: this.points, why: `more than ${this.#limits.pointsMax} points` };
      const point = this.#tryNext(top);
      if (point === 'exhausted') stack.pop();
      else if (point !== null) {
        if (isDeeper(point, deepest)) deepest = point;
        if (point.hopeless === null && this.#isNew(point)) stack.push(point);
      }
    }
  }

  #tryNext(from: Point<Op>): Point<Op> | null | 'exhausted' {
    const open = this.#open[from.at] ?? [];
    const choice = from.next;
    from.next += 1;
    const completed = open[choice];
    if (completed !== undefined) {
      // What changes nothing was placed by `#settle`, or does not fit.
      if ((from.open & completed.bit) !== 0n || this.#model.readOnly(completed.call.op)) return null;
      const state = this.#step(from.state, completed.call.op);
      if (state === IMPOSSIBLE) return null;
      return this.#settle(from.at, from.open | completed.bit, state, from.used, [completed.call], from);
    }
    const alike = this.#classes[choice - open.length];
    if (alike === undefined) return 'exhausted';
    const oldest = alike.find((position) => ((from.used >> BigInt(position)) & 1n) === 0n);
    const call = oldest === undefined ? undefined : this.#unknown[oldest];
    if (oldest === undefined || call === undefined || call.calledAt > this.#returnedAt(from.at)) return null;
    const state = this.#step(from.state, call.op);
    if (state === IMPOSSIBLE || state === from.state) return null;
    return this.#settle(from.at, from.open, state, from.used | (1n << BigInt(oldest)), [call], from);
  }

  /** Goes on over returns that are placed already, and places what changes nothing and fits. */
  #settle(
    at: number,
    open: bigint,
    state: number,
    used: bigint,
    placed: Call<Op>[],
    parent: Point<Op> | null,
  ): Point<Op> {
    let [first, bits] = [at, open];
    for (;;) {
      const returning = this.#returns[first];
      if (returning === undefined) break;
      if ((bits & returning.bit) !== 0n) {
        bits ^= returning.bit;
        first += 1;
        continue;
      }
      const before = bits;
      for (const { call, bit } of this.#open[first] ?? []) {
        if ((bits & bit) !== 0n || !this.#model.readOnly(call.op)) continue;
        if (this.#step(state, call.op) === IMPOSSIBLE) continue;
        bits |= bit;
        placed.push(call);
      }
      if (bits === before) break;
    }
    const ahead = this.#lookAhead(first, bits, state);
    return { at: first, open: bits, used, placed, parent, next: 0, ...ahead };
  }

  /** Rule 4. `hopeless`: one of the next reads, if nothing leads to its answer any more. */
  #lookAhead(at: number, bits: bigint, state: number): { readonly state: number; readonly hopeless: Call<Op> | null } {
    const { lookahead } = this.#model;
    if (lookahead === undefined) return { state, hopeless: null };
    const returnedAt = this.#returnedAt(at);
    const isPlaced = (one: Completed<Op>): boolean =>
      one.at < at || (one.call.calledAt <= returnedAt && (bits & one.bit) !== 0n);
    const leads = (read: Completed<Op>): boolean => state !== LOST && lookahead.leadsTo(state, read.call.op);
    const from = this.#readsFrom[at] ?? this.#reads.length;
    const next = this.#reads.slice(from, from + READS_AHEAD).filter((read) => !isPlaced(read));
    for (const read of next) {
      if (!read.resetsUnknown && !leads(read) && read.resets.every(isPlaced)) return { state, hopeless: read.call };
    }
    // A reset comes before the first of them; only reads that do not come after that one could still see this state.
    const first = next[0];
    const isLost =
      first !== undefined &&
      !(this.#open[first.at] ?? []).some((one) => this.#model.readOnly(one.call.op) && !isPlaced(one) && leads(one));
    return { state: isLost ? LOST : state, hopeless: null };
  }

  #step(state: number, op: Op): number {
    if (state !== LOST) return this.#model.step(state, op);
    if (this.#model.readOnly(op)) return IMPOSSIBLE;
    return this.#model.lookahead?.resets(op) === true ? this.#model.step(this.#model.initial, op) : LOST;
  }

  #isNew({ at, open, state, used }: Point<Op>): boolean {
    const byOpen = getOr(this.#tried, at, () => new Map<bigint, Map<number, bigint[]>>());
    const byState = getOr(byOpen, open, () => new Map<number, bigint[]>());
    const sets = byState.get(state);
    if (sets === undefined) byState.set(state, [used]);
    else {
      if (sets.some((set) => (set & used) === set)) return false;
      byState.set(state, [...sets.filter((set) => (set & used) !== used), used]);
    }
    this.points += 1;
    return true;
  }

  #returnedAt(at: number): number {
    return this.#returns[at]?.returnedAt ?? Number.POSITIVE_INFINITY;
  }

  #violation(deepest: Point<Op>): Result<Op> {
    const stuckAt = deepest.hopeless ?? this.#returns[deepest.at]?.call;
    if (stuckAt === undefined) throw new Error('a search that placed everything found a violation');
    const state = deepest.state === LOST ? 'any' : this.#model.describe(deepest.state);
    return { kind: 'violation', points: this.points, stuckAt, order: orderOf(deepest), state };
  }
}

/** In the order of their returns, with a bit each: the lowest that no call has that is open at the same time. */
function completedOf<Op>(calls: readonly Call<Op>[]): readonly Completed<Op>[] {
  const returns: Completed<Op>[] = [];
  for (const call of calls)
    if (call.returnedAt !== null)
      returns.push({ call, returnedAt: call.returnedAt, bit: 0n, at: 0, resets: [], resetsUnknown: false });
  returns.sort((a, b) => a.returnedAt - b.returnedAt);
  for (const [at, completed] of returns.entries()) completed.at = at;
  const byCall = returns.toSorted((a, b) => a.call.calledAt - b.call.calledAt);
  const free: bigint[] = [];
  let bits = 0;
  let returned = 0;
  for (const completed of byCall) {
    for (; (returns[returned]?.returnedAt ?? Number.POSITIVE_INFINITY) < completed.call.calledAt; returned += 1)
      free.push(returns[returned]?.bit ?? 0n);
    completed.bit = free.pop() ?? 1n << BigInt(bits++);
  }
  return returns;
}

function openAtReturns<Op>(returns: readonly Completed<Op>[]): (readonly Completed<Op>[])[] {
  const byCall = returns.toSorted((a, b) => a.call.calledAt - b.call.calledAt);
  let open: Completed<Op>[] = [];
  let called = 0;
  return returns.map(({ returnedAt }, at) => {
    open = open.filter((one) => one !== returns[at - 1]);
    for (; called < byCall.length; called += 1) {
      const one = byCall[called];
      if (one === undefined || one.call.calledAt > returnedAt) break;
      open.push(one);
    }
    open.sort((a, b) => a.returnedAt - b.returnedAt);
    return [...open];
  });
}

function classesOf<Op>(model: Model<Op>, unknown: readonly Call<Op>[]): readonly (readonly number[])[] {
  const classes = new Map<string, number[]>();
  for (const [at, { op }] of unknown.entries()) getOr(classes, model.classOf(op), () => []).push(at);
  return [...classes.values()];
}

function orderOf<Op>(point: Point<Op>): readonly Call<Op>[] {
  const parts: (readonly Call<Op>[])[] = [];
  for (let at: Point<Op> | null = point; at !== null; at = at.parent) parts.push(at.placed);
  return parts.reverse().flat();
}

function getOr<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
