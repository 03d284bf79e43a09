/** What sets and lists have in common: elements are added once, and reads show all of them. */
import { describe, type Operation, UnreadableHistory } from './operation.ts';
import { findInversions, type Ranked } from './ranks.ts';
import type { Violation } from './verdict.ts';

export interface Read {
  readonly operation: Operation;
  /** JSON of the elements, as answered. */
  readonly elements: readonly string[];
}

export interface Growing {
  /** By the JSON of the element. */
  readonly adds: ReadonlyMap<string, Operation>;
  readonly reads: readonly Read[];
}

/** @throws UnreadableHistory when an element was added twice: then nobody can tell which of them was seen */
export function readGrowing(operations: readonly Operation[], addName: string): Growing {
  const adds = new Map<string, Operation>();
  const reads: Read[] = [];
  for (const operation of operations) {
    if (operation.f === addName) {
      const element = JSON.stringify(operation.value);
      if (adds.has(element)) throw new UnreadableHistory(`index ${operation.index}: ${element} is added twice`);
      adds.set(element, operation);
    } else if (operation.f === 'read') {
      if (operation.outcome !== 'ok') continue;
      const list = operation.result ?? [];
      if (!Array.isArray(list)) throw new UnreadableHistory(`index ${operation.index}: a read without a list`);
      reads.push({ operation, elements: list.map((element) => JSON.stringify(element)) });
    } else throw new UnreadableHistory(`index ${operation.index}: ${operation.f}`);
  }
  return { adds, reads };
}

/** Elements that are there twice, that nobody added, and that were refused. One violation for each element. */
export function findStrangers({ adds, reads }: Growing): readonly Violation[] {
  const violations = new Map<string, Violation>();
  for (const { operation, elements } of reads) {
    const seen = new Set<string>();
    for (const element of elements) {
      const add = adds.get(element);
      const wrong = seen.has(element)
        ? 'is there twice'
        : add === undefined
          ? 'was never added'
          : add.outcome === 'fail'
            ? 'was refused, and is there'
            : null;
      seen.add(element);
      if (wrong === null || violations.has(element)) continue;
      const what = `${element} ${wrong} (read by ${operation.process}, index ${operation.index})`;
      violations.set(element, {
        what,
        operations: add === undefined ? [operation] : [add, operation],
        stuck: [operation.index],
      });
    }
  }
  return [...violations.values()];
}

/** Ranks of the adds that no read saw: acknowledged ones come after all reads, of others nobody knows. */
export function unseen({ adds, reads }: Growing, seen: ReadonlyMap<string, number>): readonly Ranked[] {
  const ranked: Ranked[] = [];
  for (const [element, operation] of adds) {
    if (!seen.has(element) && operation.outcome === 'ok') ranked.push({ operation, rank: 2 * reads.length + 2 });
  }
  return ranked;
}

/** What an inversion means depends on which two operations it is of. */
export function orderViolations(ranked: readonly Ranked[]): readonly Violation[] {
  return findInversions(ranked).map(({ earlier, later }) => {
    const [a, b] = [later.operation, earlier.operation];
    const said = `${describe(a)} by ${a.process} had returned before ${describe(b)} by ${b.process} was called`;
    const kind =
      a.f !== 'read' && b.f === 'read'
        ? `lost or stale: ${JSON.stringify(a.value)} is missing`
        : a.f === 'read' && b.f === 'read'
          ? 'a read went back'
          : a.f === 'read'
            ? `${JSON.stringify(b.value)} was seen before it was added`
            : `${JSON.stringify(b.value)} comes before ${JSON.stringify(a.value)}`;
    return { what: `${kind}: ${said}`, operations: [a, b], stuck: [b.index] };
  });
}

/** Something was acknowledged, and nobody has looked whether it is there. */
export function isUnread({ adds, reads }: Growing): boolean {
  return reads.length === 0 && [...adds.values()].some(({ outcome }) => outcome === 'ok');
}
