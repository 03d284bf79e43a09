/**
 * How calls fail. Three classes, on purpose not related: a rejection is certain, an indeterminate outcome is not, and
 * a compacted watch is neither. A program that handles one must not handle another by accident.
 */

/** Refusals by the replicated state: the same answer on every member, and a retry changes nothing. */
export const STATE_REASONS = [
  'INVALID_ARGUMENT',
  'LIMIT_EXCEEDED',
  'SESSION_EXPIRED',
  'SESSION_SEQUENCE_FORGOTTEN',
  'PLAN_NOT_FOUND',
  'PLAN_EXISTS',
  'LOOP_NOT_FOUND',
  'LOOP_EXISTS',
  'PHASE_UNKNOWN',
  'BARRIER_CLOSED',
  'ROUND_CLOSED',
  'PHASE_OUT_OF_ORDER',
  'PHASE_FINAL',
  'PHASE_RUNNING',
  'PHASE_NOT_RUNNING',
  'ATTEMPT_MISMATCH',
  'STALE_FENCE',
  'ROUND_NOT_FOUND',
  'MEMBER_EXISTS',
  'MEMBER_NOT_FOUND',
  'FEATURE_LEVEL_TOO_LOW',
  'FEATURE_LEVEL_IN_USE',
  'DOCUMENT_NOT_FOUND',
  'VERSION_MISMATCH',
  'FORENSIC_MISMATCH',
  'PHASE_INTERRUPTED',
  'PARTICIPANT_UNKNOWN',
  'RECOVERY_NOT_FOUND',
  'RECOVERY_STATE',
  'EFFECT_NOT_FOUND',
  'EFFECT_EXISTS',
  'EFFECT_SETTLED',
  'EFFECTS_OPEN',
  'COST_CAP_EXCEEDED',
  'SUPERVISOR_UNKNOWN',
  'SIGNATURE_INVALID',
  'SIGNATURES_TOO_FEW',
  'OVERRIDE_EXPIRED',
  'OVERRIDE_REPLAYED',
  'OVERRIDE_NO_TARGET',
  'ISSUE_NOT_FOUND',
  'AVAILABILITY_LIMIT',
  'DOCUMENT_INVALID',
] as const;

/** Refusals by the member that was asked: certainly not carried out, and worth another try. */
export const MEMBER_REASONS = [
  'NOT_LEADER',
  'NO_QUORUM',
  'OVERLOADED',
  'NO_PIPELINE',
  'SHUTTING_DOWN',
  'WATCH_TOO_SLOW',
  'DEADLINE_EXPIRED',
  'NO_SPACE',
  'PARTITION_ERROR',
  'MEMBER_REMOVED',
] as const;

/**
 * Refusals by the leader before anything was put on record. They may be refusals of a second try only, so they say
 * nothing of a first one whose outcome is unknown.
 */
export const OPERATION_REASONS = [
  'MEMBER_UNREACHABLE',
  'MEMBER_MISMATCH',
  'MEMBER_NOT_LEARNER',
  'MEMBER_NOT_VOTER',
  'QUORUM_AT_RISK',
  'TRANSFER_FAILED',
  'FEATURE_LEVEL_UNSUPPORTED',
  'BACKUP_FAILED',
] as const;

export type StateReason = (typeof STATE_REASONS)[number];
export type MemberReason = (typeof MEMBER_REASONS)[number];
export type OperationReason = (typeof OPERATION_REASONS)[number];

/**
 * Why a call was refused; a program can switch on it.
 * UNAVAILABLE: no member could be reached before the deadline. TOO_LARGE: the request is over a size limit.
 * INTERNAL: the member has a bug; its log says more. UNKNOWN: a reason that this client does not know; `details.reason` has it.
 */
export type QuorateReason =
  | StateReason
  | MemberReason
  | OperationReason
  | 'TOO_LARGE'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'UNKNOWN';

const REASONS: ReadonlySet<string> = new Set<QuorateReason>([
  ...STATE_REASONS,
  ...MEMBER_REASONS,
  ...OPERATION_REASONS,
  'TOO_LARGE',
  'INTERNAL',
  'UNAVAILABLE',
]);

export function isQuorateReason(reason: string): reason is QuorateReason {
  return REASONS.has(reason);
}

export function isStateReason(reason: QuorateReason): reason is StateReason {
  return (STATE_REASONS as readonly string[]).includes(reason);
}

export interface QuorateErrorFields {
  readonly reason: QuorateReason;
  readonly message: string;
  readonly details?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number | null;
  readonly cause?: unknown;
}

/** The call was certainly not carried out. */
export class QuorateError extends Error {
  override readonly name = 'QuorateError';
  readonly reason: QuorateReason;
  /** For programs: names and decimal numbers, such as `{ g: '3', attempt: '2' }`. */
  readonly details: Readonly<Record<string, string>>;
  /** When another try makes sense, milliseconds; null: the members did not say. */
  readonly retryAfterMs: number | null;

  constructor(fields: QuorateErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.reason = fields.reason;
    this.details = fields.details ?? {};
    this.retryAfterMs = fields.retryAfterMs ?? null;
  }
}

/** The mutation may or may not have been carried out, and may still be. Never retried behind the caller's back. */
export class IndeterminateError extends Error {
  override readonly name = 'IndeterminateError';
  /** True when the mutation belongs to a session: `retry` then gives the first answer or carries it out once. */
  readonly safeToRetry: boolean;
  readonly #retry: (() => Promise<unknown>) | null;

  constructor(message: string, retry: (() => Promise<unknown>) | null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.#retry = retry;
    this.safeToRetry = retry !== null;
  }

  /**
   * Asks again with the same session and sequence, with a new deadline; resolves like the first call would have.
   * Rejects with this error when there is no session: look at the state instead.
   */
  retry(): Promise<unknown> {
    return this.#retry === null ? Promise.reject(this) : this.#retry();
  }
}

/** The history that a watch wanted is gone. Read the state, then watch from `firstRevision` or later. */
export class CompactedError extends Error {
  override readonly name = 'CompactedError';
  /** The first revision that a watch can still start from. */
  readonly firstRevision: number;

  constructor(firstRevision: number) {
    super(`the history before revision ${firstRevision} is gone; read the state and watch from ${firstRevision} on`);
    this.firstRevision = firstRevision;
  }
}
