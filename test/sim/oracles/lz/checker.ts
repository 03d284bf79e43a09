/**
 * Decides whether a history is linearizable: the search of Wing and Gong ("Testing and verifying concurrent objects",
 * 1993) with the memory of Lowe ("Testing for linearizability", 2017): a set of calls that were placed already, and the
 * state that they led to, are tried once.
 *
 * A call without a return (its outcome is unknown) may take effect at any time after it was made, or never. Such calls
 * are tried last, and only where they change something, so that many of them do not blow the search up.
 */

/** Sequential behaviour of one object. `State` must be told apart by `keyOf`. */
export interface Model<State, Op> {
  readonly initial: State;
  /** State after `op`, or null when `op` cannot have had its outcome in `state`. */
  step(state: State, op: Op): { readonly next: State } | null;
  keyOf(state: State): string;
}

/** Positions are of one clock; a return and a later call never share one. */
export interface Call<Op> {
  readonly op: Op;
  readonly calledAt: number;
  /** null: the outcome is unknown. */
  readonly returnedAt: number | null;
}

export interface Verdict<Op> {
  /** `undecided`: the bound on steps was reached. */
  readonly kind: 'linearizable' | 'violation' | 'undecided';
  readonly steps: number;
  /** For `violation`: the call that could not be placed when most others were. */
  readonly stuckAt: Call<Op> | null;
}

export const STEPS_MAX = 2_000_000;

interface Node<Op> {
  readonly call: Call<Op>;
  /** Position among the completed calls, or among the unknown ones. */
  readonly bit: number;
  /** null: this is the return of the call. */
  readonly answer: Node<Op> | null;
  before: Node<Op> | null;
  after: Node<Op> | null;
}

interface Placed<State, Op> {
  readonly node: Node<Op> | null;
  /** Of `pending`; −1 for a completed call. */
  readonly pendingAt: number;
  readonly state: State;
}

export function checkHistory<State, Op>(
  model: Model<State, Op>,
  calls: readonly Call<Op>[],
  stepsMax: number = STEPS_MAX,
): Verdict<Op> {
  return new Search(model, calls, stepsMax).run();
}

class Search<State, Op> {
  readonly #model: Model<State, Op>;
  readonly #stepsMax: number;
  readonly #pending: readonly Call<Op>[];
  readonly #pendingPlaced: boolean[];
  readonly #bits: Uint32Array;
  readonly #seen = new Set<string>();
  readonly #placed: Placed<State, Op>[] = [];
  #first: Node<Op> | null;
  #state: State;
  #steps = 0;
  #deepest = -1;
  #stuckAt: Call<Op> | null = null;

  constructor(model: Model<State, Op>, calls: readonly Call<Op>[], stepsMax: number) {
    this.#model = model;
    this.#stepsMax = stepsMax;
    this.#state = model.initial;
    this.#pending = calls.filter((call) => call.returnedAt === null).sort((a, b) => a.calledAt - b.calledAt);
    this.#pendingPlaced = this.#pending.map(() => false);
    const completed = calls.filter((call) => call.returnedAt !== null);
    this.#bits = new Uint32Array(Math.ceil((completed.length + this.#pending.length) / 32));
    this.#first = chain(completed);
  }

