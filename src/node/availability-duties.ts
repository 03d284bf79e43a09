/**
 * What a member does of the availability rules for itself: it tells its leader how long its log takes (A1), acknowledges before its
 * fsync where the state permits it (A2), and says what holds in its alarms (A1–A3). What the leader does for the others is
 * in `availability/work.ts`, and the change of the configuration in `membership.ts`.
 */
import type { MachineView } from '../machine/api.ts';
import { availabilityRows } from '../machine/availability/view.ts';
import type { Raft } from '../raft/raft.ts';
import type { StreamId } from '../types/ids.ts';
import { EarlyAcks } from './early-acks.ts';
import type { MemberDeps } from './options.ts';
import type { Alarm } from './types.ts';

/** The leader names these; older members end the connection over what they cannot read. */
const LEVEL = 3;

export interface AvailabilityDutiesOptions {
  readonly deps: MemberDeps;
  readonly stream: StreamId;
  readonly raft: Pick<Raft, 'role' | 'leader' | 'status'>;
  readonly machine: () => Pick<MachineView, 'rows' | 'members' | 'timeMs' | 'featureLevel'>;
  /** See `EarlyAcksOptions`. */
  readonly drained: () => Promise<boolean>;
  readonly onFatal: (error: Error) => void;
}

export class AvailabilityDuties {
  readonly #options: AvailabilityDutiesOptions;
  /** null: never before the fsync. */
  readonly #earlyAcks: EarlyAcks | null;
  /** The permission as it was first seen here, and when it ends at the latest by the own clock. */
  #permission = { untilMs: 0, endsMs: 0 };
  #reportedMs = 0;

  constructor(options: AvailabilityDutiesOptions) {
    this.#options = options;
    const { deps, drained, onFatal } = options;
    this.#earlyAcks = deps.asyncMark === undefined ? null : new EarlyAcks({ mark: deps.asyncMark, drained, onFatal });
  }

  /** May acknowledge before the fsync, now. */
  get ackEarly(): boolean {
    return (this.#earlyAcks?.on ?? false) && this.#follows();
  }

  tick(nowMs: number): void {
    this.#earlyAcks?.update(this.#permitted(nowMs));
    this.#report(nowMs);
  }

  /** The member stops; whatever was appended is as durable as it will be. */
  async end(): Promise<void> {
    await this.#earlyAcks?.end();
  }

  /**
   * The state says so, and this member follows a leader. The own clock ends it too: a member that is cut off does not learn that
   * time goes on.
   */
  #permitted(nowMs: number): boolean {
    const { deps, machine } = this.#options;
    const view = machine();
    const untilMs = view.rows.availability.get(deps.memberId)?.asyncUntilMs ?? 0;
    if (untilMs === 0) return false;
    if (untilMs !== this.#permission.untilMs) {
      this.#permission = { untilMs, endsMs: nowMs + Math.max(0, untilMs - view.timeMs) };
    }
    return nowMs < this.#permission.endsMs && this.#follows();
  }

  #follows(): boolean {
    const { raft } = this.#options;
    return raft.role === 'follower' && raft.leader !== null && !raft.status().recovering;
  }

  #report(nowMs: number): void {
    const { deps, stream, raft, machine } = this.#options;
    if (deps.ackTimes === undefined || nowMs - this.#reportedMs < deps.settings.dutyPeriodMs) return;
    this.#reportedMs = nowMs;
    const { leader } = raft;
    if (leader === null || leader === deps.memberId || machine().featureLevel().level < LEVEL) return;
    deps.network.send(leader, { kind: 'ackTimes', stream, ...deps.ackTimes.report(nowMs) });
  }
}

/** What holds of some member is said by all of them: it is no secret of the one that it is about. */
export function availabilityAlarms(view: Pick<MachineView, 'rows' | 'members'>): readonly Alarm[] {
  const rows = availabilityRows(view);
  const alarms: Alarm[] = [];
  if (rows.some((row) => row.asyncUntilMs !== 0)) alarms.push('PERMIT_ASYNC');
  if (rows.some((row) => row.lagging)) alarms.push('LAGGING');
  if (rows.some((row) => row.isolatedAtMs !== 0)) alarms.push('PENDING_EVICTION');
  if (rows.some((row) => row.evictionBlocked)) alarms.push('EVICTION_BLOCKED');
  if (view.rows.policy.get('automationPaused')?.value === 1) alarms.push('AUTOMATION_PAUSED');
  return alarms;
}
