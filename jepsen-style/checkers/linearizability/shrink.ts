/**
 * Makes a history that is not linearizable small enough to be looked at. Nothing is left out that could have made it wrong: every step
 * keeps a linearizable history linearizable, so that what is left in the end is wrong by itself.
 *
 * 1. The end is cut off: calls that are open at the cut have an unknown outcome, which demands less.
 * 2. Calls that change nothing are left out.
 * 3. Of a register, a value is left out with all calls that write, read or compare it, and with the values that a compare and set made of
 *    it. Where the state was one of them, only calls that are left out saw it.
 */
import type { Operation } from '../operation.ts';
import type { OperationCall } from './calls.ts';
import type { RegisterOp } from './model.ts';

/** Says whether a history is certainly not linearizable. */
export type Fails = (operations: readonly Operation[]) => boolean;

/** `index` of operations that may be left out together. */
export type Unit = ReadonlySet<number>;

/** The longest beginning that ends with a return at `position` at the latest. */
export function cut(operations: readonly Operation[], position: number): readonly Operation[] {
  const begun = operations.filter(({ index, endIndex, outcome }) => {
    const isLate = endIndex !== null && endIndex > position;
    return index <= position && !(isLate && outcome === 'fail');
  });
  return begun.map((operation) =>
    operation.endIndex === null || operation.endIndex <= position
      ? operation
      : { ...operation, endIndex: null, outcome: 'info', result: undefined, returnedNs: null },
  );
}

/** The shortest beginning that fails; `operations` has to. */
export function shortestFailing(operations: readonly Operation[], fails: Fails): readonly Operation[] {
  const ends = operations.flatMap(({ endIndex }) => (endIndex === null ? [] : [endIndex])).sort((a, b) => a - b);
  let [low, high] = [0, ends.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fails(cut(operations, ends[middle] ?? 0))) high = middle;
    else low = middle + 1;
  }
  const shortest = cut(operations, ends[high] ?? 0);
  // Where a bound on time made the search give up in between, the whole may be all that is known to fail.
  return fails(shortest) ? shortest : operations;
}

/** Leaves out units, many at a time and then fewer, as long as the rest fails (delta debugging, Zeller 2002) and `more` says so. */
export function leaveOut(
  operations: readonly Operation[],
  units: readonly Unit[],
  fails: Fails,
  more: () => boolean,
): readonly Operation[] {
  let kept = operations;
  let left = units;
  let size = Math.max(1, left.length >>> 1);
  while (left.length > 0 && more()) {
    const before = left.length;
    let at = 0;
    while (at < left.length && more()) {
      const tried = left.slice(at, at + size);
      const rest = kept.filter(({ index }) => !tried.some((unit) => unit.has(index)));
      if (fails(rest)) {
        kept = rest;
        left = [...left.slice(0, at), ...left.slice(at + size)];
      } else at += size;
    }
    if (size === 1 && left.length === before) break;
    size = Math.max(1, size >>> 1);
  }
  return kept;
}

/** Rule 2. */
export function readUnits<Op>(calls: readonly OperationCall<Op>[], readOnly: (op: Op) => boolean): readonly Unit[] {
  return calls.filter(({ op }) => readOnly(op)).map(({ operation }) => new Set([operation.index]));
}

/** Rule 3. Failed compares have to be left out before: they also see the values that they do not name. */
export function valueUnits(calls: readonly OperationCall<RegisterOp>[]): readonly Unit[] {
  const byValue = new Map<number, Set<number>>();
  const madeOf = new Map<number, Set<number>>();
  const note = (map: Map<number, Set<number>>, from: number, to: number): void => {
    const set = map.get(from) ?? new Set();
    map.set(from, set.add(to));
  };
  for (const { op, operation } of calls) {
    if (op.kind === 'cas') {
      note(byValue, op.from, operation.index);
      note(byValue, op.to, operation.index);
      note(madeOf, op.from, op.to);
    } else if (op.value !== null) note(byValue, op.value, operation.index);
  }
  return [...byValue.keys()].map((value) => {
    const values = new Set([value]);
    // A set is gone through in the order of its making, what is added meanwhile included.
    for (const one of values) for (const made of madeOf.get(one) ?? []) values.add(made);
    return new Set([...values].flatMap((one) => [...(byValue.get(one) ?? [])]));
  });
}
