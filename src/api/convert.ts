/** Rows and events of the state machine → messages of the public API. Their numbers are safe integers already. */
import type { VectorClock as ClockMessage } from '../gen/quorate/v1/common_pb.ts';
import {
  type Attempt,
  AttemptState as AttemptStateMessage,
  type Loop,
  type PhaseRun,
  PhaseState as PhaseStateMessage,
  type Plan,
  type PhaseRef as RefMessage,
  type SubStep,
} from '../gen/quorate/v1/phase_pb.ts';
import type { Event } from '../gen/quorate/v1/watch_pb.ts';
import type { AttemptRow, LoopRow, PlanRow, RunRow, SubStepRow } from '../machine/rows.ts';
import type { AttemptState, MachineEvent, PhaseRef, PhaseState, VectorClock } from '../machine/types.ts';

const NS = 'quorate.v1';

const PHASE_STATES: Readonly<Record<PhaseState, PhaseStateMessage>> = {
  PENDING: PhaseStateMessage.PENDING,
  RUNNING: PhaseStateMessage.RUNNING,
  ABORTED: PhaseStateMessage.ABORTED,
  FAILED_PARTIAL: PhaseStateMessage.FAILED_PARTIAL,
  CLEAN_EXIT: PhaseStateMessage.CLEAN_EXIT,
  HARD_FAILED: PhaseStateMessage.HARD_FAILED,
};

const ATTEMPT_STATES: Readonly<Record<AttemptState, AttemptStateMessage>> = {
  RUNNING: AttemptStateMessage.RUNNING,
  SUPERSEDED: AttemptStateMessage.SUPERSEDED,
  ABORTED: AttemptStateMessage.ABORTED,
  FAILED_PARTIAL: AttemptStateMessage.FAILED_PARTIAL,
  CLEAN_EXIT: AttemptStateMessage.CLEAN_EXIT,
  HARD_FAILED: AttemptStateMessage.HARD_FAILED,
};

export function clockMessage(clock: VectorClock): ClockMessage {
  return {
    $typeName: `${NS}.VectorClock`,
    entries: clock.map(([node, counter]) => ({
      $typeName: `${NS}.VectorClockEntry`,
      node,
      counter: BigInt(counter),
    })),
  };
}

export function planMessage(row: PlanRow): Plan {
  return {
    $typeName: `${NS}.Plan`,
    name: row.plan,
    phases: row.phases.map(({ name, priorMs, slaMs }) => ({
      $typeName: `${NS}.PlanPhase`,
      name,
      priorMs: BigInt(priorMs),
      slaMs: BigInt(slaMs),
    })),
  };
}

export function refMessage({ loop, g, phase }: PhaseRef): RefMessage {
  return { $typeName: `${NS}.PhaseRef`, loop, g: BigInt(g), phase };
}

/** `summary` leaves out what may be long: the checkpoint and the result. */
export function runMessage(row: RunRow, detail: 'full' | 'summary'): PhaseRun {
  const full = detail === 'full';
  return {
    $typeName: `${NS}.PhaseRun`,
    ref: refMessage(row),
    state: PHASE_STATES[row.state],
    attempt: BigInt(row.attempt),
    caller: row.caller,
    traceId: row.traceId,
    completed: BigInt(row.completed),
    total: BigInt(row.total),
    note: row.note,
    checkpoint: full ? row.checkpoint : '',
    subStepsDone: BigInt(row.subStepsDone),
    result: full ? row.result : '',
    abortReason: row.abortReason,
    startedAtMs: BigInt(row.startedAtMs),
    progressAtMs: BigInt(row.progressAtMs),
    finishedAtMs: BigInt(row.finishedAtMs),
    changedRevision: BigInt(row.changedRevision),
    vectorClock: clockMessage(row.vectorClock),
  };
}

export function attemptMessage(row: AttemptRow): Attempt {
  return {
    $typeName: `${NS}.Attempt`,
    attempt: BigInt(row.attempt),
    state: ATTEMPT_STATES[row.state],
    caller: row.caller,
    traceId: row.traceId,
    startedAtMs: BigInt(row.startedAtMs),
    finishedAtMs: BigInt(row.finishedAtMs),
  };
}

export function loopMessage(row: LoopRow, runs: readonly RunRow[]): Loop {
  return {
    $typeName: `${NS}.Loop`,
    name: row.loop,
    plan: row.plan,
    g: BigInt(row.g),
    runs: runs.map((run) => runMessage(run, 'summary')),
    createdRevision: BigInt(row.createdRevision),
    changedRevision: BigInt(row.changedRevision),
    createdAtMs: BigInt(row.createdAtMs),
    vectorClock: clockMessage(row.vectorClock),
  };
}

export function subStepMessage(row: SubStepRow): SubStep {
  return {
    $typeName: `${NS}.SubStep`,
    id: row.id,
    result: row.result,
    attempt: BigInt(row.attempt),
    recordedRevision: BigInt(row.recordedRevision),
  };
}

export function eventMessage(event: MachineEvent): Event {
  return {
    $typeName: `${NS}.Event`,
    revision: BigInt(event.revision),
    ordinal: event.ordinal,
    timeMs: BigInt(event.timeMs),
    kind: event.kind,
    loop: event.loop,
    g: BigInt(event.g),
    phase: event.phase,
    attempt: BigInt(event.attempt),
    caller: event.caller,
    traceId: event.traceId,
    outcome: event.outcome,
    vectorClock: clockMessage(event.vectorClock),
  };
}

// ---------------------------------------------------------------------------------------------- estimated sizes

/** Bytes of a message besides its long texts; a code unit of text counts one byte, which is right for ASCII. */
const MESSAGE_BYTES = 64;
const CLOCK_ENTRY_BYTES = 24;

function clockBytes(clock: ClockMessage | undefined): number {
  let bytes = 0;
  for (const { node } of clock?.entries ?? []) bytes += CLOCK_ENTRY_BYTES + node.length;
  return bytes;
}

export function planBytes(plan: Plan): number {
  let bytes = MESSAGE_BYTES + plan.name.length;
  for (const { name } of plan.phases) bytes += MESSAGE_BYTES + name.length;
  return bytes;
}

export function loopBytes(loop: Loop): number {
  let bytes = MESSAGE_BYTES + clockBytes(loop.vectorClock);
  for (const { caller, traceId, note, abortReason, vectorClock, ref } of loop.runs) {
    const names = loop.name.length + (ref?.phase.length ?? 0) + caller.length + traceId.length;
    bytes += 2 * MESSAGE_BYTES + names + note.length + abortReason.length + clockBytes(vectorClock);
  }
  return bytes;
}

export function subStepBytes(step: SubStep): number {
  return MESSAGE_BYTES + step.id.length + step.result.length;
}

export function eventBytes(event: Event): number {
  const names = event.kind.length + event.loop.length + event.phase.length + event.caller.length + event.traceId.length;
  return MESSAGE_BYTES + names + clockBytes(event.vectorClock);
}
