/** The one table from what can go wrong to gRPC status. Does not compile while a reason is missing. */
import { status as Code } from '@grpc/grpc-js';
import type { Rejection, RejectReason } from '../machine/types.ts';
import type { MutationOutcome } from '../node/types.ts';
import { type FieldViolation, type StatusError, statusError } from '../rpc/status.ts';
import type { MemberId } from '../types/ids.ts';

type Refusal = Extract<MutationOutcome, { kind: 'refused' }>;

/** Refusals of a change of members, before anything is put on record. */
export type MembershipReason =
  | 'MEMBER_UNREACHABLE'
  | 'MEMBER_MISMATCH'
  | 'MEMBER_NOT_LEARNER'
  | 'MEMBER_NOT_VOTER'
  | 'QUORUM_AT_RISK'
  | 'TRANSFER_FAILED';

/** Reasons that a program can switch on: google.rpc.ErrorInfo.reason, domain "quorate". */
export type ApiReason =
  | RejectReason
  | Refusal['reason']
  | MembershipReason
  | 'FEATURE_LEVEL_UNSUPPORTED'
  /** Its content does not match its schema. */
  | 'DOCUMENT_INVALID'
  | 'BACKUP_FAILED'
  | 'MEMBER_REMOVED'
  | 'INDETERMINATE'
  | 'DEADLINE_EXPIRED'
  | 'ROUND_NOT_FOUND'
  | 'COMPACTED'
  | 'WATCH_TOO_SLOW'
  /** Nothing of the stream was read. */
  | 'NO_PIPELINE'
  | 'INTERNAL';

interface Mapping {
  readonly code: Code;
  /** Waiting helps: sent as RetryInfo unless the refusal brings a time of its own. */
  readonly retryAfterMs?: number;
}

/**
 * FAILED_PRECONDITION: the same call fails again until the state is changed by other means. ABORTED: someone else was
 * faster; read, then decide again. UNAVAILABLE: certainly not carried out, another try is safe.
 *
 * INDETERMINATE is DEADLINE_EXCEEDED because that is the one code which gRPC itself defines as "may have been carried
 * out": a client that knows nothing of Quorate treats it right, and does not repeat it blindly as it would UNAVAILABLE.
 * A call whose deadline passes on the client's side says the same, so there is one case to handle. The reason tells a
 * definite DEADLINE_EXPIRED (refused before anything was proposed) from it.
 */
