/** Images on their way between members, and state hashes ⇄ `quorate.internal.v1`. See `envelope.ts` for what is checked. */
import {
  type SnapshotAck as AckMessage,
  type SnapshotChunk as ChunkMessage,
  type SnapshotMark as MarkMessage,
  SnapshotOutcome,
  type StateHash as StateHashMessage,
} from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope, SnapshotAck, SnapshotChunk } from '../node/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import type { StreamId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { configurationFromMessage, configurationToMessage } from './configuration.ts';
import { DecodeFaults, toUint64 } from './number.ts';

const NS = 'quorate.internal.v1';
const STATE_HASH = /^[0-9a-f]{32}$/;

const OUTCOME_TO_MESSAGE: Readonly<Record<SnapshotAck['outcome'], SnapshotOutcome>> = {
  continue: SnapshotOutcome.CONTINUE,
  installed: SnapshotOutcome.INSTALLED,
  refused: SnapshotOutcome.REFUSED,
};

const OUTCOME_FROM_MESSAGE: readonly (SnapshotAck['outcome'] | undefined)[] = ['continue', 'installed', 'refused'];

export function chunkToMessage(chunk: SnapshotChunk): ChunkMessage {
  return {
    $typeName: `${NS}.SnapshotChunk`,
    transferId: toUint64(chunk.transferId),
    term: toUint64(chunk.term),
    mark: markToMessage(chunk.mark),
    sequence: toUint64(chunk.sequence),
    last: chunk.last,
    data: chunk.data,
  };
}

export function chunkFromMessage(stream: StreamId, message: ChunkMessage): Result<Envelope, string> {
  const faults = new DecodeFaults();
  const transferId: number = faults.number('snapshot_chunk.transfer_id', message.transferId);
  const term = faults.number<'Term'>('snapshot_chunk.term', message.term, 1);
  const sequence: number = faults.number('snapshot_chunk.sequence', message.sequence);
  if (message.mark === undefined) return err('snapshot_chunk without a mark');
  const mark = markFromMessage(message.mark, faults);
  if (!mark.ok) return err(`snapshot_chunk.mark: ${mark.error}`);
  // A leader's log holds nothing of a later term than its own (Raft paper, 5.4).
  if (mark.value.term > term) faults.report("snapshot_chunk.mark.term passes the leader's");
  if (faults.first !== null) return err(faults.first);
  const { last, data } = message;
  return ok({ kind: 'snapshotChunk', stream, transferId, term, mark: mark.value, sequence, last, data });
}

export function markToMessage(mark: SnapshotMark): MarkMessage {
  return {
    $typeName: `${NS}.SnapshotMark`,
    index: toUint64(mark.index),
    term: toUint64(mark.term),
    configurationIndex: toUint64(mark.configuration.index),
    configuration: configurationToMessage(mark.configuration.configuration),
  };
}

function markFromMessage(message: MarkMessage, faults: DecodeFaults): Result<SnapshotMark, string> {
  if (message.configuration === undefined) return err('no configuration');
  const configuration = configurationFromMessage(message.configuration);
  if (!configuration.ok) return configuration;
  const index = faults.number<'LogIndex'>('mark.index', message.index, 1);
  const term = faults.number<'Term'>('mark.term', message.term, 1);
  const placedAt = faults.number<'LogIndex'>('mark.configuration_index', message.configurationIndex);
  if (placedAt > index) faults.report('mark.configuration_index comes after the mark');
  return ok({ index, term, configuration: { index: placedAt, configuration: configuration.value } });
}

export function ackToMessage(ack: SnapshotAck): AckMessage {
  return {
    $typeName: `${NS}.SnapshotAck`,
    transferId: toUint64(ack.transferId),
    next: toUint64(ack.next),
    outcome: OUTCOME_TO_MESSAGE[ack.outcome],
  };
}

export function ackFromMessage(stream: StreamId, message: AckMessage): Result<Envelope, string> {
  const faults = new DecodeFaults();
  const transferId: number = faults.number('snapshot_ack.transfer_id', message.transferId);
  const next: number = faults.number('snapshot_ack.next', message.next);
  const outcome = OUTCOME_FROM_MESSAGE[message.outcome];
  if (outcome === undefined) return err(`snapshot_ack.outcome ${message.outcome} is unknown to this release`);
  return faults.first === null ? ok({ kind: 'snapshotAck', stream, transferId, next, outcome }) : err(faults.first);
}

export function stateHashToMessage(envelope: Extract<Envelope, { kind: 'stateHash' }>): StateHashMessage {
  const message: StateHashMessage = { $typeName: `${NS}.StateHash`, index: toUint64(envelope.index) };
  if (envelope.hash !== null) message.hash = envelope.hash;
  return message;
}

export function stateHashFromMessage(stream: StreamId, message: StateHashMessage): Result<Envelope, string> {
  const faults = new DecodeFaults();
  const index = faults.number<'LogIndex'>('state_hash.index', message.index);
  const { hash } = message;
  if (hash !== undefined && !STATE_HASH.test(hash)) faults.report('state_hash.hash is not 32 hex digits');
  return faults.first === null ? ok({ kind: 'stateHash', stream, index, hash: hash ?? null }) : err(faults.first);
}
