/** Envelopes that wait for one peer, bounded in count and in estimated bytes. First in, first out. */
import { envelopeBytes } from '../codec/envelope-size.ts';
import type { Envelope } from '../node/types.ts';
import { assert } from '../types/assert.ts';

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

  /**
   * False: the queue is full and the envelope was not taken. An empty queue takes any envelope. Requests of clients
   * fill at most half of it, so that they do not push out what keeps the members together.
   */
  push(envelope: Envelope): boolean {
    const bytes = envelopeBytes(envelope);
    const share = envelope.kind === 'forwardRequest' ? 0.5 : 1;
    if (this.length >= this.#messagesMax * share) return false;
    if (this.length > 0 && this.#bytes + bytes > this.#bytesMax * share) return false;
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
      const next = envelopeBytes(this.#items[end] as Envelope);
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
