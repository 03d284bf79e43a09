/** Sizes of what travels between members, estimated: exact enough for a bound, cheap enough for every message. */
import type { CommandBody, CommandValue } from '../machine/types.ts';
import type { Envelope } from '../node/types.ts';
import { unreachable } from '../types/assert.ts';

const ENVELOPE_BYTES = 96;
const ENTRY_BYTES = 24;
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
      return FORWARD_BYTES + answerBytes(outcome.result.value);
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

/** Bytes of a forwarded mutation on the wire, roughly. */
export function forwardBytes(body: CommandBody): number {
  return FORWARD_BYTES + requestBytes(body);
}

function requestBytes(body: CommandBody): number {
  const clockBytes = 'vectorClock' in body ? body.vectorClock.length * ENVELOPE_BYTES : 0;
  switch (body.kind) {
    case 'reportProgress': {
      let bytes = body.note.length + (body.checkpoint?.length ?? 0);
      for (const step of body.subSteps) bytes += ENTRY_BYTES + step.id.length + step.result.length;
      return bytes;
    }
    case 'commitPhase':
      return body.result.length + clockBytes;
    case 'registerPlan':
      return body.phases.length * ENVELOPE_BYTES;
    case 'changeMembers':
      // Two addresses, two names and an incarnation.
      return body.changes.length * FORWARD_BYTES;
    default:
      return clockBytes;
  }
}

function answerBytes(value: CommandValue): number {
  const clockBytes = 'vectorClock' in value ? value.vectorClock.length * ENVELOPE_BYTES : 0;
  if (value.kind === 'phaseBegun') return value.checkpoint.length + clockBytes;
  if (value.kind !== 'progressReported') return clockBytes;
  let bytes = 0;
  for (const id of value.subStepsKnown) bytes += ENTRY_BYTES + id.length;
  return bytes;
}
