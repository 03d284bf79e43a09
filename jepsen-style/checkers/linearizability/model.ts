/**
 * Sequential objects that histories are held against. States are small integers, so that they can be compared and remembered cheaply;
 * a model that gives out more of them than its bound throws `TooManyStates`.
 */

export class TooManyStates extends Error {}

/** `step` says so when the operation cannot have had its outcome in the state. */
export const IMPOSSIBLE = -1;

export interface Model<Op> {
  readonly initial: number;
  /** State after `op`, or IMPOSSIBLE. */
  step(state: number, op: Op): number;
  /** It leaves every state as it is. */
  readOnly(op: Op): boolean;
  /** Operations of equal text can stand for each other. */
  classOf(op: Op): string;
  /** For people. */
  describe(state: number): string;
  /** For objects that mostly grow: without it, a read that came too late is noticed only when all orders were tried. */
  readonly lookahead?: Lookahead<Op>;
}

export interface Lookahead<Op> {
  /** The state after it does not depend on the one before it. */
  resets(op: Op): boolean;
  /** The read-only `op` may become possible from `state` on, without a reset in between. May say so in vain. */
  leadsTo(state: number, op: Op): boolean;
}

// ------------------------------------------------------------------------------------------ register

/** Values are numbers that `RegisterModel.valueOf` gave. */
export type RegisterOp =
  /** `value` null: the answer does not say. */
  | { readonly kind: 'read'; readonly value: number | null }
  | { readonly kind: 'write'; readonly value: number }
  /** `ok` false: the register held something else. null: nobody knows. */
  | { readonly kind: 'cas'; readonly from: number; readonly to: number; readonly ok: boolean | null };

/** A register with compare and set. Values are told apart by their JSON. */
export class RegisterModel implements Model<RegisterOp> {
  readonly initial: number;
  readonly #values = new Map<string, number>();
  readonly #texts: string[] = [];

  constructor(initial: unknown) {
    this.initial = this.valueOf(initial);
  }

  valueOf(value: unknown): number {
    const text = JSON.stringify(value ?? null);
    const known = this.#values.get(text);
    if (known !== undefined) return known;
    this.#values.set(text, this.#texts.length);
    return this.#texts.push(text) - 1;
  }

  step(state: number, op: RegisterOp): number {
    switch (op.kind) {
      case 'read':
        return op.value === null || op.value === state ? state : IMPOSSIBLE;
      case 'write':
        return op.value;
      case 'cas': {
        const fits = state === op.from;
        if (op.ok !== null && op.ok !== fits) return IMPOSSIBLE;
        return fits ? op.to : state;
      }
    }
  }

  readOnly(op: RegisterOp): boolean {
    return op.kind === 'read' || (op.kind === 'cas' && op.ok === false);
  }

  classOf(op: RegisterOp): string {
    return op.kind === 'cas' ? `cas ${op.from} ${op.to} ${op.ok}` : `${op.kind} ${op.value}`;
  }

  describe(state: number): string {
    return this.#texts[state] ?? '?';
  }
}

// ------------------------------------------------------------------------------------------ sequences

/** Exclusive; covers every code unit of a text, and the elements of a list. */
const SYMBOLS = 2 ** 21;
/** About 100 bytes each. */
const NODES_MAX = 2_000_000;

/** Sequences of symbols as nodes of a tree: equal sequences are the same node, and longer ones share what they begin with. */
class SequenceTree {
  static readonly EMPTY = 0;
  readonly #children = new Map<number, number>();
  readonly #parents: number[] = [0];
  readonly #symbols: number[] = [0];

  append(node: number, symbol: number): number {
    const key = node * SYMBOLS + symbol;
    const known = this.#children.get(key);
    if (known !== undefined) return known;
    const made = this.#parents.length;
    if (made >= NODES_MAX || symbol >= SYMBOLS) throw new TooManyStates(`more than ${NODES_MAX} states`);
    this.#children.set(key, made);
    this.#parents.push(node);
    this.#symbols.push(symbol);
    return made;
  }