  run(): Verdict<Op> {
    let at = this.#first;
    let pendingFrom = 0;
    // Until every completed call is placed: then no return is left.
    while (at !== null) {
      if (++this.#steps > this.#stepsMax) return { kind: 'undecided', steps: this.#steps, stuckAt: null };
      if (at.answer !== null) {
        const placed: boolean = this.#placeCompleted(at, at.answer);
        at = placed ? this.#first : at.after;
        continue;
      }
      if (this.#placePending(pendingFrom, at.call.returnedAt ?? 0)) {
        at = this.#first;
        pendingFrom = 0;
        continue;
      }
      this.#noteStuck(at.call);
      const undone = this.#undo();
      if (undone === null) return { kind: 'violation', steps: this.#steps, stuckAt: this.#stuckAt };
      pendingFrom = undone.pendingAt + 1;
      // After a pending call was taken back, all completed ones were tried from there already.
      at = undone.node === null ? this.#firstReturn() : undone.node.after;
    }
    return { kind: 'linearizable', steps: this.#steps, stuckAt: null };
  }

  #placeCompleted(node: Node<Op>, answer: Node<Op>): boolean {
    const next = this.#model.step(this.#state, node.call.op)?.next;
    if (next === undefined) return false;
    this.#flip(node.bit);
    if (!this.#isNew(next)) {
      this.#flip(node.bit);
      return false;
    }
    this.#placed.push({ node, pendingAt: -1, state: this.#state });
    this.#state = next;
    this.#take(node);
    this.#take(answer);
    return true;
  }

  #placePending(from: number, before: number): boolean {
    for (let at = from; at < this.#pending.length; at += 1) {
      const call = this.#pending[at] as Call<Op>;
      if (call.calledAt > before) return false;
      if (this.#pendingPlaced[at] === true) continue;
      const next = this.#model.step(this.#state, call.op)?.next;
      if (next === undefined || this.#model.keyOf(next) === this.#model.keyOf(this.#state)) continue;
      const bit = this.#bits.length * 32 - 1 - at;
      this.#flip(bit);
      if (!this.#isNew(next)) {
        this.#flip(bit);
        continue;
      }
      this.#placed.push({ node: null, pendingAt: at, state: this.#state });
      this.#pendingPlaced[at] = true;
      this.#state = next;
      return true;
    }
    return false;
  }

  #undo(): Placed<State, Op> | null {
    const last = this.#placed.pop();
    if (last === undefined) return null;
    this.#state = last.state;
    if (last.node === null) {
      this.#pendingPlaced[last.pendingAt] = false;
      this.#flip(this.#bits.length * 32 - 1 - last.pendingAt);
    } else {
      this.#flip(last.node.bit);
      this.#putBack(last.node.answer as Node<Op>);
      this.#putBack(last.node);
    }
    return last;
  }

  #firstReturn(): Node<Op> | null {
    let at = this.#first;
    while (at !== null && at.answer !== null) at = at.after;
    return at;
  }

  #noteStuck(call: Call<Op>): void {
    if (this.#placed.length <= this.#deepest) return;
    this.#deepest = this.#placed.length;
    this.#stuckAt = call;
  }

  #flip(bit: number): void {
    const word = bit >>> 5;
    this.#bits[word] = ((this.#bits[word] as number) ^ (1 << (bit & 31))) >>> 0;
  }

  #isNew(state: State): boolean {
    const key = `${this.#bits.join(' ')}|${this.#model.keyOf(state)}`;
    const before = this.#seen.size;
    return this.#seen.add(key).size > before;
  }

  #take(node: Node<Op>): void {
    if (node.before === null) this.#first = node.after;
    else node.before.after = node.after;
    if (node.after !== null) node.after.before = node.before;
  }

  /** In the reverse order of `#take`: the neighbours are as they were. */
  #putBack(node: Node<Op>): void {
    if (node.before === null) this.#first = node;
    else node.before.after = node;
    if (node.after !== null) node.after.before = node;
  }
}

/** Calls and returns in order of time, calls first where they meet (concurrent is the weaker assumption). */
function chain<Op>(completed: readonly Call<Op>[]): Node<Op> | null {
  const nodes: { readonly at: number; readonly node: Node<Op> }[] = [];
  for (const [bit, call] of completed.entries()) {
    const answer: Node<Op> = { call, bit, answer: null, before: null, after: null };
    nodes.push({ at: call.calledAt, node: { call, bit, answer, before: null, after: null } });
    nodes.push({ at: call.returnedAt ?? 0, node: answer });
  }
  nodes.sort((a, b) => a.at - b.at || Number(a.node.answer === null) - Number(b.node.answer === null));
  for (const [at, { node }] of nodes.entries()) {
    node.before = nodes[at - 1]?.node ?? null;
    node.after = nodes[at + 1]?.node ?? null;
  }
  return nodes[0]?.node ?? null;
}

/** Linearizability is local (Herlihy and Wing, 1990): a history is if that of each object is. */
export function partition<Op>(calls: readonly Call<Op>[], keyOf: (op: Op) => string): Map<string, Call<Op>[]> {
  const parts = new Map<string, Call<Op>[]>();
  for (const call of calls) {
    const key = keyOf(call.op);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [call]);
    else part.push(call);
  }
  return parts;
}
