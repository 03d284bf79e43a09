/** What is watched, and what is known of how long things take (D1–D4, D6). Feature level 3. */
import type { ClusterTimeMs, FencingToken, Revision } from '../../types/ids.ts';
import type { PhaseRef } from '../types.ts';

/**
 * Why a run was interrupted. TIMEOUT, SLA: D1. AGENT_DOWN: D3. PARTIAL_COMMIT: D4. OPERATOR: somebody said so.
 */
export const INTERRUPT_CAUSES = ['TIMEOUT', 'SLA', 'AGENT_DOWN', 'PARTIAL_COMMIT', 'OPERATOR'] as const;
export type InterruptCause = (typeof INTERRUPT_CAUSES)[number];
/** The attempt's own word: it is undone and never rolled forward. ABORTED: it may be begun again then. GIVEN_UP: it is HARD_FAILED then. */
export type AbortCause = 'ABORTED' | 'GIVEN_UP';
export type RecoveryCause = InterruptCause | AbortCause;

export type DetectionCommand =
  /** Marks the attempt FAILED_PARTIAL and begins its recovery record (D6). The leader's detector proposes it, or an operator. */
  | {
      readonly kind: 'interruptPhase';
      readonly ref: PhaseRef;
      readonly attempt: number;
      readonly cause: InterruptCause;
      /** For people: what was seen. */
      readonly detail: string;
      /** Last sign of life before the fault, as far as it is known: detection latency counts from here. */
      readonly faultAtMs: ClusterTimeMs;
    }
  /** By the leader's detector: the first heartbeat of an agent, its silence, its return. By the agent: its farewell. */
  | {
      readonly kind: 'markAgent';
      readonly agent: string;
      readonly healthy: boolean;
      /** It says goodbye: nobody waits for its heartbeats any more. Not healthy then. */
      readonly left: boolean;
      readonly seenAtMs: ClusterTimeMs;
    }
  /** One of the run's participants has finished its part (D4). */
  | {
      readonly kind: 'reportFinished';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly participant: string;
    }
  | { readonly kind: 'setPolicy'; readonly values: readonly PolicyValue[] };

export interface PolicyValue {
  readonly name: PolicyName;
  readonly value: number;
}

export type DetectionValue =
  | { readonly kind: 'phaseInterrupted'; readonly waiting: boolean }
  | { readonly kind: 'agentMarked' }
  | { readonly kind: 'finishedReported'; readonly finished: number; readonly participants: number }
  | { readonly kind: 'policySet' };

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** Every number of the requirements that decides what the state does, with its default and its range. Replicated. */
export const POLICY = {
  /** Factor of D2 in thousandths: 1600 normal, 1200 STRICT, 2000 DEV_FAST. */
  kMilli: { normal: 1_600, min: 100, max: 100_000 },
  /** No adaptive timeout is shorter: below it the jitter of machines and networks is longer than the phase. */
  timeoutMinMs: { normal: SECOND, min: 0, max: DAY },
  heartbeatMs: { normal: 15 * SECOND, min: 10, max: DAY },
  /** More missed heartbeats than this, and the agent is UNHEALTHY (D3). */
  heartbeatMissesMax: { normal: 3, min: 1, max: 1_000 },
  /** From the first `finished` of a participant to the last (D4). */
  consensusMs: { normal: 30 * SECOND, min: 10, max: DAY },
  /** T_blocked (V6). */
  blockedMs: { normal: 60 * MINUTE, min: 10, max: 30 * DAY },
  /** Automatic recoveries of one run (V5). */
  autoAttemptsMax: { normal: 2, min: 0, max: 100 },
  /** Calls of one compensator (L3). */
  compensatorTriesMax: { normal: 5, min: 1, max: 100 },
  compensatorBackoffMs: { normal: SECOND, min: 1, max: DAY },
  compensatorBackoffMaxMs: { normal: 15 * MINUTE, min: 1, max: DAY },
  compensatorDeadlineMs: { normal: 30 * SECOND, min: 10, max: DAY },
  /** For so long a circuit stays open (L3). */
  circuitMs: { normal: 30 * MINUTE, min: 10, max: DAY },
  /** Create/delete swings of a resource within the window that are still allowed (L4). */
  swingsMax: { normal: 3, min: 1, max: 100 },
  swingWindowMs: { normal: 10 * MINUTE, min: 10, max: DAY },
  /**
   * 1: nothing is interrupted for being overdue or silent, and recoveries stand still; people may still interrupt and override. So a cluster
   * that was restored begins, until somebody has looked at what its backup calls overdue.
   */
  automationPaused: { normal: 0, min: 0, max: 1 },
  /** Clock entries of a decommissioned node are kept so long (P8). */
  decommissionMs: { normal: 90 * DAY, min: 10, max: 3_660 * DAY },
  /** A2: permit-async clears itself. */
  permitAsyncMs: { normal: 30 * MINUTE, min: 10, max: DAY },
  /** A3: isolated so long raises pending_eviction, and the grace after it. */
  isolationMs: { normal: 5 * MINUTE, min: 100, max: 30 * DAY },
  evictionGraceMs: { normal: 15 * MINUTE, min: 10, max: 30 * DAY },
} as const satisfies Readonly<Record<string, { normal: number; min: number; max: number }>>;

export type PolicyName = keyof typeof POLICY;
export type Policy = { readonly [Name in PolicyName]: number };

/** A value that was set; the others have their default. */
export interface PolicyRow {
  readonly name: PolicyName;
  readonly value: number;
  readonly changedRevision: Revision;
}

/** What is known of a run beside its row: made at the first beginPhase at level 3, dropped with the round. */
export interface WatchRow {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  /** Revision of the documents that a rollback goes back to; 0: no snapshot is held (P7). */
  readonly snapshotRevision: Revision | 0;
  /** k × P95 when the attempt began, milliseconds (D2). */
  readonly timeoutMs: number;
  /** Those who must finish (D4); empty: the agent alone. Sorted. */
  readonly participants: readonly string[];
  readonly finished: readonly string[];
  readonly firstFinishedAtMs: ClusterTimeMs | 0;
  /** Automatic recoveries so far (V5). */
  readonly autoAttempts: number;
  /** CRC-32 that the agent gave with its last checkpoint; -1: none was given. */
  readonly checkpointCrc: number;
}

export type DeadlineKind = 'TIMEOUT' | 'SLA' | 'PARTIAL_COMMIT';

/** When a running attempt is overdue. The leader's detector looks at those that are due; time alone changes nothing. */
export interface DeadlineRow {
  readonly kind: DeadlineKind;
  readonly dueMs: ClusterTimeMs;
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly attempt: number;
}

/** The last durations of a phase type, oldest first, at most 100 (D2). Key: plan and phase. */
export interface DurationsRow {
  readonly plan: string;
  readonly phase: string;
  readonly durationsMs: readonly number[];
}

export interface AgentRow {
  readonly agent: string;
  readonly healthy: boolean;
  readonly seenAtMs: ClusterTimeMs;
  readonly changedAtMs: ClusterTimeMs;
  /** Opened when it went down; 0 while it is up. */
  readonly issue: number;
}
