/**
 * The cost breaker (L4): what a trace has spent, and how often a resource was made and unmade. Money is whole millionths of the
 * budget's currency in decimal digits, reckoned with BigInt: no rounding anywhere.
 *
 * A swing is a creation that follows a deletion of the same resource, or a deletion that follows a creation, whoever did it.
 * A cap stays for what stopped it: COST until the limit is another, SWINGS until a whole window has passed.
 */
import type { ClusterTimeMs } from '../../types/ids.ts';
import { RESOURCES_MAX } from '../../types/limits.ts';
import type { BodyOf } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { KEY_END, next } from '../keys.ts';
import type { MachineState } from '../state.ts';
import { spendingKey } from './effects.ts';
import type { ResourceRow, SpendingRow } from './types.ts';

/** Rows of quiet resources that a new one looks for, in key order behind itself: the table does not grow without end. */
const QUIET_LOOKED_AT = 4;

/** Names are free text: the letter keeps the key within what KEY_END bounds. */
const resourceKey = (resource: string): string => `resource ${resource}`;

export type Verdict =
  | { readonly capped: '' }
  /** `fresh`: the trace was not capped before: say so once. */
  | { readonly capped: 'COST' | 'SWINGS'; readonly fresh: boolean; readonly detail: string };

type Change = ResourceRow['changes'][number];

/** Decimal text of millionths, for people. */
export function amountText(micros: string): string {
  const digits = micros.padStart(7, '0');
  const whole = digits.slice(0, -6);
  const fraction = digits.slice(-6).replace(/0+$/, '');
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

/** What may be spent, and how the resource swings, if this intent is recorded. Changes nothing. */
export function judgeCost(
  state: MachineState,
  body: BodyOf<'recordIntent'>,
  account: SpendingRow | null,
  timeMs: ClusterTimeMs,
): Verdict {
  const before = account?.capped ?? '';
  const spent = BigInt(account?.spentMicros ?? '0');
  const limit = BigInt(body.limitMicros);
  const stillStopped = before === 'COST' && BigInt(account?.cappedLimitMicros || '0') >= limit;
  if (spent + BigInt(body.costMicros) > limit || stillStopped) {
    const detail = `${amountText(String(spent))} spent, ${amountText(body.costMicros)} wanted, ${amountText(body.limitMicros)} allowed`;
    return { capped: 'COST', fresh: before !== 'COST', detail };
  }
  const windowMs = policyValue(state, 'swingWindowMs');
  if (before === 'SWINGS' && account !== null && account.changedAtMs + windowMs > timeMs) {
    return { capped: 'SWINGS', fresh: false, detail: `a resource swung too often less than ${windowMs} ms ago` };
  }
  const swings = swingsWith(changesOf(state, body.resource, timeMs), body.operation);
  const max = policyValue(state, 'swingsMax');
  if (body.resource === '' || swings <= max) return { capped: '' };
  const detail = `${body.resource} would have been created and deleted in turn ${swings} times within ${windowMs} ms, ${max} are allowed`;
  return { capped: 'SWINGS', fresh: true, detail };
}

/** Changes of the resource that are within the window, oldest first. */
function changesOf(state: MachineState, resource: string, timeMs: ClusterTimeMs): readonly Change[] {
  const row = state.tables.domain.resource.get(resourceKey(resource));
  const sinceMs = timeMs - policyValue(state, 'swingWindowMs');
  return row?.changes.filter(([atMs]) => atMs > sinceMs) ?? [];
}

function swingsWith(changes: readonly Change[], operation: Change[1] | ''): number {
  let swings = 0;
  let last: Change[1] | '' = '';
  for (const one of [...changes.map(([, done]) => done), operation]) {
    if (last !== '' && one !== '' && one !== last) swings++;
    if (one !== '') last = one;
  }
  return swings;
}

/** Remembers the creation or deletion. Only changes of direction count, so only they are kept, as many as could be too many. */
export function noteResource(state: MachineState, body: BodyOf<'recordIntent'>, timeMs: ClusterTimeMs): void {
  const { resource, operation } = body;
  if (resource === '' || operation === '') return;
  const { resource: table } = state.tables.domain;
  const key = resourceKey(resource);
  if (table.get(key) === null) dropQuiet(state, key, timeMs);
  const changes = changesOf(state, resource, timeMs);
  // Done the same way twice is no swing; the newer time stands.
  const kept = changes.at(-1)?.[1] === operation ? changes.slice(0, -1) : changes;
  const changed: readonly Change[] = [...kept, [timeMs, operation]];
  table.put(key, { resource, changes: changed.slice(-(policyValue(state, 'swingsMax') + 2)) });
}

/** Makes room for a new row: rows that were quiet for the window go, and if the table is full, the one that was quiet longest. */
function dropQuiet(state: MachineState, key: string, timeMs: ClusterTimeMs): void {
  const { resource: table } = state.tables.domain;
  const behind = table.range(next(key), KEY_END, QUIET_LOOKED_AT);
  const looked = behind.length > 0 ? behind : table.range('', KEY_END, QUIET_LOOKED_AT);
  const sinceMs = timeMs - policyValue(state, 'swingWindowMs');
  const lastMs = (row: ResourceRow): number => row.changes.at(-1)?.[0] ?? 0;
  for (const [other, row] of looked) if (lastMs(row) <= sinceMs) table.delete(other);
  if (table.size < RESOURCES_MAX) return;
  const quietest = looked.reduce((x, y) => (lastMs(y[1]) < lastMs(x[1]) ? y : x));
  table.delete(quietest[0]);
}

/** The account after `verdict`: charged, or capped. */
export function accountAfter(
  account: SpendingRow | null,
  body: BodyOf<'recordIntent'>,
  verdict: Verdict,
  traceId: string,
  timeMs: ClusterTimeMs,
): SpendingRow {
  const known = account ?? {
    traceId,
    spentMicros: '0',
    effects: 0,
    capped: '',
    cappedLimitMicros: '',
    changedAtMs: timeMs,
  };
  if (verdict.capped !== '') {
    const cappedLimitMicros = verdict.capped === 'COST' ? body.limitMicros : '';
    return { ...known, capped: verdict.capped, cappedLimitMicros, changedAtMs: timeMs };
  }
  const spentMicros = String(BigInt(known.spentMicros) + BigInt(body.costMicros));
  return { ...known, spentMicros, effects: known.effects + 1, capped: '', cappedLimitMicros: '', changedAtMs: timeMs };
}

export function accountOf(state: MachineState, traceId: string, runKey: string): SpendingRow | null {
  return state.tables.domain.spending.get(spendingKey(traceId, runKey));
}
