/** Sizes of what travels between members, estimated: exact enough for a bound, cheap enough for every message. */
import type { CommandBody } from '../machine/types.ts';
import type { Envelope } from '../node/types.ts';
import { unreachable } from '../types/assert.ts';

const ENVELOPE_BYTES = 96;
const ENTRY_BYTES = 24;
const NUMBER_BYTES = 8;
/** What an image stands for: a few numbers, and each member once or twice. */
const MARK_BYTES = 512;
/** An answer or a request without its text: names, numbers and a few fields. */
const FORWARD_BYTES = 512;

/** Bytes of the envelope on the wire, roughly. */
export function envelopeBytes(envelope: Envelope): number {
  switch (envelope.kind) {
    case 'raft': {
      const { message } = envelope;
      if (message.kind !== 'appendRequest') return ENVELOPE_BYTES;
      let bytes = ENVELOPE_BYTES;
      for (const entry of message.entries) bytes += ENTRY_BYTES + entry.payload.length;
      return bytes;
    }
    case 'forwardRequest':
      return forwardBytes(envelope.request.body);
    case 'forwardResponse': {
      const { outcome } = envelope;
      if (outcome.kind !== 'applied' || !outcome.result.ok) return FORWARD_BYTES;
      return FORWARD_BYTES + fieldBytes(outcome.result.value);
    }
    case 'snapshotChunk':
      return ENVELOPE_BYTES + MARK_BYTES + envelope.data.length;
    case 'snapshotAck':
    case 'stateHash':
      return ENVELOPE_BYTES;
    case 'ackTimes':
      return ENVELOPE_BYTES + envelope.samplesMs.length * 8;
    default:
      return unreachable(envelope, 'envelope');
  }
}

/** Bytes of a forwarded mutation on the wire, roughly: text counts by its UTF-16 length. */
export function forwardBytes(body: CommandBody): number {
  return FORWARD_BYTES + fieldBytes(body);
}

/** Of every kind, so that none is forgotten: documents, results and clocks may be large. */
function fieldBytes(value: unknown): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return NUMBER_BYTES;
  let bytes = ENTRY_BYTES;
  for (const field of Object.values(value)) bytes += fieldBytes(field);
  return bytes;
}
