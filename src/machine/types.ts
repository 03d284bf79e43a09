/**
 * The vocabulary of the replicated state machine: commands, answers, rejections and events. Pure data; everything
 * that an apply needs is here or in the tables. Text is UTF-8 text, never bytes.
 */

import type { ClusterTimeMs, FencingToken, LogIndex, MemberId, Revision, SessionId, Term } from '../types/ids.ts';
import type { AvailabilityCommand, AvailabilityValue } from './availability/types.ts';
import type { DetectionCommand, DetectionValue } from './detection/types.ts';
import type { DocumentCommand, DocumentValue } from './document/types.ts';
import type { IssueCommand, IssueValue } from './issue/types.ts';
import type { LedgerCommand, LedgerValue } from './ledger/types.ts';
import type { OverrideCommand, OverrideValue } from './override/types.ts';
import type { RecoveryCommand, RecoveryValue } from './recovery/types.ts';

/** Sparse vector clock: sorted by node, counters ≥ 1 (P8). */
export type VectorClock = readonly (readonly [node: string, counter: number])[];

export interface PlanPhase {
  readonly name: string;
  /** Expected duration before there is history, milliseconds (D2). */
  readonly priorMs: number;
  /** Longest time without progress, milliseconds; 0 means none. */
  readonly slaMs: number;
}

/** A finished sub-step; `result` is text of the agent's choosing. */
export interface SubStepReport {
  readonly id: string;
  readonly result: string;
}

// ---------------------------------------------------------------------------------------------- commands

/** Names the phase run that a command is about. */
export interface PhaseRef {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
}

/** A wish about a member; the leader works towards it by changes of the configuration (R2). */
export type MemberChange =
  | {
      readonly kind: 'add';
      readonly member: MemberId;
      readonly peerAddress: string;
      readonly clientAddress: string;
      /** Of the data folder that was met at the address: 32 hex digits. No other one may come under this id. */
      readonly incarnation: string;
      /** A voter is a learner first, until it has caught up. */
      readonly role: 'voter' | 'learner';
      /** Member that goes in the same change in which this one becomes a voter; '' for none. */
      readonly replaces: MemberId | '';
    }
  | { readonly kind: 'promote'; readonly member: MemberId }
  | { readonly kind: 'remove'; readonly member: MemberId };

/** Commands of feature level 3, a file for each domain. */
export type DomainCommand =
  | DocumentCommand
  | DetectionCommand
  | RecoveryCommand
  | LedgerCommand
  | OverrideCommand
  | IssueCommand
  | AvailabilityCommand;

export type CommandBody =
  | DomainCommand
  /** Feature level 2. All or none. */
  | { readonly kind: 'changeMembers'; readonly changes: readonly MemberChange[] }
  /**
   * The cluster's feature level (R9). The leader raises it when every member supports it; an operator may take it back to
   * what was used so far, and `pinned` keeps it there.
   */
  | { readonly kind: 'setFeatureLevel'; readonly level: number; readonly pinned: boolean }
  /** Stamps the time and expires what is due. Proposed by the leader only. */
  | { readonly kind: 'advanceTime' }
  | { readonly kind: 'openSession'; readonly ttlMs: number }
  | { readonly kind: 'keepAliveSession' }
  | { readonly kind: 'closeSession' }
  | { readonly kind: 'registerPlan'; readonly plan: string; readonly phases: readonly PlanPhase[] }
  /** `plan` '' means the default plan (P1). */
  | { readonly kind: 'createLoop'; readonly loop: string; readonly plan: string }
  | {
      readonly kind: 'beginPhase';
      readonly ref: PhaseRef;
      /** 0: begin a run that nobody holds. N: take the run over from attempt N, which loses its token. */
      readonly supersedeAttempt: number;
      readonly vectorClock: VectorClock;
      /** Feature level 3: who has to report `finished` besides the commit (D4); sorted, empty for the agent alone. */
      readonly participants?: readonly string[];
    }
  | {
      readonly kind: 'reportProgress';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      /** Units done and planned; total 0 leaves both as they were. */
      readonly completed: number;
      readonly total: number;
      /** '' leaves the note as it was. */
      readonly note: string;
      readonly subSteps: readonly SubStepReport[];
      /** null leaves the checkpoint as it was. */
      readonly checkpoint: string | null;
      /** Feature level 3: CRC-32 over the checkpoint's UTF-8 bytes as the agent worked it out. */
      readonly checkpointCrc?: number;
      /** Feature level 3: of the history that is told. Decides between reports that contradict each other (V2). */
      readonly vectorClock?: VectorClock;
      /** Feature level 3: who of the participants tells it; left out for the caller. */
      readonly participant?: string;
    }
  | {
      readonly kind: 'commitPhase';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly result: string;
      readonly vectorClock: VectorClock;
    }
  | {
      readonly kind: 'abortPhase';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly reason: string;
      /** true: the run ends HARD_FAILED and counts as final for the barrier. false: it may be begun again. */
      readonly hardFail: boolean;
      readonly vectorClock: VectorClock;
    };

