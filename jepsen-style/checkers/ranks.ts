/**
 * Objects that only grow (sets, lists): what the reads saw puts all operations into an order of ranks. The history is linearizable exactly
 * when no operation of a lower rank was called after one of a higher rank had returned. (Within one rank real time decides, and
 * intervals are never ordered in a circle.)
 */
import type { Operation } from './operation.ts';

export interface Ranked {
  readonly operation: Operation;
  readonly rank: number;
}

/** `later` has the higher rank and had returned before `earlier` was called. */
export interface Inversion {
  readonly earlier: Ranked;
  readonly later: Ranked;
}

/** For each operation that is too late for its rank, the highest-ranked one that returned before it was called. O(n log n). */
export function findInversions(ranked: readonly Ranked[]): readonly Inversion[] {
  const byCall = ranked.toSorted((a, b) => a.operation.index - b.operation.index);
  const byReturn = ranked
    .flatMap((one) => (one.operation.endIndex === null ? [] : [{ one, at: one.operation.endIndex }]))
    .sort((a, b) => a.at - b.at);
  const inversions: Inversion[] = [];
  let highest: Ranked | null = null;
  let returned = 0;
  for (const one of byCall) {
    for (;;) {
      const next = byReturn[returned];
      if (next === undefined || next.at >= one.operation.index) break;
      if (highest === null || next.one.rank > highest.rank) highest = next.one;
      returned += 1;
    }
    if (highest !== null && highest.rank > one.rank) inversions.push({ earlier: one, later: highest });
  }
  return inversions;
}
