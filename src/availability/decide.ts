/** What the leader proposes about members that are away (A3) or acknowledge before their fsync (A2): pure, looked at again and again. */
import type { MachineView } from '../machine/api.ts';
import type { AvailabilityCommand, AvailabilityRow } from '../machine/availability/types.ts';
import { availabilityRows } from '../machine/availability/view.ts';
import { POLICY } from '../machine/detection/types.ts';
import { healthyOf } from '../node/membership.ts';
import type { RaftStatus } from '../raft/types.ts';
import type { ClusterTimeMs, MemberId } from '../types/ids.ts';

export interface Seen {
  readonly status: RaftStatus;
  readonly view: Pick<MachineView, 'rows' | 'members'>;
  /** Time that the next command would be stamped with. */
  readonly nowMs: ClusterTimeMs;
  readonly silentMs: (member: MemberId) => number;
}

/** floor(N/2)+1 */
export const majorityOf = (count: number): number => Math.floor(count / 2) + 1;

/** A2: a majority of others stays that acknowledges after the fsync. One of three voters or more; never a learner. */
export function mayBeAsync(voters: readonly MemberId[], member: MemberId): boolean {
  return voters.includes(member) && voters.length - 1 >= majorityOf(voters.length);
}

/** The next command about who is away or early; null: nothing is to be done. */
export function nextAvailability(seen: Seen): AvailabilityCommand | null {
  const rows = new Map(availabilityRows(seen.view).map((row) => [row.member, row]));
  return endOfAsync(seen, rows) ?? isolation(seen, rows) ?? eviction(seen, rows);
}

type Rows = ReadonlyMap<MemberId, AvailabilityRow>;

/** What was permitted for one configuration need not be right in another, and helps nobody when the member is away. */
function endOfAsync({ status }: Seen, rows: Rows): AvailabilityCommand | null {
  const { voters, votersOutgoing } = status.configuration;
  for (const { member, asyncUntilMs, isolatedAtMs } of rows.values()) {
    if (asyncUntilMs === 0 || votersOutgoing.length > 0) continue;
    if (!mayBeAsync(voters, member) || isolatedAtMs !== 0) return { kind: 'permitAsync', member, on: false };
  }
  return null;
}

function isolation({ status, view, silentMs }: Seen, rows: Rows): AvailabilityCommand | null {
  const { voters, votersOutgoing, learners } = status.configuration;
  const isolationMs = view.rows.policy.get('isolationMs')?.value ?? POLICY.isolationMs.normal;
  const leaving = new Set(view.members().flatMap(({ member, wanted }) => (wanted === 'removed' ? [member] : [])));
  for (const member of [...new Set([...voters, ...votersOutgoing, ...learners])].sort()) {
    if (leaving.has(member)) continue;
    const isolated = (rows.get(member)?.isolatedAtMs ?? 0) !== 0;
    const silent = member === status.id ? 0 : silentMs(member);
    if (!isolated && silent >= isolationMs) return { kind: 'markIsolated', member, isolated: true };
    if (isolated && isHeard(status, member)) return { kind: 'markIsolated', member, isolated: false };
  }
  return null;
}

function isHeard({ id, peers }: RaftStatus, member: MemberId): boolean {
  return member === id || peers.some((peer) => peer.id === member && peer.active);
}

/**
 * After the grace. The state decides by what it knows (`evictMember`), and pages when it must not; the leader also waits while
 * voters that would be left are silent or recover.
 */
function eviction({ status, nowMs }: Seen, rows: Rows): AvailabilityCommand | null {
  const { voters, votersOutgoing } = status.configuration;
  if (votersOutgoing.length > 0) return null;
  const doubtful = (id: MemberId): boolean => {
    const row = rows.get(id);
    return row !== undefined && (row.isolatedAtMs !== 0 || row.asyncUntilMs !== 0);
  };
  for (const { member, isolatedAtMs, evictAtMs, evictionBlocked } of rows.values()) {
    if (isolatedAtMs === 0 || nowMs < evictAtMs || isHeard(status, member)) continue;
    const left = voters.filter((id) => id !== member && !doubtful(id));
    const needed = majorityOf(voters.length);
    const toBlock = left.length < needed && !evictionBlocked;
    if (toBlock || healthyOf(status, left).length >= needed) return { kind: 'evictMember', member, voters };
  }
  return null;
}
