/** Generated messages to plain objects and back. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { GetStatusResponse } from '../gen/quorate/v1/cluster_pb.ts';
import {
  type VectorClock as ProtoVectorClock,
  ReadConsistency,
  type ResponseHeader,
  VectorClockSchema,
} from '../gen/quorate/v1/common_pb.ts';
import * as phase from '../gen/quorate/v1/phase_pb.ts';
import type { Event } from '../gen/quorate/v1/watch_pb.ts';
import { assert, must } from '../types/assert.ts';
import type * as plain from './types.ts';

export function toNumber(value: bigint): number {
  const number = Number(value);
  assert(Number.isSafeInteger(number), `a member sent ${value}, which is no safe integer`);
  return number;
}

/** Milliseconds since the epoch, or null for 0, "not yet". */
function toTime(value: bigint): number | null {
  return value === 0n ? null : toNumber(value);
}

function toText(value: string): string | null {
  return value === '' ? null : value;
}

export function toVectorClock(clock: ProtoVectorClock | undefined): plain.VectorClock {
  return Object.fromEntries((clock?.entries ?? []).map(({ node, counter }) => [node, toNumber(counter)]));
}

export function fromVectorClock(clock: plain.VectorClock = {}): ProtoVectorClock {
  const entries = Object.entries(clock)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, counter]) => ({ node, counter: BigInt(counter) }));
  return create(VectorClockSchema, { entries });
}

export function fromRef(ref: plain.PhaseRef): MessageInitShape<typeof phase.PhaseRefSchema> {
  return { loop: ref.loop, g: BigInt(ref.g), phase: ref.phase };
}

function toRef(ref: phase.PhaseRef | undefined): plain.PhaseRef {
  const { loop, g, phase: name } = must(ref, 'a member sent a phase run without its name');
  return { loop, g: toNumber(g), phase: name };
}

export function fromConsistency(options: plain.ReadOptions | undefined): ReadConsistency {
  return options?.stale === true ? ReadConsistency.STALE : ReadConsistency.LINEARIZABLE;
}

export function toAnswer(header: ResponseHeader | undefined): plain.MutationAnswer {
  const { revision, term, replayed } = must(header, 'a member answered without a header');
  return { revision: toNumber(revision), term: toNumber(term), replayed };
}

const PHASE_STATES: Readonly<Record<number, plain.PhaseState>> = {
  [phase.PhaseState.PENDING]: 'PENDING',
  [phase.PhaseState.RUNNING]: 'RUNNING',
  [phase.PhaseState.ABORTED]: 'ABORTED',
  [phase.PhaseState.CLEAN_EXIT]: 'CLEAN_EXIT',
  [phase.PhaseState.HARD_FAILED]: 'HARD_FAILED',
};

const ATTEMPT_STATES: Readonly<Record<number, plain.AttemptState>> = {
  [phase.AttemptState.RUNNING]: 'RUNNING',
  [phase.AttemptState.SUPERSEDED]: 'SUPERSEDED',
  [phase.AttemptState.ABORTED]: 'ABORTED',
  [phase.AttemptState.CLEAN_EXIT]: 'CLEAN_EXIT',
  [phase.AttemptState.HARD_FAILED]: 'HARD_FAILED',
};

export function toPhaseRun(run: phase.PhaseRun): plain.PhaseRun {
  return {
    ref: toRef(run.ref),
    state: PHASE_STATES[run.state] ?? 'UNKNOWN',
    attempt: toNumber(run.attempt),
    caller: run.caller,
    traceId: run.traceId,
    completed: toNumber(run.completed),
    total: toNumber(run.total),
    note: run.note,
    checkpoint: run.checkpoint,
    subStepsDone: toNumber(run.subStepsDone),
    result: run.result,
    abortReason: run.abortReason,
    startedAtMs: toTime(run.startedAtMs),
    progressAtMs: toTime(run.progressAtMs),
    finishedAtMs: toTime(run.finishedAtMs),
    changedRevision: toNumber(run.changedRevision),
    vectorClock: toVectorClock(run.vectorClock),
  };
}

export function toAttempt(attempt: phase.Attempt): plain.Attempt {
  return {
    attempt: toNumber(attempt.attempt),
    state: ATTEMPT_STATES[attempt.state] ?? 'UNKNOWN',
    caller: attempt.caller,
    traceId: attempt.traceId,
    startedAtMs: toTime(attempt.startedAtMs),
    finishedAtMs: toTime(attempt.finishedAtMs),
  };
}

export function toLoop(loop: phase.Loop): plain.Loop {
  return {
    name: loop.name,
    plan: loop.plan,
    g: toNumber(loop.g),
    runs: loop.runs.map(toPhaseRun),
    createdRevision: toNumber(loop.createdRevision),
    changedRevision: toNumber(loop.changedRevision),
    createdAtMs: toNumber(loop.createdAtMs),
    vectorClock: toVectorClock(loop.vectorClock),
  };
}

export function toPlan(plan: phase.Plan): plain.Plan {
  const phases = plan.phases.map(({ name, priorMs, slaMs }) => ({
    name,
    priorMs: toNumber(priorMs),
    slaMs: toNumber(slaMs),
  }));
  return { name: plan.name, phases };
}

export function toSubStep(step: phase.SubStep): plain.SubStep {
  return {
    id: step.id,
    result: step.result,
    attempt: toNumber(step.attempt),
    recordedRevision: toNumber(step.recordedRevision),
  };
}

export function toWatchEvent(event: Event): plain.WatchEvent {
  return {
    revision: toNumber(event.revision),
    ordinal: event.ordinal,
    timeMs: toNumber(event.timeMs),
    kind: event.kind,
    loop: event.loop,
    g: toNumber(event.g),
    phase: event.phase,
    attempt: toNumber(event.attempt),
    caller: event.caller,
    traceId: event.traceId,
    outcome: event.outcome,
    vectorClock: toVectorClock(event.vectorClock),
  };
}

export function toMemberStatus(response: GetStatusResponse): plain.MemberStatus {
  return {
    clusterId: response.clusterId,
    memberId: response.memberId,
    version: response.version,
    members: response.members.map((member) => ({
      memberId: member.memberId,
      clientAddress: member.clientAddress,
      peerAddress: member.peerAddress,
      voter: member.voter,
      leader: member.leader,
      matchIndex: toNumber(member.matchIndex),
      active: member.active,
    })),
    streams: response.streams.map((stream) => ({
      streamId: stream.streamId,
      role: stream.role,
      term: toNumber(stream.term),
      leaderId: toText(stream.leaderId),
      leaderClientAddress: toText(stream.leaderClientAddress),
      lastIndex: toNumber(stream.lastIndex),
      durableIndex: toNumber(stream.durableIndex),
      commitIndex: toNumber(stream.commitIndex),
      appliedIndex: toNumber(stream.appliedIndex),
      stateHash: stream.stateHash,
      sessions: toNumber(stream.sessions),
      waitingProposals: toNumber(stream.waitingProposals),
      watches: toNumber(stream.watches),
      firstEventRevision: toNumber(stream.firstEventRevision),
    })),
    fault: toText(response.fault),
  };
}