export type CommandKind = CommandBody['kind'];

/** One request of a session (Raft thesis, section 6.3). */
export interface SessionRef {
  readonly id: SessionId;
  /** From 1, one for each request of the session; a retry carries the same number. */
  readonly sequence: number;
  /** The client has the answers to all requests up to here; they may be forgotten. */
  readonly ackedThrough: number;
}

export interface Command {
  /** Leader's clock when it was proposed; apply uses the greater of it and the time so far (R7). */
  readonly timeMs: ClusterTimeMs;
  /** null: no retry protection; the caller must not retry an unknown outcome. */
  readonly session: SessionRef | null;
  /** Who asks, for records and vector clocks; '' when unknown. */
  readonly caller: string;
  readonly traceId: string;
  readonly body: CommandBody;
}

/** A committed entry as the machine sees it; `command` is null for a no-op or a configuration entry. */
export interface AppliedEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly command: Command | null;
}

// ---------------------------------------------------------------------------------------------- answers

/** Reasons that a program can switch on; sent as google.rpc.ErrorInfo.reason in upper case. */
export type RejectReason =
  | 'INVALID_ARGUMENT'
  | 'LIMIT_EXCEEDED'
  | 'SESSION_EXPIRED'
  | 'SESSION_SEQUENCE_FORGOTTEN'
  | 'PLAN_NOT_FOUND'
  | 'PLAN_EXISTS'
  | 'LOOP_NOT_FOUND'
  | 'LOOP_EXISTS'
  | 'PHASE_UNKNOWN'
  | 'BARRIER_CLOSED'
  | 'ROUND_CLOSED'
  | 'PHASE_OUT_OF_ORDER'
  | 'PHASE_FINAL'
  | 'PHASE_RUNNING'
  | 'PHASE_NOT_RUNNING'
  | 'ATTEMPT_MISMATCH'
  | 'STALE_FENCE'
  | 'MEMBER_EXISTS'
  | 'MEMBER_NOT_FOUND'
  | 'FEATURE_LEVEL_TOO_LOW'
  | 'FEATURE_LEVEL_IN_USE'
  | DomainReason;

/** Feature level 3. */
export type DomainReason =
  | 'DOCUMENT_NOT_FOUND'
  | 'VERSION_MISMATCH'
  | 'FORENSIC_MISMATCH'
  | 'PHASE_INTERRUPTED'
  | 'PARTICIPANT_UNKNOWN'
  | 'RECOVERY_NOT_FOUND'
  | 'RECOVERY_STATE'
  | 'EFFECT_NOT_FOUND'
  | 'EFFECT_EXISTS'
  | 'EFFECT_SETTLED'
  | 'EFFECTS_OPEN'
  | 'COST_CAP_EXCEEDED'
  | 'SUPERVISOR_UNKNOWN'
  | 'SIGNATURE_INVALID'
  | 'SIGNATURES_TOO_FEW'
  | 'OVERRIDE_EXPIRED'
  | 'OVERRIDE_REPLAYED'
  | 'OVERRIDE_NO_TARGET'
  | 'ISSUE_NOT_FOUND'
  | 'AVAILABILITY_LIMIT';

export interface Rejection {
  readonly reason: RejectReason;
  /** One sentence for a person, saying what to do. The same on every replica. */
  readonly message: string;
  /** For programs: decimal numbers and names, e.g. { g: '3', attempt: '2' }. Keys sorted. */
  readonly details: Readonly<Record<string, string>>;
}

export type DomainValue =
  | DocumentValue
  | DetectionValue
  | RecoveryValue
  | LedgerValue
  | OverrideValue
  | IssueValue
  | AvailabilityValue;

