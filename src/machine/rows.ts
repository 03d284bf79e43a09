/** Rows of the tables as readers see them. All values are plain data with a fixed set of fields. */
import type { ClusterTimeMs, FencingToken, MemberId, Revision, SessionId } from '../types/ids.ts';
import type { AttemptState, PhaseState, PlanPhase, VectorClock } from './types.ts';

export interface PlanRow {
  readonly plan: string;
  readonly phases: readonly PlanPhase[];
  readonly createdRevision: Revision;
}

export interface LoopRow {
  readonly loop: string;
  readonly plan: string;
  /** The open round. Rises by one when all its phases are final (P3). */
  readonly g: number;
  readonly createdRevision: Revision;
  readonly changedRevision: Revision;
  readonly createdAtMs: ClusterTimeMs;
  readonly vectorClock: VectorClock;
}

export interface RunRow {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  /** Position in the plan, from 0. */
  readonly position: number;
  readonly state: PhaseState;
  /** The newest attempt, from 1; 0 before the first. */
  readonly attempt: number;
  /** Token of the newest attempt; 0 before the first. */
  readonly token: FencingToken | 0;
  readonly caller: string;
  readonly traceId: string;
  readonly completed: number;
  readonly total: number;
  readonly note: string;
  readonly checkpoint: string;
  readonly subStepsDone: number;
  readonly result: string;
  readonly abortReason: string;
  readonly startedAtMs: ClusterTimeMs | 0;
  readonly progressAtMs: ClusterTimeMs | 0;
  readonly finishedAtMs: ClusterTimeMs | 0;
  readonly changedRevision: Revision;
  readonly vectorClock: VectorClock;
}

export interface AttemptRow {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly attempt: number;
  readonly token: FencingToken;
  readonly state: AttemptState;
  readonly caller: string;
  readonly traceId: string;
  readonly startedAtMs: ClusterTimeMs;
  readonly finishedAtMs: ClusterTimeMs | 0;
}

export interface SubStepRow {
  readonly id: string;
  readonly result: string;
  /** The attempt that recorded it. */
  readonly attempt: number;
  readonly recordedRevision: Revision;
}

export interface SessionRow {
  readonly id: SessionId;
  readonly ttlMs: number;
  readonly lastSeenMs: ClusterTimeMs;
  readonly ackedThrough: number;
  readonly answers: number;
}

/** What the cluster wants of a member, and where it is. `wanted: 'removed'`: it was removed; its data folder must not come back. */
export interface MemberRow {
  readonly member: MemberId;
  readonly peerAddress: string;
  readonly clientAddress: string;
  /** '' when it is not known: a first member that was met before it had a row. */
  readonly incarnation: string;
  readonly wanted: 'voter' | 'learner' | 'removed';
  /** Goes when this one becomes a voter; '' for none. */
  readonly replaces: MemberId | '';
  readonly changedRevision: Revision;
}

/** `used`: the highest level of which something was used; the level cannot go below it. */
export interface FeatureRow {
  readonly level: number;
  readonly used: number;
  readonly pinned: boolean;
}
