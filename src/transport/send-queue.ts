/** Envelopes that wait for one peer, bounded in count and in estimated bytes. First in, first out. */
import type { CommandBody, CommandValue } from '../machine/types.ts';
import type { Envelope } from '../node/types.ts';
import { assert, unreachable } from '../types/assert.ts';

const ENVELOPE_BYTES = 96;
const ENTRY_BYTES = 24;
/** An answer or a request without its text: names, numbers and a few fields. */
const FORWARD_BYTES = 512;

export class SendQueue {
  readonly #bytesMax: number;
  readonly #messagesMax: number;
  #items: Envelope[] = [];
  /** Items before this were taken; the array is cut when it pays. */
  #head = 0;
  #bytes = 0;

  constructor(bytesMax: number, messagesMax: number) {
    this.#bytesMax = bytesMax;
    this.#messagesMax = messagesMax;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False: the queue is full and the envelope was not taken. An empty queue takes any envelope. */
  push(envelope: Envelope): boolean {
    const bytes = estimateBytes(envelope);
    if (this.length >= this.#messagesMax) return false;
    if (this.length > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#items.push(envelope);
    this.#bytes += bytes;
    return true;
  }

  /** The next envelopes that together stay within `bytesMax`; at least one if there is any. */
  take(bytesMax: number): Envelope[] {
    const from = this.#head;
    let bytes = 0;
    let end = from;
    for (; end < this.#items.length; end += 1) {
      const next = estimateBytes(this.#items[end] as Envelope);
      if (end > from && bytes + next > bytesMax) break;
      bytes += next;
    }
    const taken = this.#items.slice(from, end);
    this.#head = end;
    this.#bytes -= bytes;
    assert(this.#bytes >= 0, 'queued bytes never fall below zero');
    // Cut only when at least half is gone: each item moves once on average.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}

/** Roughly the encoded size: exact enough for a bound, cheap enough for every message. */
export function estimateBytes(envelope: Envelope): number {
  switch (envelope.kind) {
    case 'raft': {
      const { message } = envelope;
      if (message.kind !== 'appendRequest') return ENVELOPE_BYTES;
      let bytes = ENVELOPE_BYTES;
      for (const entry of message.entries) bytes += ENTRY_BYTES + entry.payload.length;
      return bytes;
    }
    case 'forwardRequest':
      return FORWARD_BYTES + requestBytes(envelope.request.body);
    case 'forwardResponse': {
      const { outcome } = envelope;
      if (outcome.kind !== 'applied' || !outcome.result.ok) return FORWARD_BYTES;
      return FORWARD_BYTES + answerBytes(outcome.result.value);
    }
    default:
      return unreachable(envelope, 'envelope');
  }
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