export type CommandValue =
  | DomainValue
  | { readonly kind: 'membersChanged' }
  | { readonly kind: 'featureLevelSet'; readonly level: number }
  | { readonly kind: 'timeAdvanced' }
  | { readonly kind: 'sessionOpened'; readonly sessionId: SessionId; readonly ttlMs: number }
  | { readonly kind: 'sessionKept' }
  | { readonly kind: 'sessionClosed' }
  | { readonly kind: 'planRegistered'; readonly plan: string }
  | { readonly kind: 'loopCreated'; readonly loop: string; readonly g: number }
  | {
      readonly kind: 'phaseBegun';
      readonly attempt: number;
      readonly token: FencingToken;
      /** Sub-steps that earlier attempts finished already. */
      readonly subStepsDone: number;
      readonly checkpoint: string;
      readonly vectorClock: VectorClock;
    }
  | {
      readonly kind: 'progressReported';
      readonly subStepsRecorded: number;
      /**
       * Ids of this report that were on record already; their first result stands. In the order of the report, the
       * first SUB_STEPS_KNOWN_LENGTH_MAX code units; in all they are what the report had less `subStepsRecorded`.
       */
      readonly subStepsKnown: readonly string[];
    }
  | {
      readonly kind: 'phaseCommitted';
      readonly g: number /** The commit closed the round: g of the loop is now this. */;
      readonly nextG: number;
      readonly vectorClock: VectorClock;
    }
  | { readonly kind: 'phaseAborted'; readonly nextG: number; readonly vectorClock: VectorClock };

export type CommandResult =
  | { readonly ok: true; readonly revision: Revision; readonly value: CommandValue }
  | { readonly ok: false; readonly revision: Revision; readonly rejection: Rejection };

// ---------------------------------------------------------------------------------------------- events

export type EventKind =
  | 'loop.created'
  | 'phase_transition.started'
  | 'phase_transition.progress'
  | 'phase_transition.finished'
  | 'phase_ready'
  | DomainEventKind;

/** Feature level 3. `outcome` of a `phase_recovery` event is the arc, as in `INTERRUPTED>RECONCILE`, and the cause or step behind a space. */
export type DomainEventKind =
  | 'phase_recovery.interrupted'
  | 'phase_recovery.reconcile'
  | 'phase_recovery.rollback'
  | 'phase_recovery.step'
  | 'phase_recovery.blocked'
  | 'phase_recovery.finished'
  | 'phase_recovery.waiting'
  | 'agent.down'
  | 'agent.up'
  | 'agent.left'
  | 'document.changed'
  | 'effect.intent'
  | 'effect.confirmed'
  | 'effect.compensated'
  | 'override.accepted'
  | 'issue.opened'
  | 'alert.raised'
  | 'member.availability';

/** One event of the history (P4). Events of one entry share the revision and are delivered together. */
export interface MachineEvent {
  readonly revision: Revision;
  /** Position among the events of the same revision, from 0. */
  readonly ordinal: number;
  readonly timeMs: ClusterTimeMs;
  readonly kind: EventKind;
  readonly loop: string;
  readonly g: number;
  /** '' where the event is not about one phase. */
  readonly phase: string;
  readonly attempt: number;
  readonly token: FencingToken | 0;
  readonly caller: string;
  readonly traceId: string;
  /** For `finished`: CLEAN_EXIT, ABORTED, HARD_FAILED or SUPERSEDED. For `progress`: '' . */
  readonly outcome: string;
  readonly vectorClock: VectorClock;
}

/** FAILED_PARTIAL: interrupted; a recovery decides what becomes of it (D6). Not final. */
export type PhaseState = 'PENDING' | 'RUNNING' | 'ABORTED' | 'FAILED_PARTIAL' | 'CLEAN_EXIT' | 'HARD_FAILED';
export type AttemptState = 'RUNNING' | 'SUPERSEDED' | 'ABORTED' | 'FAILED_PARTIAL' | 'CLEAN_EXIT' | 'HARD_FAILED';

// ---------------------------------------------------------------------------------------------- rows

/** What is stored of a table row: the same text on every replica, so that it can be hashed (R7). */
export interface RowChange {
  readonly table: string;
  /** Ordered by code units within the table. */
  readonly key: string;
  /** null: the row is gone. */
  readonly value: string | null;
}

export interface StoredRow {
  readonly table: string;
  readonly key: string;
  readonly value: string;
}
