/**
 * Commands as they stand in the log and travel between members: `quorate.internal.v1.Command`, version 1.
 *
 * Messages are built as plain literals: they have no field with a default of its own, so `create()` would only copy.
 * Fields are only ever added (R9); a command that an older member would misread gets a new version instead.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type {
  AbortPhase,
  BeginPhase,
  ClockEntry,
  Command as CommandMessage,
  CommitPhase,
  MemberChange as MemberChangeMessage,
  ReportProgress,
} from '../gen/quorate/internal/v1/log_pb.ts';
import { CommandSchema } from '../gen/quorate/internal/v1/log_pb.ts';
import type { Command, CommandBody, MemberChange, PhaseRef, SessionRef, VectorClock } from '../machine/types.ts';
import { assert, unreachable } from '../types/assert.ts';
import { type ClusterTimeMs, type FencingToken, isName, type MemberId, type SessionId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { clockFrom, domainFromMessage, domainToMessage, isDomainCase, isDomainCommand } from './domain.ts';
import { DecodeFaults, toUint64 } from './number.ts';

/** Version of the command format that this release writes, and the highest that it reads. */
export const COMMAND_VERSION = 1;

type MessageBody = CommandMessage['body'];

const NS = 'quorate.internal.v1';

/** The command as bytes of a log entry. */
export function encodeCommand(command: Command): Uint8Array {
  return toBinary(CommandSchema, commandToMessage(command));
}

