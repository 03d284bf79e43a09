/**
 * Answers of the state machine as text: the JSON that sessions remember and that members forward to each other.
 * A peer's text is checked in full; keys that this release does not know are left alone (R9).
 */
import type { CommandResult, CommandValue, Rejection, RejectReason } from '../machine/types.ts';
import { err, ok, type Result } from '../types/result.ts';

export function encodeCommandResult(result: CommandResult): string {
  return JSON.stringify(result);
}

/** Reads what {@link encodeCommandResult} wrote. The error says which part is wrong. */
export function decodeCommandResult(text: string): Result<CommandResult, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return err('result is not JSON');
  }
  const fault = faultOf(parsed);
  return fault === null ? ok(parsed as CommandResult) : err(`result: ${fault}`);
}

type FieldType = 'count' | 'text' | 'texts' | 'clock' | 'flag';
type FieldsOf<Value> = { readonly [Field in Exclude<keyof Value, 'kind'>]: FieldType };
type ValueOf<Kind extends CommandValue['kind']> = Extract<CommandValue, { kind: Kind }>;

/** Fields of each answer. Does not compile when an answer or a field is missing. */
const VALUE_FIELDS: { readonly [Kind in CommandValue['kind']]: FieldsOf<ValueOf<Kind>> } = {
  membersChanged: {},
  featureLevelSet: { level: 'count' },
  timeAdvanced: {},
  sessionOpened: { sessionId: 'count', ttlMs: 'count' },
  sessionKept: {},
  sessionClosed: {},
  planRegistered: { plan: 'text' },
  loopCreated: { loop: 'text', g: 'count' },
  phaseBegun: { attempt: 'count', token: 'count', subStepsDone: 'count', checkpoint: 'text', vectorClock: 'clock' },
  progressReported: { subStepsRecorded: 'count', subStepsKnown: 'texts' },
  phaseCommitted: { g: 'count', nextG: 'count', vectorClock: 'clock' },
  phaseAborted: { nextG: 'count', vectorClock: 'clock' },
  documentPut: { version: 'count' },
  documentDeleted: { version: 'count' },
  nodeDecommissioned: { dropAtMs: 'count' },
  phaseInterrupted: { waiting: 'flag' },
  phaseRollingBack: { nextG: 'count', vectorClock: 'clock' },
  agentMarked: {},
  finishedReported: { finished: 'count', participants: 'count' },
  policySet: {},
  recoveryAdvanced: { state: 'text', step: 'text', token: 'count' },
  intentRecorded: {
    seq: 'count',
    fresh: 'flag',
    state: 'text',
    result: 'text',
    refusal: 'text',
    refusalDetail: 'text',
  },
  effectConfirmed: { seq: 'count' },
  effectWithdrawn: { seq: 'count' },
  overridden: { recoveries: 'count' },
  supervisorsChanged: { supervisors: 'count', threshold: 'count' },
  issueAcknowledged: {},
  alertSettled: {},
  availabilityChanged: { eviction: 'text' },
};

const REJECT_REASONS: Readonly<Record<RejectReason, true>> = {
  INVALID_ARGUMENT: true,
  LIMIT_EXCEEDED: true,
  SESSION_EXPIRED: true,
  SESSION_SEQUENCE_FORGOTTEN: true,
  PLAN_NOT_FOUND: true,
  PLAN_EXISTS: true,
  LOOP_NOT_FOUND: true,
  LOOP_EXISTS: true,
  PHASE_UNKNOWN: true,
  BARRIER_CLOSED: true,
  ROUND_CLOSED: true,
  PHASE_OUT_OF_ORDER: true,
  PHASE_FINAL: true,
  PHASE_RUNNING: true,
  PHASE_NOT_RUNNING: true,
  ATTEMPT_MISMATCH: true,
  STALE_FENCE: true,
  MEMBER_EXISTS: true,
  MEMBER_NOT_FOUND: true,
  FEATURE_LEVEL_TOO_LOW: true,
  FEATURE_LEVEL_IN_USE: true,
  DOCUMENT_NOT_FOUND: true,
  VERSION_MISMATCH: true,
  FORENSIC_MISMATCH: true,
  PHASE_INTERRUPTED: true,
  PARTICIPANT_UNKNOWN: true,
  RECOVERY_NOT_FOUND: true,
  RECOVERY_STATE: true,
  EFFECT_NOT_FOUND: true,
  EFFECT_EXISTS: true,
  EFFECT_SETTLED: true,
  EFFECTS_OPEN: true,
  COST_CAP_EXCEEDED: true,
  SUPERVISOR_UNKNOWN: true,
  SIGNATURE_INVALID: true,
  SIGNATURES_TOO_FEW: true,
  OVERRIDE_EXPIRED: true,
  OVERRIDE_REPLAYED: true,
  OVERRIDE_NO_TARGET: true,
  ISSUE_NOT_FOUND: true,
  AVAILABILITY_LIMIT: true,
};

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isClock(value: unknown): boolean {
  if (!Array.isArray(value)) return false;
  let previous: string | null = null;
  for (const entry of value as readonly unknown[]) {
    if (!Array.isArray(entry) || entry.length !== 2 || !isText(entry[0]) || !isCount(entry[1])) return false;
    if (entry[1] < 1 || (previous !== null && entry[0] <= previous)) return false;
    previous = entry[0];
  }
  return true;
}

const FIELD_CHECKS: Readonly<Record<FieldType, (value: unknown) => boolean>> = {
  count: isCount,
  flag: (value) => typeof value === 'boolean',
  text: isText,
  texts: (value) => Array.isArray(value) && value.every(isText),
  clock: isClock,
};

function faultOf(result: unknown): string | null {
  if (!isRecord(result)) return 'not an object';
  if (!isCount(result.revision)) return 'revision is not a safe non-negative integer';
  if (result.ok === true) return valueFault(result.value);
  if (result.ok === false) return rejectionFault(result.rejection);
  return 'ok is neither true nor false';
}

function valueFault(value: unknown): string | null {
  if (!isRecord(value)) return 'value is not an object';
  const kind = value.kind;
  if (!isText(kind) || !Object.hasOwn(VALUE_FIELDS, kind)) return 'value is of a kind that this release does not know';
  for (const [field, type] of Object.entries(VALUE_FIELDS[kind as CommandValue['kind']])) {
    if (!FIELD_CHECKS[type](value[field])) return `value.${field} of ${kind} is not a ${type}`;
  }
  return null;
}

function rejectionFault(rejection: unknown): string | null {
  if (!isRecord(rejection)) return 'rejection is not an object';
  const { reason, message, details } = rejection as { readonly [Field in keyof Rejection]?: unknown };
  if (!isText(reason) || !Object.hasOwn(REJECT_REASONS, reason)) return 'rejection.reason is unknown to this release';
  if (!isText(message)) return 'rejection.message is not text';
  if (!isRecord(details) || !Object.values(details).every(isText)) return 'rejection.details is not a map of text';
  return null;
}
