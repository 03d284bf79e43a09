/** Generated messages to plain objects and back. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { GetStatusResponse, IoStatus, Member, TransferProgress } from '../gen/quorate/v1/cluster_pb.ts';
import {
  type VectorClock as ProtoVectorClock,
  ReadConsistency,
  type ResponseHeader,
  VectorClockSchema,
} from '../gen/quorate/v1/common_pb.ts';
import type { BackupInfo } from '../gen/quorate/v1/maintenance_pb.ts';
import type { MemberChangeSchema } from '../gen/quorate/v1/membership_pb.ts';
import * as phase from '../gen/quorate/v1/phase_pb.ts';
import type { Event } from '../gen/quorate/v1/watch_pb.ts';
import { assert, must } from '../types/assert.ts';
import type { ClusterFacts } from './endpoints.ts';
import type * as plain from './types.ts';

export function toNumber(value: bigint): number {
  const number = Number(value);
  assert(Number.isSafeInteger(number), `a member sent ${value}, which is no safe integer`);
  return number;
}

/** Milliseconds since the epoch, or null for 0, "not yet". */
export function toTime(value: bigint): number | null {
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

/** Name of an enum's value; null: not set, or a value of a newer cluster. */
export function toName<Enum extends Readonly<Record<string, number>>>(
  names: Enum,
  value: number,
): Exclude<keyof Enum & string, 'UNSPECIFIED'> | null {
  const found = value === 0 ? undefined : Object.keys(names).find((name) => names[name] === value);
  return (found ?? null) as Exclude<keyof Enum & string, 'UNSPECIFIED'> | null;
}

export function toRef(ref: phase.PhaseRef | undefined): plain.PhaseRef {
  const { loop, g, phase: name } = must(ref, 'a member sent a phase run without its name');
  return { loop, g: toNumber(g), phase: name };
}

/** The two fields of a read. A bound of 0 would mean none, so it is the least that there is: 1 ms. */
export function fromConsistency(options: plain.ReadOptions | undefined): {
  readonly consistency: ReadConsistency;
  readonly maxStalenessMs: bigint;
} {
  const wanted = options?.consistency ?? (options?.stale === true ? 'stale' : 'linearizable');
  if (typeof wanted === 'object') {
    const maxStalenessMs = BigInt(Math.max(1, Math.round(wanted.maxStalenessMs)));
    return { consistency: ReadConsistency.STALE, maxStalenessMs };
  }
  return { consistency: CONSISTENCIES[wanted], maxStalenessMs: 0n };
}

const CONSISTENCIES = {
  linearizable: ReadConsistency.LINEARIZABLE,
  lease: ReadConsistency.LEASE,
  stale: ReadConsistency.STALE,
} as const;

/** Whether any member may answer by itself. */
export function isLocal(options: plain.ReadOptions | undefined): boolean {
  return fromConsistency(options).consistency === ReadConsistency.STALE;
}

export function toAnswer(header: ResponseHeader | undefined): plain.MutationAnswer {
  const { revision, term, replayed } = must(header, 'a member answered without a header');
  return { revision: toNumber(revision), term: toNumber(term), replayed };
}

const PHASE_STATES: Readonly<Record<number, plain.PhaseState>> = {
  [phase.PhaseState.PENDING]: 'PENDING',
  [phase.PhaseState.RUNNING]: 'RUNNING',
  [phase.PhaseState.ABORTED]: 'ABORTED',
  [phase.PhaseState.FAILED_PARTIAL]: 'FAILED_PARTIAL',
  [phase.PhaseState.CLEAN_EXIT]: 'CLEAN_EXIT',
  [phase.PhaseState.HARD_FAILED]: 'HARD_FAILED',
};

const ATTEMPT_STATES: Readonly<Record<number, plain.AttemptState>> = {
  [phase.AttemptState.RUNNING]: 'RUNNING',
  [phase.AttemptState.SUPERSEDED]: 'SUPERSEDED',
  [phase.AttemptState.ABORTED]: 'ABORTED',
  [phase.AttemptState.FAILED_PARTIAL]: 'FAILED_PARTIAL',
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
    members: response.members.map(toMemberInfo),
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
      firstLogIndex: toNumber(stream.firstLogIndex),
      storedIndex: toNumber(stream.storedIndex),
      configurationIndex: toNumber(stream.configurationIndex),
      joint: stream.joint,
      recovering: stream.recovering,
    })),
    fault: toText(response.fault),
    featureLevel: response.featureLevel,
    alarms: response.alarms,
    removed: response.removed,
    waitsToJoin: response.waitsToJoin,
    io: response.io === undefined ? null : toIoStatus(response.io),
  };
}

