/** Histories for tests: written by hand, or drawn from a correct object under random interleavings. */
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';

export interface Written {
  readonly by?: number | string;
  readonly f: string;
  readonly key?: string;
  readonly value?: unknown;
  readonly result?: unknown;
  /** Positions of call and end. */
  readonly at: readonly [call: number, end: number];
  readonly outcome?: Operation['outcome'];
  readonly error?: string;
}

/** An operation; `ok` unless it says otherwise. */
export function op({ by = 0, f, key, value, result, at, outcome = 'ok', error }: Written): Operation {
  return {
    index: at[0],
    endIndex: outcome === 'info' ? null : at[1],
    process: by,
    f,
    key: key ?? null,
    value: value ?? null,
    result: result === undefined ? value : result,
    outcome,
    calledNs: at[0] * 1e6,
    returnedNs: at[1] * 1e6,
    error: error ?? null,
  };
}

/** Mulberry32: small, seeded, good enough to draw test cases. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(from: readonly T[]): T {
    const one = from[this.below(from.length)];
    if (one === undefined) throw new RangeError('nothing to pick from');
    return one;
  }
}

export interface Asked {
  readonly f: string;
  readonly key?: string;
  readonly value?: unknown;
}

/** A correct object: `apply` carries out one operation at once; its answer is what `ok` brings, or `refused`. */
export interface Thing {
  ask(dice: Dice): Asked;
  apply(asked: Asked): { readonly result: unknown } | { readonly refused: string };
}

interface Working {
  readonly asked: Asked;
  readonly index: number;
  readonly process: number;
  answer: ReturnType<Thing['apply']> | null;
}

/**
 * A history of `count` operations by `threads` clients at once. Of some the outcome is unknown to the client (`info`), and then they take
 * effect before, later, or never; some are refused without effect (`fail`).
 */
export function draw(thing: Thing, dice: Dice, count: number, threads: number, infoShare = 0.15): Operation[] {
  const done: Operation[] = [];
  const slots: (Working | null)[] = Array.from({ length: threads }, () => null);
  const processes = slots.map((_, at) => at);
  /** Given up by their clients, and still on their way. */
  let late: Working[] = [];
  let index = 0;
  let asked = 0;
  const finish = (
    slot: number,
    work: Working,
    outcome: Operation['outcome'],
    result: unknown,
    error?: string,
  ): void => {
    slots[slot] = null;
    const { f, key, value } = work.asked;
    const at = [work.index, index++] as const;
    done.push(op({ by: work.process, f, at, outcome, ...given({ key, value, result, error }) }));
    if (outcome === 'info') processes[slot] = work.process + threads;
  };
  while (asked < count || slots.some((work) => work !== null)) {
    for (const work of late) if (work.answer === null && dice.chance(0.05)) work.answer = thing.apply(work.asked);
    late = late.filter(({ answer }) => answer === null);
    const slot = dice.below(threads);
    const work = slots[slot] ?? null;
    if (work === null) {
      if (asked >= count) continue;
      asked += 1;
      slots[slot] = { asked: thing.ask(dice), index: index++, process: processes[slot] ?? 0, answer: null };
    } else if (dice.chance(infoShare / 2)) {
      finish(slot, work, 'info', null);
      late.push(work);
    } else if (work.answer === null) {
      if (dice.chance(0.05)) finish(slot, work, 'fail', null, 'UNAVAILABLE');
      else work.answer = thing.apply(work.asked);
    } else if ('refused' in work.answer) finish(slot, work, 'fail', null, work.answer.refused);
    else finish(slot, work, 'ok', work.answer.result);
  }
  return done.sort((a, b) => a.index - b.index);
}

/** Without the fields that are undefined. */
function given(fields: {
  readonly key: string | undefined;
  readonly value: unknown;
  readonly result: unknown;
  readonly error: string | undefined;
}): Partial<Written> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A register with compare and set; every value is written once. */
export function registerThing(keys: readonly string[] = ['r']): Thing {
  const state = new Map<string, number | null>();
  let written = 0;
  return {
    ask: (dice) => {
      const key = dice.pick(keys);
      if (dice.chance(0.5)) return { f: 'read', key };
      written += 1;
      if (dice.chance(0.5)) return { f: 'write', key, value: written };
      const old = dice.chance(0.5) ? (state.get(key) ?? null) : dice.below(written);
      return { f: 'cas', key, value: [old, written] };
    },
    apply: ({ f, key = '', value }) => {
      const now = state.get(key) ?? null;
      if (f === 'read') return { result: now };
      if (f === 'write') state.set(key, Number(value));
      else {
        const [from, to] = value as readonly [number | null, number];
        if (from !== now) return { refused: 'VERSION_MISMATCH' };
        state.set(key, to);
      }
      return { result: value };
    },
  };
}

/** A set (`add`) or a list (`append`). */
export function growingThing(name: 'add' | 'append', keys: readonly string[] = ['s']): Thing {
  const state = new Map<string, number[]>();
  let added = 0;
  return {
    ask: (dice) => {
      const key = dice.pick(keys);
      return dice.chance(0.4) ? { f: 'read', key } : { f: name, key, value: ++added };
    },
    apply: ({ f, key = '', value }) => {
      const now = state.get(key) ?? [];
      if (f === 'read') return { result: [...now] };
      state.set(key, [...now, Number(value)]);
      return { result: value };
    },
  };
}