/** Reads what {@link encodeCommand} wrote. The error says what is wrong with the bytes. */
export function decodeCommand(bytes: Uint8Array): Result<Command, string> {
  let message: CommandMessage;
  try {
    message = fromBinary(CommandSchema, bytes);
  } catch (cause) {
    return err(`not a command: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  return commandFromMessage(message);
}

export function commandToMessage(command: Command): CommandMessage {
  const { session } = command;
  return {
    $typeName: `${NS}.Command`,
    version: COMMAND_VERSION,
    timeMs: toUint64(command.timeMs),
    sessionId: session === null ? 0n : toUint64(session.id),
    sequence: session === null ? 0n : toUint64(session.sequence),
    ackedThrough: session === null ? 0n : toUint64(session.ackedThrough),
    caller: command.caller,
    traceId: command.traceId,
    body: bodyToMessage(command.body),
  };
}

export function commandFromMessage(message: CommandMessage): Result<Command, string> {
  if (message.version !== COMMAND_VERSION) {
    return err(
      `command version ${message.version} is unknown (this release reads ${COMMAND_VERSION}): upgrade this member`,
    );
  }
  const faults = new DecodeFaults();
  const body = bodyFromMessage(message.body, faults);
  if (body === null) return err('command without a body that this release knows: upgrade this member');
  const command: Command = {
    timeMs: faults.number<'ClusterTimeMs'>('time_ms', message.timeMs) satisfies ClusterTimeMs,
    session: sessionFromMessage(message, faults),
    caller: message.caller,
    traceId: message.traceId,
    body,
  };
  return faults.first === null ? ok(command) : err(faults.first);
}

function sessionFromMessage(message: CommandMessage, faults: DecodeFaults): SessionRef | null {
  if (message.sessionId === 0n) {
    if (message.sequence !== 0n || message.ackedThrough !== 0n) faults.report('sequence without session_id');
    return null;
  }
  const id: SessionId = faults.number<'SessionId'>('session_id', message.sessionId);
  const sequence: number = faults.number('sequence', message.sequence);
  const ackedThrough: number = faults.number('acked_through', message.ackedThrough);
  return { id, sequence, ackedThrough };
}

// ---------------------------------------------------------------------------------------------- bodies

function bodyToMessage(body: CommandBody): MessageBody {
  switch (body.kind) {
    case 'advanceTime':
      return { case: 'advanceTime', value: { $typeName: `${NS}.AdvanceTime` } };
    case 'openSession':
      return { case: 'openSession', value: { $typeName: `${NS}.OpenSession`, ttlMs: toUint64(body.ttlMs) } };
    case 'keepAliveSession':
      return { case: 'keepAliveSession', value: { $typeName: `${NS}.KeepAliveSession` } };
    case 'closeSession':
      return { case: 'closeSession', value: { $typeName: `${NS}.CloseSession` } };
    case 'registerPlan':
      return { case: 'registerPlan', value: planToMessage(body) };
    case 'createLoop':
      return { case: 'createLoop', value: { $typeName: `${NS}.CreateLoop`, loop: body.loop, plan: body.plan } };
    case 'beginPhase':
      return { case: 'beginPhase', value: beginToMessage(body) };
    case 'reportProgress':
      return { case: 'reportProgress', value: progressToMessage(body) };
    case 'commitPhase':
      return { case: 'commitPhase', value: commitToMessage(body) };
    case 'abortPhase':
      return { case: 'abortPhase', value: abortToMessage(body) };
    case 'changeMembers': {
      const changes = body.changes.map(changeToMessage);
      return { case: 'changeMembers', value: { $typeName: `${NS}.ChangeMembers`, changes } };
    }
    case 'setFeatureLevel': {
      const { level, pinned } = body;
      return { case: 'setFeatureLevel', value: { $typeName: `${NS}.SetFeatureLevel`, level, pinned } };
    }
    default:
      assert(isDomainCommand(body), 'command body');
      return domainToMessage(body);
  }
}

/** null: no body that this release knows. */
function bodyFromMessage(body: MessageBody, faults: DecodeFaults): CommandBody | null {
  switch (body.case) {
    case 'advanceTime':
    case 'keepAliveSession':
    case 'closeSession':
      return { kind: body.case };
    case 'openSession':
      return { kind: 'openSession', ttlMs: faults.number('ttl_ms', body.value.ttlMs) };
    case 'registerPlan':
      return {
        kind: 'registerPlan',
        plan: body.value.plan,
        phases: body.value.phases.map((phase) => ({
          name: phase.name,
          priorMs: faults.number('prior_ms', phase.priorMs),
          slaMs: faults.number('sla_ms', phase.slaMs),
        })),
      };
    case 'createLoop':
      return { kind: 'createLoop', loop: body.value.loop, plan: body.value.plan };
    case 'beginPhase':
      return {
        kind: 'beginPhase',
        ref: refFrom(body.value, faults),
        supersedeAttempt: faults.number('supersede_attempt', body.value.supersedeAttempt),
        vectorClock: clockFromMessage(body.value.vectorClock, faults),
        ...(body.value.participants.length === 0 ? {} : { participants: body.value.participants }),
      };
    case 'reportProgress':
      return progressFromMessage(body.value, faults);
    case 'commitPhase':
      return {
        kind: 'commitPhase',
        ref: refFrom(body.value, faults),
        token: tokenFrom(body.value, faults),
        result: body.value.result,
        vectorClock: clockFromMessage(body.value.vectorClock, faults),
      };
    case 'abortPhase':
      return {
        kind: 'abortPhase',
        ref: refFrom(body.value, faults),
        token: tokenFrom(body.value, faults),
        reason: body.value.reason,
        hardFail: body.value.hardFail,
        vectorClock: clockFromMessage(body.value.vectorClock, faults),
      };
    case 'changeMembers':
      return changesFromMessage(body.value.changes, faults);
    case 'setFeatureLevel':
      return { kind: 'setFeatureLevel', level: body.value.level, pinned: body.value.pinned };
    case undefined:
      return null;
    default:
      assert(isDomainCase(body), 'command message body');
      return domainFromMessage(body, faults);
  }
}

type BodyOf<Kind extends CommandBody['kind']> = Extract<CommandBody, { kind: Kind }>;
type MessageOf<Case extends Exclude<MessageBody['case'], undefined>> = Extract<MessageBody, { case: Case }>['value'];

function planToMessage(body: BodyOf<'registerPlan'>): MessageOf<'registerPlan'> {
  return {
    $typeName: `${NS}.RegisterPlan`,
    plan: body.plan,
    phases: body.phases.map((phase) => ({
      $typeName: `${NS}.PlanPhase`,
      name: phase.name,
      priorMs: toUint64(phase.priorMs),
      slaMs: toUint64(phase.slaMs),
    })),
  };
}

function beginToMessage(body: BodyOf<'beginPhase'>): BeginPhase {
  return {
    $typeName: `${NS}.BeginPhase`,
    loop: body.ref.loop,
    g: toUint64(body.ref.g),
    phase: body.ref.phase,
    supersedeAttempt: toUint64(body.supersedeAttempt),
    vectorClock: clockToMessage(body.vectorClock),
    participants: [...(body.participants ?? [])],
  };
}

function progressToMessage(body: BodyOf<'reportProgress'>): ReportProgress {
  const message: ReportProgress = {
    $typeName: `${NS}.ReportProgress`,
    loop: body.ref.loop,
    g: toUint64(body.ref.g),
    phase: body.ref.phase,
    token: toUint64(body.token),
    completed: toUint64(body.completed),
    total: toUint64(body.total),
    note: body.note,
    subSteps: body.subSteps.map((step) => ({ $typeName: `${NS}.SubStep`, id: step.id, result: step.result })),
    vectorClock: clockToMessage(body.vectorClock ?? []),
    participant: body.participant ?? '',
  };
  if (body.checkpoint !== null) message.checkpoint = body.checkpoint;
  if (body.checkpointCrc !== undefined) message.checkpointCrc = body.checkpointCrc;
  return message;
}

function progressFromMessage(message: ReportProgress, faults: DecodeFaults): BodyOf<'reportProgress'> {
  return {
    kind: 'reportProgress',
    ref: refFrom(message, faults),
    token: tokenFrom(message, faults),
    completed: faults.number('completed', message.completed),
    total: faults.number('total', message.total),
    note: message.note,
    subSteps: message.subSteps.map((step) => ({ id: step.id, result: step.result })),
    checkpoint: message.checkpoint ?? null,
    ...(message.checkpointCrc === undefined ? {} : { checkpointCrc: message.checkpointCrc }),
    ...(message.vectorClock.length === 0 ? {} : { vectorClock: clockFromMessage(message.vectorClock, faults) }),
    ...(message.participant === '' ? {} : { participant: message.participant }),
  };
}

function commitToMessage(body: BodyOf<'commitPhase'>): CommitPhase {
  return {
    $typeName: `${NS}.CommitPhase`,
    loop: body.ref.loop,
    g: toUint64(body.ref.g),
    phase: body.ref.phase,
    token: toUint64(body.token),
    result: body.result,
    vectorClock: clockToMessage(body.vectorClock),
  };
}

function abortToMessage(body: BodyOf<'abortPhase'>): AbortPhase {
  return {
    $typeName: `${NS}.AbortPhase`,
    loop: body.ref.loop,
    g: toUint64(body.ref.g),
    phase: body.ref.phase,
    token: toUint64(body.token),
    reason: body.reason,
    hardFail: body.hardFail,
    vectorClock: clockToMessage(body.vectorClock),
  };
}

function changeToMessage(change: MemberChange): MemberChangeMessage {
  const { member } = change;
  const $typeName = `${NS}.MemberChange` as const;
  switch (change.kind) {
    case 'add': {
      const { peerAddress, clientAddress, incarnation, role, replaces } = change;
      const where = { member, peerAddress, clientAddress, incarnation };
      const value = { $typeName: `${NS}.AddMember`, ...where, voter: role === 'voter', replaces } as const;
      return { $typeName, change: { case: 'add', value } };
    }
    case 'promote':
    case 'remove':
      return { $typeName, change: { case: change.kind, value: member } };
    default:
      return unreachable(change, 'member change');
  }
}

/** null: a change of a kind that this release does not know; leaving it out would split the replicas. */
function changesFromMessage(
  messages: readonly MemberChangeMessage[],
  faults: DecodeFaults,
): BodyOf<'changeMembers'> | null {
  const changes: MemberChange[] = [];
  for (const { change } of messages) {
    if (change.case === undefined) return null;
    if (change.case === 'add') {
      const { member, peerAddress, clientAddress, incarnation, voter, replaces } = change.value;
      changes.push({
        kind: 'add',
        member: memberFrom(member, faults),
        peerAddress,
        clientAddress,
        incarnation,
        role: voter ? 'voter' : 'learner',
        replaces: replaces === '' ? '' : memberFrom(replaces, faults),
      });
    } else {
      changes.push({ kind: change.case, member: memberFrom(change.value, faults) });
    }
  }
  return { kind: 'changeMembers', changes };
}

// ---------------------------------------------------------------------------------------------- shared parts

function memberFrom(member: string, faults: DecodeFaults): MemberId {
  if (!isName(member)) faults.report('member is no member id');
  return member as MemberId;
}

function refFrom(message: { loop: string; g: bigint; phase: string }, faults: DecodeFaults): PhaseRef {
  return { loop: message.loop, g: faults.number('g', message.g), phase: message.phase };
}

function tokenFrom(message: { token: bigint }, faults: DecodeFaults): FencingToken {
  return faults.number<'FencingToken'>('token', message.token);
}

function clockToMessage(clock: VectorClock): ClockEntry[] {
  return clock.map(([node, counter]) => ({ $typeName: `${NS}.ClockEntry`, node, counter: toUint64(counter) }));
}

function clockFromMessage(entries: readonly ClockEntry[], faults: DecodeFaults): VectorClock {
  return clockFrom(entries, faults);
}