export const ERRORS: Readonly<Record<ApiReason, Mapping>> = {
  INVALID_ARGUMENT: { code: Code.INVALID_ARGUMENT },
  LIMIT_EXCEEDED: { code: Code.RESOURCE_EXHAUSTED },
  TOO_LARGE: { code: Code.RESOURCE_EXHAUSTED },
  OVERLOADED: { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 100 },
  WATCH_TOO_SLOW: { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 100 },
  NO_PIPELINE: { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 1_000 },
  SESSION_EXPIRED: { code: Code.FAILED_PRECONDITION },
  SESSION_SEQUENCE_FORGOTTEN: { code: Code.FAILED_PRECONDITION },
  BARRIER_CLOSED: { code: Code.FAILED_PRECONDITION },
  ROUND_CLOSED: { code: Code.FAILED_PRECONDITION },
  PHASE_OUT_OF_ORDER: { code: Code.FAILED_PRECONDITION },
  PHASE_FINAL: { code: Code.FAILED_PRECONDITION },
  PHASE_NOT_RUNNING: { code: Code.FAILED_PRECONDITION },
  PHASE_RUNNING: { code: Code.ABORTED },
  ATTEMPT_MISMATCH: { code: Code.ABORTED },
  STALE_FENCE: { code: Code.ABORTED },
  MEMBER_NOT_FOUND: { code: Code.NOT_FOUND },
  MEMBER_EXISTS: { code: Code.ALREADY_EXISTS },
  MEMBER_UNREACHABLE: { code: Code.FAILED_PRECONDITION },
  MEMBER_MISMATCH: { code: Code.FAILED_PRECONDITION },
  MEMBER_NOT_LEARNER: { code: Code.FAILED_PRECONDITION },
  MEMBER_NOT_VOTER: { code: Code.FAILED_PRECONDITION },
  QUORUM_AT_RISK: { code: Code.FAILED_PRECONDITION },
  TRANSFER_FAILED: { code: Code.ABORTED },
  FEATURE_LEVEL_TOO_LOW: { code: Code.FAILED_PRECONDITION },
  FEATURE_LEVEL_IN_USE: { code: Code.FAILED_PRECONDITION },
  FEATURE_LEVEL_UNSUPPORTED: { code: Code.FAILED_PRECONDITION },
  DOCUMENT_NOT_FOUND: { code: Code.NOT_FOUND },
  VERSION_MISMATCH: { code: Code.ABORTED },
  FORENSIC_MISMATCH: { code: Code.FAILED_PRECONDITION },
  PHASE_INTERRUPTED: { code: Code.FAILED_PRECONDITION },
  PARTICIPANT_UNKNOWN: { code: Code.FAILED_PRECONDITION },
  RECOVERY_NOT_FOUND: { code: Code.NOT_FOUND },
  RECOVERY_STATE: { code: Code.FAILED_PRECONDITION },
  EFFECT_NOT_FOUND: { code: Code.NOT_FOUND },
  EFFECT_EXISTS: { code: Code.ALREADY_EXISTS },
  EFFECT_SETTLED: { code: Code.FAILED_PRECONDITION },
  EFFECTS_OPEN: { code: Code.FAILED_PRECONDITION },
  COST_CAP_EXCEEDED: { code: Code.RESOURCE_EXHAUSTED },
  SUPERVISOR_UNKNOWN: { code: Code.PERMISSION_DENIED },
  SIGNATURE_INVALID: { code: Code.PERMISSION_DENIED },
  SIGNATURES_TOO_FEW: { code: Code.PERMISSION_DENIED },
  OVERRIDE_EXPIRED: { code: Code.FAILED_PRECONDITION },
  OVERRIDE_REPLAYED: { code: Code.FAILED_PRECONDITION },
  OVERRIDE_NO_TARGET: { code: Code.NOT_FOUND },
  ISSUE_NOT_FOUND: { code: Code.NOT_FOUND },
  AVAILABILITY_LIMIT: { code: Code.FAILED_PRECONDITION },
  DOCUMENT_INVALID: { code: Code.INVALID_ARGUMENT },
  PLAN_NOT_FOUND: { code: Code.NOT_FOUND },
  LOOP_NOT_FOUND: { code: Code.NOT_FOUND },
  PHASE_UNKNOWN: { code: Code.NOT_FOUND },
  ROUND_NOT_FOUND: { code: Code.NOT_FOUND },
  PLAN_EXISTS: { code: Code.ALREADY_EXISTS },
  LOOP_EXISTS: { code: Code.ALREADY_EXISTS },
  NOT_LEADER: { code: Code.UNAVAILABLE, retryAfterMs: 50 },
  NO_QUORUM: { code: Code.UNAVAILABLE, retryAfterMs: 500 },
  SHUTTING_DOWN: { code: Code.UNAVAILABLE, retryAfterMs: 500 },
  NO_SPACE: { code: Code.UNAVAILABLE, retryAfterMs: 1_000 },
  PARTITION_ERROR: { code: Code.UNAVAILABLE, retryAfterMs: 1_000 },
  MEMBER_REMOVED: { code: Code.UNAVAILABLE },
  BACKUP_FAILED: { code: Code.ABORTED },
  INDETERMINATE: { code: Code.DEADLINE_EXCEEDED },
  DEADLINE_EXPIRED: { code: Code.DEADLINE_EXCEEDED },
  COMPACTED: { code: Code.OUT_OF_RANGE },
  INTERNAL: { code: Code.INTERNAL },
};

export interface FailureExtras {
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly violations?: readonly FieldViolation[] | undefined;
}

export function failure(reason: ApiReason, message: string, extras: FailureExtras = {}): StatusError {
  const { code, retryAfterMs } = ERRORS[reason];
  return statusError({ code, reason, message, retryAfterMs, ...definedOnly(extras) });
}

/** An undefined retry time must not hide the table's. */
function definedOnly(extras: FailureExtras): FailureExtras {
  return Object.fromEntries(Object.entries(extras).filter(([, value]) => value !== undefined));
}

/** What is wrong with a request, before anything was asked of the member. */
export function invalidArgument(violations: readonly FieldViolation[]): StatusError {
  const [first] = violations;
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join('; ');
  return failure('INVALID_ARGUMENT', first === undefined ? 'the request is not valid' : text, { violations });
}

/** A refusal by the state machine. */
export function rejected({ reason, message, details }: Rejection): StatusError {
  const field = reason === 'INVALID_ARGUMENT' ? details.field : undefined;
  const violations = field === undefined ? undefined : [{ field, description: message }];
  return failure(reason, message, { metadata: details, violations });
}

/** A refusal by the member: certainly not carried out. Names the leader, and its address for clients, when known. */
export function refused(refusal: Refusal, addressOf: (member: MemberId) => string): StatusError {
  const { reason, leader, retryAfterMs, message } = refusal;
  const metadata = leader === null ? undefined : { leader, leader_address: addressOf(leader) };
  return failure(reason, message, { metadata, retryAfterMs: retryAfterMs ?? undefined });
}

/** Of a member that was taken out of the cluster: another one can answer. */
export function memberRemoved(memberId: MemberId): StatusError {
  return failure('MEMBER_REMOVED', `member ${memberId} was removed from the cluster; ask another member`);
}
