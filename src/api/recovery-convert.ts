/** Rows about recoveries, effects and agents → messages of the public API. */
import {
  type AgentStatus,
  InterruptCause,
  type Recovery,
  type RecoveryCost,
  type RecoveryEffect,
  RecoveryEffectState,
  RecoveryResult,
  RecoveryState,
} from '../gen/quorate/v1/recovery_pb.ts';
import type { AgentRow } from '../machine/detection/types.ts';
import type { EffectRow, SpendingRow } from '../machine/ledger/types.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import { refMessage } from './convert.ts';

const NS = 'quorate.v1';

export function recoveryMessage(row: RecoveryRow): Recovery {
  return {
    $typeName: `${NS}.Recovery`,
    ref: refMessage(row),
    attempt: BigInt(row.attempt),
    traceId: row.traceId,
    state: RecoveryState[row.state],
    step: row.step,
    cause: InterruptCause[row.cause],
    detail: row.detail,
    waiting: row.waiting,
    fencingToken: BigInt(row.token),
    effectSeq: BigInt(row.seq),
    tries: row.tries,
    nextTryAtMs: BigInt(row.nextTryAtMs),
    lastError: row.lastError,
    restoredThrough: row.restoredThrough,
    faultAtMs: BigInt(row.faultAtMs),
    detectedAtMs: BigInt(row.detectedAtMs),
    stepStartedAtMs: BigInt(row.stepStartedAtMs),
    finishedAtMs: BigInt(row.finishedAtMs),
    blockedAtMs: BigInt(row.blockedAtMs),
    steps: row.steps.map(({ step, startedAtMs, finishedAtMs }) => ({
      $typeName: `${NS}.RecoveryStep`,
      step,
      startedAtMs: BigInt(startedAtMs),
      finishedAtMs: BigInt(finishedAtMs),
    })),
    result: row.result === '' ? RecoveryResult.UNSPECIFIED : RecoveryResult[row.result],
    issue: BigInt(row.issue),
    changedRevision: BigInt(row.changedRevision),
  };
}

export function effectMessage(row: EffectRow): RecoveryEffect {
  return {
    $typeName: `${NS}.RecoveryEffect`,
    seq: BigInt(row.seq),
    key: row.key,
    description: row.description,
    state: RecoveryEffectState[row.state],
    compensatorKind: row.compensator.kind,
    compensatorTarget: row.compensator.target,
    costMicros: row.costMicros,
    attempt: BigInt(row.attempt),
    intentAtMs: BigInt(row.intentAtMs),
    settledAtMs: BigInt(row.settledAtMs),
  };
}

/** null: nothing of the trace has cost anything. */
export function costMessage(row: SpendingRow | null): RecoveryCost {
  return {
    $typeName: `${NS}.RecoveryCost`,
    spentMicros: row?.spentMicros ?? '0',
    effects: BigInt(row?.effects ?? 0),
    capped: row?.capped ?? '',
    limitMicros: row?.cappedLimitMicros ?? '',
  };
}

export function agentMessage(row: AgentRow): AgentStatus {
  return {
    $typeName: `${NS}.AgentStatus`,
    name: row.agent,
    healthy: row.healthy,
    seenAtMs: BigInt(row.seenAtMs),
    changedAtMs: BigInt(row.changedAtMs),
  };
}

// ---------------------------------------------------------------------------------------------- estimated sizes

const MESSAGE_BYTES = 64;
const STEP_BYTES = 32;

export function recoveryBytes({ ref, traceId, detail, lastError, restoredThrough, steps }: Recovery): number {
  const names = (ref?.loop.length ?? 0) + (ref?.phase.length ?? 0) + traceId.length + restoredThrough.length;
  return 3 * MESSAGE_BYTES + names + detail.length + lastError.length + steps.length * STEP_BYTES;
}

export function effectBytes({ key, description, compensatorTarget }: RecoveryEffect): number {
  return 2 * MESSAGE_BYTES + key.length + description.length + compensatorTarget.length;
}

export function agentBytes({ name }: AgentStatus): number {
  return MESSAGE_BYTES + name.length;
}
