/** Vector clocks of loops (P8): sparse, sorted by node in code-unit order, counters from 1. */
import { NAME_LENGTH_MAX, VECTOR_CLOCK_ENTRIES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { reject } from './context.ts';
import type { Rejection, VectorClock } from './types.ts';
import { checkInteger, checkText, firstOf } from './validate.ts';

/** Node name of a caller that gave none. */
export const UNKNOWN_CALLER = 'unknown';

type ClockResult = Result<VectorClock, Rejection>;

/** The clock that a caller sent, checked and sorted; a node named twice is refused. */
function received(clock: VectorClock): ClockResult {
  if (clock.length > VECTOR_CLOCK_ENTRIES_MAX) return tooMany(clock.length);
  for (const [node, counter] of clock) {
    const bad = firstOf(
      checkText('vectorClock.node', node, 1, NAME_LENGTH_MAX),
      checkInteger('vectorClock.counter', counter, 1, Number.MAX_SAFE_INTEGER - 1),
    );
    if (bad !== null) return err(bad);
  }
  const sorted = [...clock].sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0));
  for (let i = 1; i < sorted.length; i++) {
    const node = sorted[i]?.[0] ?? '';
    if (node !== sorted[i - 1]?.[0]) continue;
    return reject('INVALID_ARGUMENT', `Name the node ${JSON.stringify(node)} once in the vector clock.`, {
      field: 'vectorClock.node',
    });
  }
  return ok(sorted);
}

function tooMany(entries: number): ClockResult {
  return reject(
    'LIMIT_EXCEEDED',
    `Use a stable caller name for each agent: the vector clock would hold ${entries} entries, ${VECTOR_CLOCK_ENTRIES_MAX} are allowed.`,
    { entries, limit: VECTOR_CLOCK_ENTRIES_MAX },
  );
}

/** Entry-wise maximum of two sorted clocks. */
export function mergeClocks(one: VectorClock, other: VectorClock): VectorClock {
  const merged: (readonly [string, number])[] = [];
  let i = 0;
  let k = 0;
  while (i < one.length || k < other.length) {
    const x = one[i];
    const y = other[k];
    if (y === undefined || (x !== undefined && x[0] < y[0])) {
      if (x !== undefined) merged.push(x);
      i++;
    } else if (x === undefined || y[0] < x[0]) {
      merged.push(y);
      k++;
    } else {
      merged.push(x[1] >= y[1] ? x : y);
      i++;
      k++;
    }
  }
  return merged;
}

/** Merges what the caller sent into the loop's clock and counts the caller's own entry up by one. */
export function advanceClock(loopClock: VectorClock, sent: VectorClock, caller: string): ClockResult {
  const checked = received(sent);
  if (!checked.ok) return checked;
  const node = caller === '' ? UNKNOWN_CALLER : caller;
  const merged = mergeClocks(mergeClocks(loopClock, checked.value), [[node, 1]]);
  if (merged.length > VECTOR_CLOCK_ENTRIES_MAX) return tooMany(merged.length);
  const known = loopClock.some(([name]) => name === node) || sent.some(([name]) => name === node);
  if (!known) return ok(merged);
  const counter = merged.find(([name]) => name === node)?.[1] ?? 0;
  if (counter >= Number.MAX_SAFE_INTEGER) {
    return reject('LIMIT_EXCEEDED', `Use another caller name: the counter of ${JSON.stringify(node)} is at its end.`, {
      node,
    });
  }
  return ok(merged.map((entry) => (entry[0] === node ? ([node, counter + 1] as const) : entry)));
}
