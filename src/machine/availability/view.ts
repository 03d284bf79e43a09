/** What the state says of members that are slow or away (A1–A3). */
import type { MemberId } from '../../types/ids.ts';
import type { MachineView } from '../api.ts';
import { KEY_END } from '../keys.ts';
import type { AvailabilityRow } from './types.ts';

/** Of members that are not removed, sorted by member; a member without a row is well. */
export function availabilityRows(view: Pick<MachineView, 'rows' | 'members'>): readonly AvailabilityRow[] {
  const { availability } = view.rows;
  if (availability.size === 0) return [];
  const removed = new Set(view.members().flatMap(({ member, wanted }) => (wanted === 'removed' ? [member] : [])));
  const rows = availability.range('', KEY_END, availability.size).map(([, row]) => row);
  return rows.filter(({ member }) => !removed.has(member));
}

/** Who the leader's next changes of the configuration are about. */
export interface Sidelined {
  /** To be learners until they keep up (A1). */
  readonly lagging: ReadonlySet<MemberId>;
  /** Voters that do not count as healthy: isolated, or acknowledging before their fsync. */
  readonly doubtful: ReadonlySet<MemberId>;
}

export function sidelined(view: Pick<MachineView, 'rows' | 'members'>): Sidelined {
  const rows = availabilityRows(view);
  const lagging = rows.filter((row) => row.lagging);
  const doubtful = rows.filter((row) => row.isolatedAtMs !== 0 || row.asyncUntilMs !== 0);
  return { lagging: new Set(lagging.map((row) => row.member)), doubtful: new Set(doubtful.map((row) => row.member)) };
}
