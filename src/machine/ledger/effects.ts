/**
 * The effects of runs (L1), for those who undo them. Numbers of a run's effects are 1, 2, 3 … without a hole, over all its
 * attempts; a row is dropped with its round only.
 */
import { must } from '../../types/assert.ts';
import type { DomainRows } from '../api.ts';
import type { ApplyContext } from '../context.ts';
import { after, padded, under } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { EffectRow, EffectState } from './types.ts';

export const effectRowKey = (runKey: string, seq: number): string => `${runKey} ${padded(seq)}`;
export const idempotencyKey = (loop: string, key: string): string => `${loop} ${key}`;

/** Where the spending of a trace stands; a run without a trace id has an account of its own. */
export const spendingKey = (traceId: string, runKey: string): string =>
  traceId === '' ? `run ${runKey}` : `trace ${traceId}`;

/** Number of the newest effect of the run, 0 before the first. O(log n): numbers have no holes. */
export function lastSeq(rows: DomainRows, runKey: string): number {
  const has = (seq: number): boolean => rows.effect.get(effectRowKey(runKey, seq)) !== null;
  let end = 1;
  while (has(end)) end *= 2;
  let last = Math.floor(end / 2);
  // Invariant: `last` is 0 or there, `end` is not there.
  while (end - last > 1) {
    const middle = Math.floor((last + end) / 2);
    if (has(middle)) last = middle;
    else end = middle;
  }
  return last;
}

const isOpen = (state: EffectState): boolean => state === 'INTENT' || state === 'CONFIRMED';

/**
 * The newest effect with a number below `below` that is to be compensated: INTENT (it may have happened) or CONFIRMED; null
 * when none is left. `below` may be above all of them.
 */
export function topEffect(state: MachineState, runKey: string, below: number): EffectRow | null {
  const rows = state.tables.domain;
  for (let seq = Math.min(lastSeq(rows, runKey), below - 1); seq >= 1; seq--) {
    const row = must(rows.effect.get(effectRowKey(runKey, seq)), 'numbers of effects have no holes');
    if (isOpen(row.state)) return row;
  }
  return null;
}

/** Effects of the run in INTENT or CONFIRMED, oldest first; at most EFFECTS_PER_RUN_MAX. */
export function openEffects(rows: DomainRows, runKey: string): readonly EffectRow[] {
  const found = rows.effect.range(under(runKey), after(runKey), rows.effect.size);
  return found.map(([, row]) => row).filter((row) => isOpen(row.state));
}

/** The effect, which is open (asserted), is COMPENSATED. */
export function settleEffect(context: ApplyContext, runKey: string, seq: number): void {
  const { effect } = context.state.tables.domain;
  const row = must(effect.get(effectRowKey(runKey, seq)), `effect ${seq} of ${runKey}`);
  changeEffect(context, runKey, row, { state: 'COMPENSATED', result: row.result });
}

/** Writes the state that an open effect goes to, once, and says so. */
export function changeEffect(
  context: ApplyContext,
  runKey: string,
  row: EffectRow,
  change: Pick<EffectRow, 'state' | 'result'>,
): void {
  must(isOpen(row.state) ? row : null, `effect ${row.seq} is ${row.state} for good`);
  const changed: EffectRow = {
    ...row,
    ...change,
    settledAtMs: context.timeMs,
    changedRevision: context.revision,
  };
  context.state.tables.domain.effect.put(effectRowKey(runKey, row.seq), changed);
  if (change.state === 'CONFIRMED') emitEffect(context, changed, 'effect.confirmed');
  if (change.state === 'COMPENSATED') emitEffect(context, changed, 'effect.compensated');
}

/** `outcome` of the event: the number and the idempotency key. */
export function emitEffect(
  context: ApplyContext,
  row: EffectRow,
  kind: 'effect.intent' | 'effect.confirmed' | 'effect.compensated',
): void {
  context.emit({
    kind,
    loop: row.loop,
    g: row.g,
    phase: row.phase,
    attempt: row.attempt,
    token: 0,
    outcome: `${row.seq} ${row.key}`,
    vectorClock: [],
  });
}

/** True when automation of the trace has stopped for its cost or its swings (L4). `runKey`: for a run without a trace id. */
export function capped(state: MachineState, traceId: string, runKey = ''): boolean {
  const row = state.tables.domain.spending.get(spendingKey(traceId, runKey));
  return row !== null && row.capped !== '';
}

/**
 * Drops up to `budget` effects of a round that is no longer kept, `prefix` being its key, each with its idempotency key. A
 * trace's spending goes with the last effect of it. Returns how many were dropped.
 */
export function dropEffects(state: MachineState, prefix: string, budget: number): number {
  const { effect, effectKey, spending } = state.tables.domain;
  const found = effect.range(under(prefix), after(prefix), budget);
  for (const [key, row] of found) {
    effect.delete(key);
    effectKey.delete(idempotencyKey(row.loop, row.key));
    const account = spendingKey(row.traceId, key.slice(0, key.lastIndexOf(' ')));
    const spent = spending.get(account);
    if (spent === null) continue;
    if (spent.effects <= 1) spending.delete(account);
    else spending.put(account, { ...spent, effects: spent.effects - 1 });
  }
  return found.length;
}

/** Forgets the account of a run that is no longer kept, if it holds nothing but a cap: no effect of it would ever be dropped. */
export function forgetSpending(state: MachineState, traceId: string, runKey: string): void {
  const { spending } = state.tables.domain;
  const account = spendingKey(traceId, runKey);
  if (spending.get(account)?.effects === 0) spending.delete(account);
}
