/**
 * Rows about members that are slow or away. Rows of members that are removed say nothing any more: they are left out where rows
 * are counted, and go with the next write.
 */
import type { ClusterTimeMs, MemberId } from '../../types/ids.ts';
import type { ApplyContext } from '../context.ts';
import { KEY_END, padded } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { AvailabilityOutcome, AvailabilityRow } from './types.ts';

/** The member is well, as far as the state says. */
export function rowOf(state: MachineState, member: MemberId): AvailabilityRow {
  const none = {
    lagging: false,
    asyncUntilMs: 0,
    isolatedAtMs: 0,
    evictAtMs: 0,
    evictionBlocked: false,
    issue: 0,
  } as const;
  return state.tables.domain.availability.get(member) ?? { member, ...none };
}

export function isRemoved(state: MachineState, member: MemberId): boolean {
  return state.tables.member.get(member)?.wanted === 'removed';
}

/** Of members that are not removed, sorted by member. */
export function livingRows(state: MachineState): readonly AvailabilityRow[] {
  const { availability } = state.tables.domain;
  const rows = availability.range('', KEY_END, availability.size).map(([, row]) => row);
  return rows.filter((row) => !isRemoved(state, row.member));
}

/** Writes the row, or takes it away when it says nothing; its timer goes and comes with it. Drops rows of removed members. */
export function putRow(state: MachineState, row: AvailabilityRow): void {
  const { availability } = state.tables.domain;
  for (const [, other] of availability.range('', KEY_END, availability.size)) {
    if (other.member !== row.member && isRemoved(state, other.member)) dropRow(state, other);
  }
  dropRow(state, rowOf(state, row.member));
  if (!row.lagging && row.asyncUntilMs === 0 && row.isolatedAtMs === 0) return;
  availability.put(row.member, row);
  const { member, asyncUntilMs: dueMs } = row;
  if (dueMs !== 0) state.tables.timer.put(timerKey(dueMs, member), { kind: 'async', dueMs, member });
}

function dropRow(state: MachineState, { member, asyncUntilMs }: AvailabilityRow): void {
  const { availability } = state.tables.domain;
  if (!availability.has(member)) return;
  availability.delete(member);
  if (asyncUntilMs !== 0) state.tables.timer.delete(timerKey(asyncUntilMs, member));
}

function timerKey(dueMs: ClusterTimeMs, member: MemberId): string {
  return `${padded(dueMs)} async ${member}`;
}

export function emitAvailability(context: ApplyContext, outcome: AvailabilityOutcome, member: MemberId): void {
  context.emit({
    kind: 'member.availability',
    loop: '',
    g: 0,
    phase: '',
    attempt: 0,
    token: 0,
    outcome: `${outcome} ${member}`,
    vectorClock: [],
  });
}
