/** Copies of envelopes, so that no two members share memory: by hand (fast), or as bytes through the codec. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { fromPeerEnvelope, toPeerEnvelope } from '../../../src/codec/envelope.ts';
import { PeerEnvelopeSchema } from '../../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../../../src/node/types.ts';
import type { Message } from '../../../src/raft/types.ts';

/** Sent as bytes and read back, as between processes. A message that does not survive that is a bug. */
export function reencodeEnvelope(envelope: Envelope): Envelope {
  const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(envelope));
  const decoded = fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytes));
  if (!decoded.ok) throw new Error(`a ${envelope.kind} envelope cannot be decoded: ${decoded.error}`);
  return decoded.value;
}

export function copyEnvelope(envelope: Envelope): Envelope {
  if (envelope.kind !== 'raft') return structuredClone(envelope);
  return { kind: 'raft', stream: envelope.stream, message: copyMessage(envelope.message) };
}

function copyMessage(message: Message): Message {
  switch (message.kind) {
    case 'appendRequest':
      return {
        ...message,
        entries: message.entries.map((entry) => ({ ...entry, payload: entry.payload.slice() })),
      };
    case 'appendResponse':
      return { ...message, outcome: { ...message.outcome } };
    default:
      return { ...message };
  }
}
