/**
 * What travels between members ⇄ `quorate.internal.v1.PeerEnvelope`. Entry payloads and pieces of
 * images are never copied here: an encoded
 * message refers to the core's bytes, a decoded one to the bytes of the frame it came in.
 *
 * Peers are checked too: an envelope that no correct member sends is refused whole, before the core can see it.
 */
import type { ForwardRequest, ForwardResponse, PeerEnvelope, RaftMessage } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope, MutationOutcome } from '../node/types.ts';
import { assert, unreachable } from '../types/assert.ts';
import type { ClusterTimeMs, MemberId, StreamId } from '../types/ids.ts';
import { isName } from '../types/ids.ts';
import { CLIENT_KEY_LENGTH_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { ackTimesFromMessage, ackTimesToMessage } from './ack-times.ts';
import { commandFromMessage, commandToMessage } from './command.ts';
import { decodeCommandResult, encodeCommandResult } from './command-result.ts';
import { DecodeFaults, toUint64 } from './number.ts';
import { raftFromMessage, raftToMessage } from './raft-message.ts';
import {
  ackFromMessage,
  ackToMessage,
  chunkFromMessage,
  chunkToMessage,
  stateHashFromMessage,
  stateHashToMessage,
} from './snapshot.ts';

const NS = 'quorate.internal.v1';

export function toPeerEnvelope(envelope: Envelope): PeerEnvelope {
  return { $typeName: `${NS}.PeerEnvelope`, streamId: envelope.stream, body: bodyToMessage(envelope) };
}

/** The error names the first field that is wrong. */
export function fromPeerEnvelope(message: PeerEnvelope): Result<Envelope, string> {
  const stream = message.streamId as StreamId;
  const { body } = message;
  switch (body.case) {
    case 'raft':
      return raftEnvelope(stream, body.value);
    case 'forwardRequest':
      return forwardRequestFrom(stream, body.value);
    case 'forwardResponse':
      return forwardResponseFrom(stream, body.value);
    case 'snapshotChunk':
      return chunkFromMessage(stream, body.value);
    case 'snapshotAck':
      return ackFromMessage(stream, body.value);
    case 'stateHash':
      return stateHashFromMessage(stream, body.value);
    case 'ackTimes':
      return ackTimesFromMessage(stream, body.value);
    case undefined:
      return err('envelope without a body that this release knows');
    default:
      return unreachable(body, 'envelope body');
  }
}

function bodyToMessage(envelope: Envelope): PeerEnvelope['body'] {
  switch (envelope.kind) {
    case 'raft':
      return { case: 'raft', value: raftToMessage(envelope.message) };
    case 'forwardRequest':
      return {
        case: 'forwardRequest',
        value: {
          $typeName: `${NS}.ForwardRequest`,
          requestId: toUint64(envelope.requestId),
          deadlineMs: toUint64(Math.max(0, Math.ceil(envelope.deadlineMs))),
          // The leader stamps the time; 0 stands for "not yet".
          command: commandToMessage({ timeMs: 0 as ClusterTimeMs, ...envelope.request }),
          client: envelope.request.client ?? '',
        },
      };
    case 'forwardResponse':
      return {
        case: 'forwardResponse',
        value: {
          $typeName: `${NS}.ForwardResponse`,
          requestId: toUint64(envelope.requestId),
          outcome: outcomeToMessage(envelope.outcome),
        },
      };
    case 'snapshotChunk':
      return { case: 'snapshotChunk', value: chunkToMessage(envelope) };
    case 'snapshotAck':
      return { case: 'snapshotAck', value: ackToMessage(envelope) };
    case 'stateHash':
      return { case: 'stateHash', value: stateHashToMessage(envelope) };
    case 'ackTimes':
      return { case: 'ackTimes', value: ackTimesToMessage(envelope) };
    default:
      return unreachable(envelope, 'envelope');
  }
}

function raftEnvelope(stream: StreamId, value: RaftMessage): Result<Envelope, string> {
  const message = raftFromMessage(value);
  return message.ok ? ok({ kind: 'raft', stream, message: message.value }) : message;
}

// ---------------------------------------------------------------------------------------------- forwarding

function forwardRequestFrom(stream: StreamId, message: ForwardRequest): Result<Envelope, string> {
  if (message.command === undefined) return err('forward_request without a command');
  const command = commandFromMessage(message.command);
  if (!command.ok) return err(`forward_request.command: ${command.error}`);
  const faults = new DecodeFaults();
  if (message.client.length > CLIENT_KEY_LENGTH_MAX) return err('forward_request.client is too long');
  const { session, caller, traceId, body } = command.value;
  const envelope: Envelope = {
    kind: 'forwardRequest',
    stream,
    requestId: faults.number('forward_request.request_id', message.requestId),
    deadlineMs: faults.number('forward_request.deadline_ms', message.deadlineMs),
    request: { session, caller, traceId, body, ...(message.client === '' ? {} : { client: message.client }) },
  };
  return faults.first === null ? ok(envelope) : err(faults.first);
}

function forwardResponseFrom(stream: StreamId, message: ForwardResponse): Result<Envelope, string> {
  const faults = new DecodeFaults();
  const requestId: number = faults.number('forward_response.request_id', message.requestId);
  const outcome = outcomeFromMessage(message.outcome, faults);
  if (faults.first !== null) return err(faults.first);
  assert(outcome !== null, 'an outcome without faults was decoded');
  return ok({ kind: 'forwardResponse', stream, requestId, outcome });
}

type OutcomeMessage = ForwardResponse['outcome'];
type Refusal = Extract<MutationOutcome, { kind: 'refused' }>;

/**
 * On the wire; NO_SPACE came later and travels as OVERLOADED with a mark, so that older members take it (R9). PARTITION_ERROR does
 * not travel: it is of the member that a client asked, and whoever passes a request on is told NO_QUORUM. FEATURE_LEVEL_TOO_LOW came
 * later, too; it answers commands that older members do not pass on.
 */
const REFUSAL_REASONS: Readonly<Record<Exclude<Refusal['reason'], 'NO_SPACE' | 'PARTITION_ERROR'>, true>> = {
  NOT_LEADER: true,
  OVERLOADED: true,
  NO_QUORUM: true,
  SHUTTING_DOWN: true,
  TOO_LARGE: true,
  FEATURE_LEVEL_TOO_LOW: true,
};

const WIRE_REASONS: Partial<Readonly<Record<Refusal['reason'], string>>> = {
  NO_SPACE: 'OVERLOADED',
  PARTITION_ERROR: 'NO_QUORUM',
};

function outcomeToMessage(outcome: MutationOutcome): OutcomeMessage {
  switch (outcome.kind) {
    case 'applied':
      return {
        case: 'applied',
        value: {
          $typeName: `${NS}.ForwardApplied`,
          index: toUint64(outcome.index),
          term: toUint64(outcome.term),
          replayed: outcome.replayed,
          result: encodeCommandResult(outcome.result),
        },
      };
    case 'refused':
      return {
        case: 'refused',
        value: {
          $typeName: `${NS}.ForwardRefused`,
          reason: WIRE_REASONS[outcome.reason] ?? outcome.reason,
          noSpace: outcome.reason === 'NO_SPACE',
          leader: outcome.leader ?? '',
          message: outcome.message,
          ...(outcome.retryAfterMs === null ? {} : { retryAfterMs: toUint64(Math.ceil(outcome.retryAfterMs)) }),
        },
      };
    case 'indeterminate':
      return {
        case: 'indeterminate',
        value: { $typeName: `${NS}.ForwardIndeterminate`, message: outcome.message },
      };
    default:
      return unreachable(outcome, 'mutation outcome');
  }
}

/** null only together with a fault. */
function outcomeFromMessage(outcome: OutcomeMessage, faults: DecodeFaults): MutationOutcome | null {
  switch (outcome.case) {
    case 'applied': {
      const result = decodeCommandResult(outcome.value.result);
      if (!result.ok) {
        faults.report(`forward_response.applied.${result.error}`);
        return null;
      }
      return {
        kind: 'applied',
        index: faults.number<'LogIndex'>('forward_response.applied.index', outcome.value.index, 1),
        term: faults.number<'Term'>('forward_response.applied.term', outcome.value.term, 1),
        replayed: outcome.value.replayed,
        result: result.value,
      };
    }
    case 'refused': {
      const { reason, noSpace, leader, retryAfterMs, message } = outcome.value;
      if (!Object.hasOwn(REFUSAL_REASONS, reason)) faults.report('forward_response.refused.reason is unknown');
      if (leader !== '' && !isName(leader)) faults.report('forward_response.refused.leader is no member id');
      return {
        kind: 'refused',
        reason: noSpace ? 'NO_SPACE' : (reason as Refusal['reason']),
        leader: leader === '' ? null : (leader as MemberId),
        retryAfterMs:
          retryAfterMs === undefined ? null : faults.number('forward_response.refused.retry_after_ms', retryAfterMs),
        message,
      };
    }
    case 'indeterminate':
      return { kind: 'indeterminate', message: outcome.value.message };
    case undefined:
      faults.report('forward_response without an outcome that this release knows');
      return null;
    default:
      return unreachable(outcome, 'forward outcome');
  }
}