function toIoStatus(io: IoStatus): plain.IoStatus {
  const { maxIoOverheadRatio, fsyncP50Ms, fsyncP99Ms } = io;
  const bytesProposed = toNumber(io.bytesProposed);
  return {
    bytesProposed,
    bytesWritten: toNumber(io.bytesWritten),
    maxIoOverheadRatio: bytesProposed === 0 ? null : maxIoOverheadRatio,
    fsyncP50Ms,
    fsyncP99Ms,
    fsyncs: toNumber(io.fsyncs),
  };
}

const ROLES: ReadonlySet<string> = new Set(['voter', 'learner', 'outgoing']);
const WISHES: ReadonlySet<string> = new Set(['voter', 'learner', 'removed']);

export function toMemberInfo(member: Member): plain.MemberInfo {
  const { role, wanted, transfer, voter } = member;
  return {
    memberId: member.memberId,
    clientAddress: member.clientAddress,
    peerAddress: member.peerAddress,
    voter,
    leader: member.leader,
    matchIndex: toNumber(member.matchIndex),
    active: member.active,
    // A member of an older release says `voter` only.
    role: ROLES.has(role) ? (role as plain.MemberInfo['role']) : voter ? 'voter' : null,
    wanted: WISHES.has(wanted) ? (wanted as plain.MemberInfo['wanted']) : null,
    replaces: toText(member.replaces),
    lagEntries: toNumber(member.lagEntries),
    featureLevel: member.featureLevel === 0 ? null : member.featureLevel,
    recovering: member.recovering,
    transfer: transfer === undefined ? null : toTransfer(transfer),
  };
}

function toTransfer({ index, chunksAcked, bytesSent, resumed }: TransferProgress): plain.TransferProgress {
  return {
    index: toNumber(index),
    chunksAcked: toNumber(chunksAcked),
    bytesSent: toNumber(bytesSent),
    resumed: toNumber(resumed),
  };
}

export function fromMemberChange(change: plain.MemberChange): MessageInitShape<typeof MemberChangeSchema> {
  if ('remove' in change) return { change: { case: 'remove', value: { memberId: change.remove } } };
  if ('promote' in change) return { change: { case: 'promote', value: { memberId: change.promote } } };
  const { add: memberId, peerAddress, clientAddress, learner = false, replaces = '' } = change;
  return { change: { case: 'add', value: { memberId, peerAddress, clientAddress, learner, replaces } } };
}

export function toBackupInfo(info: BackupInfo): plain.BackupInfo {
  const { clusterId, memberId, featureLevel, version } = info;
  return {
    clusterId,
    memberId,
    index: toNumber(info.index),
    term: toNumber(info.term),
    featureLevel,
    version,
    createdAtMs: toNumber(info.createdAtMs),
    estimatedBytes: info.estimatedBytes === 0n ? null : toNumber(info.estimatedBytes),
  };
}

/** What a member says of the cluster, for the search for a leader. */
export function toFacts(status: plain.MemberStatus): ClusterFacts {
  const { memberId, members, streams, removed } = status;
  return {
    memberId,
    leaderAddress: streams.find((stream) => stream.leaderClientAddress !== null)?.leaderClientAddress ?? null,
    configurationIndex: Math.max(0, ...streams.map((stream) => stream.configurationIndex)),
    members: members
      .filter((member) => member.role !== null)
      .map((member) => ({ memberId: member.memberId, address: member.clientAddress })),
    removed,
  };
}
