/**
 * Vector clocks of loops (P8): sparse, sorted by node in code-unit order, counters from 1.
 *
 * The entry of a node that is gone for good is dropped from a loop's clock after a while and leaves a tombstone, which knows
 * the last counter. History up to that counter may still arrive and says nothing new; history beyond it contradicts the
 * tombstone, as does a new event of the node itself.
 */
import { NAME_LENGTH_MAX, VECTOR_CLOCK_ENTRIES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { ReadableTable } from './api.ts';
import { reject } from './context.ts';
import type { TombstoneRow } from './document/types.ts';
import type { Rejection, VectorClock } from './types.ts';
import { checkInteger, checkText, firstOf } from './validate.ts';

/** Node name of a caller that gave none. */
export const UNKNOWN_CALLER = 'unknown';

type ClockResult = Result<VectorClock, Rejection>;

/** The clock that a caller sent, checked and sorted; a node named twice is refused. */
export function received(clock: VectorClock): ClockResult {
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

/** How `one` stands to `other`, both sorted: what `before` says has happened is known to the other. */
export function compareClocks(one: VectorClock, other: VectorClock): 'equal' | 'before' | 'after' | 'concurrent' {
  const before = isCovered(one, other);
  const after = isCovered(other, one);
  if (before) return after ? 'equal' : 'before';
  return after ? 'after' : 'concurrent';
}

/** Every counter of `clock` is at most that of `by`. */
function isCovered(clock: VectorClock, by: VectorClock): boolean {
  let k = 0;
  for (const [node, counter] of clock) {
    while (k < by.length && (by[k]?.[0] ?? '') < node) k++;
    const entry = by[k];
    if (entry === undefined || entry[0] !== node || entry[1] < counter) return false;
  }
  return true;
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

/** What is left of dropped entries. Key: loop and node. */
export type Tombstones = Pick<ReadableTable<TombstoneRow>, 'get'>;

export const tombstoneKey = (loop: string, node: string): string => `${loop} ${node}`;

/** {@link advanceClock} for the clock of `loop`, with an eye on the tombstones: FORENSIC_MISMATCH where history contradicts one. */
export function advanceLoopClock(
  tombstones: Tombstones,
  { loop, vectorClock }: { readonly loop: string; readonly vectorClock: VectorClock },
  sent: VectorClock,
  caller: string,
): ClockResult {
  const node = caller === '' ? UNKNOWN_CALLER : caller;
  const own = tombstones.get(tombstoneKey(loop, node));
  if (own !== null) return gone(own, own.counter + 1);
  const checked = received(sent);
  if (!checked.ok) return checked;
  for (const [name, counter] of checked.value) {
    const tombstone = tombstones.get(tombstoneKey(loop, name));
    if (tombstone !== null && counter > tombstone.counter) return gone(tombstone, counter);
  }
  return advanceClock(vectorClock, withoutDropped(tombstones, loop, checked.value), caller);
}

/** The clock without the entries that the loop has tombstones for. */
export function withoutDropped(tombstones: Tombstones, loop: string, clock: VectorClock): VectorClock {
  return clock.filter(([node]) => tombstones.get(tombstoneKey(loop, node)) === null);
}

function gone({ loop, node, counter: last, clockSha256 }: TombstoneRow, counter: number): ClockResult {
  return reject(
    'FORENSIC_MISMATCH',
    `Look into where this history comes from: ${JSON.stringify(node)} was decommissioned, its last event in ${loop} is ${last}, and event ${counter} is told.`,
    { clockSha256, counter, lastCounter: last, loop, node },
  );
}

/** What takes one clock to another: entries that are new or differ, and nodes that are no longer there. Both sorted by node. */
export interface ClockDelta {
  readonly entries: VectorClock;
  readonly dropped: readonly string[];
}

/** The difference between two sorted clocks; usually far smaller than the clock (P8). */
export function encodeDelta(from: VectorClock, to: VectorClock): ClockDelta {
  const before = new Map(from);
  const entries = to.filter(([node, counter]) => before.get(node) !== counter);
  const now = new Set(to.map(([node]) => node));
  const dropped = from.map(([node]) => node).filter((node) => !now.has(node));
  return { entries, dropped };
}

/** `applyDelta(from, encodeDelta(from, to))` is `to`. */
export function applyDelta(from: VectorClock, { entries, dropped }: ClockDelta): VectorClock {
  const changed = new Map(from);
  for (const node of dropped) changed.delete(node);
  for (const [node, counter] of entries) changed.set(node, counter);
  return [...changed].sort(([x], [y]) => (x < y ? -1 : 1));
}
