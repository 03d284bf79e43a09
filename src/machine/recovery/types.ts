/** Recoveries of interrupted phase runs (V1–V8). Feature level 3. The arcs are in `transitions.ts` and nowhere else. */
import type { ClusterTimeMs, FencingToken, Revision } from '../../types/ids.ts';
import type { RecoveryCause } from '../detection/types.ts';
import type { PhaseRef, VectorClock } from '../types.ts';
import type { RecoveryState, RecoveryStep } from './transitions.ts';

export type RecoveryCommand =
  /** INTERRUPTED → RECONCILE. The lock's token becomes odd. */
  | { readonly kind: 'startRecovery'; readonly ref: PhaseRef; readonly token: FencingToken }
  /** A new leader goes on where the record says; the token rises and stays odd (V4). */
  | { readonly kind: 'takeOverRecovery'; readonly ref: PhaseRef; readonly token: FencingToken }
  /** A step is done, or (`ok` false) found a mismatch, which leads to ROLLBACK. `detail` is for people. */
  | {
      readonly kind: 'completeStep';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly step: RecoveryStep;
      readonly ok: boolean;
      readonly detail: string;
    }
  /** What came of a call of the compensator of effect `seq`. */
  | {
      readonly kind: 'settleCompensation';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly seq: number;
      readonly done: boolean;
      readonly error: string;
      /** Not done: when to try again; drawn by the leader (full jitter, L3). */
      readonly nextTryAtMs: ClusterTimeMs | 0;
      /** The circuit of this compensator's target is open: there is no next try. */
      readonly circuitOpen: boolean;
    };

export type RecoveryValue =
  | {
      readonly kind: 'recoveryAdvanced';
      readonly state: RecoveryState;
      readonly step: RecoveryStep | '';
      readonly token: FencingToken;
    }
  /** Answer to abortPhase: what the attempt leaves behind is undone first, and then the run ends as was asked for. */
  | { readonly kind: 'phaseRollingBack'; readonly nextG: number; readonly vectorClock: VectorClock };

export interface StepRecord {
  readonly step: RecoveryStep;
  readonly startedAtMs: ClusterTimeMs;
  readonly finishedAtMs: ClusterTimeMs;
}

/** The newest recovery of a run. Key: that of the run. */
export interface RecoveryRow {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly position: number;
  /** The attempt that was interrupted. */
  readonly attempt: number;
  readonly traceId: string;
  readonly state: RecoveryState;
  /** Step that is under way or next; '' where there is none. */
  readonly step: RecoveryStep | '';
  readonly cause: RecoveryCause;
  readonly detail: string;
  /** '' or why automation waits for a supervisor: AUTO_ATTEMPTS, COST_CAP_EXCEEDED. */
  readonly waiting: '' | 'AUTO_ATTEMPTS' | 'COST_CAP_EXCEEDED';
  /** Of the recovery lock: odd while a recovery is active, even when not. Rises with every change of hands (V4). */
  readonly token: FencingToken;
  /** Effect that is being compensated; effects with a higher number are settled. 0: none is left. */
  readonly seq: number;
  /** Tries of the compensator of `seq`, and when the next is due. */
  readonly tries: number;
  readonly nextTryAtMs: ClusterTimeMs | 0;
  readonly lastError: string;
  /** Last document that was restored, in RECONCILE the last that was found good; '' before the first. */
  readonly restoredThrough: string;
  /** CRC-32 over the fields that say where the recovery stands; see `checkpoint.ts`. */
  readonly crc: number;
  readonly faultAtMs: ClusterTimeMs;
  readonly detectedAtMs: ClusterTimeMs;
  /** Of the step that is under way. */
  readonly stepStartedAtMs: ClusterTimeMs;
  readonly finishedAtMs: ClusterTimeMs | 0;
  readonly blockedAtMs: ClusterTimeMs | 0;
  /** Then it is HARD_FAILED (V6); 0 while it is not blocked. */
  readonly blockedUntilMs: ClusterTimeMs | 0;
  readonly steps: readonly StepRecord[];
  /** '' while it is open, else ROLLED_FORWARD, ROLLED_BACK or HARD_FAILED. */
  readonly result: '' | 'ROLLED_FORWARD' | 'ROLLED_BACK' | 'HARD_FAILED';
  /** Its issue record (V8). */
  readonly issue: number;
  readonly changedRevision: Revision;
}