  beginsWith(node: number, start: number): boolean {
    // A node is made after its parent.
    let at = node;
    while (at > start) at = this.#parents[at] ?? 0;
    return at === start;
  }

  symbolsOf(node: number): readonly number[] {
    const symbols: number[] = [];
    for (let at = node; at !== SequenceTree.EMPTY; at = this.#parents[at] ?? 0) symbols.push(this.#symbols[at] ?? 0);
    return symbols.reverse();
  }
}

/** `value` is what the object holds (get, put) or what is added to its end (append). */
export type TextOp = { readonly kind: 'get' | 'put' | 'append'; readonly value: string };

/** One key of a store of texts, as in Porcupine's key-value histories. */
export class TextModel implements Model<TextOp> {
  readonly initial: number;
  readonly #tree = new SequenceTree();
  /** Node of each text that was put or got. */
  readonly #nodes = new Map<string, number>();
  readonly lookahead: Lookahead<TextOp> = {
    resets: ({ kind }) => kind === 'put',
    leadsTo: (state, { value }) => this.#tree.beginsWith(this.#nodeOf(value), state),
  };

  constructor(initial: string) {
    this.initial = this.#nodeOf(initial);
  }

  step(state: number, op: TextOp): number {
    switch (op.kind) {
      case 'get':
        return this.#nodeOf(op.value) === state ? state : IMPOSSIBLE;
      case 'put':
        return this.#nodeOf(op.value);
      case 'append':
        return this.#appended(state, op.value);
    }
  }

  readOnly(op: TextOp): boolean {
    return op.kind === 'get';
  }

  classOf(op: TextOp): string {
    return `${op.kind} ${op.value}`;
  }

  describe(state: number): string {
    return JSON.stringify(String.fromCharCode(...this.#tree.symbolsOf(state)));
  }

  #nodeOf(text: string): number {
    const known = this.#nodes.get(text);
    if (known !== undefined) return known;
    const made = this.#appended(SequenceTree.EMPTY, text);
    this.#nodes.set(text, made);
    return made;
  }

  #appended(state: number, text: string): number {
    let node = state;
    for (let at = 0; at < text.length; at += 1) node = this.#tree.append(node, text.charCodeAt(at));
    return node;
  }
}

/** Values are numbers that `ListModel` gave: of an element, of a whole list. */
export type ListOp =
  | { readonly kind: 'append'; readonly element: number }
  | { readonly kind: 'read'; readonly list: number };

/** A list to whose end elements are added. */
export class ListModel implements Model<ListOp> {
  readonly initial = SequenceTree.EMPTY;
  readonly #tree = new SequenceTree();
  readonly #elements = new Map<string, number>();
  readonly #texts: string[] = [];
  readonly lookahead: Lookahead<ListOp> = {
    resets: () => false,
    leadsTo: (state, op) => op.kind === 'append' || this.#tree.beginsWith(op.list, state),
  };

  elementOf(value: unknown): number {
    const text = JSON.stringify(value ?? null);
    const known = this.#elements.get(text);
    if (known !== undefined) return known;
    this.#elements.set(text, this.#texts.length);
    return this.#texts.push(text) - 1;
  }

  listOf(values: readonly unknown[]): number {
    let node = SequenceTree.EMPTY;
    for (const value of values) node = this.#tree.append(node, this.elementOf(value));
    return node;
  }

  step(state: number, op: ListOp): number {
    if (op.kind === 'read') return op.list === state ? state : IMPOSSIBLE;
    return this.#tree.append(state, op.element);
  }

  readOnly(op: ListOp): boolean {
    return op.kind === 'read';
  }

  classOf(op: ListOp): string {
    return op.kind === 'read' ? `read ${op.list}` : `append ${op.element}`;
  }

  describe(state: number): string {
    return `[${this.#tree
      .symbolsOf(state)
      .map((symbol) => this.#texts[symbol])
      .join(', ')}]`;
  }
}
