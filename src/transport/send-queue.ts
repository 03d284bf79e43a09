/**
 * Envelopes that wait for one peer, bounded in count and in estimated bytes. Two classes: pieces of images are *bulk*, and
 * everything else overtakes them, so that a transfer of gigabytes delays no heartbeat. Within a class: first in, first out.
 */
import { envelopeBytes } from '../codec/envelope-size.ts';
import type { Envelope } from '../node/types.ts';
import { assert } from '../types/assert.ts';

/** Calls of `take` in a row that may pass bulk over: a leader under full load must still bring a follower up to date. */
const BULK_PASSED_MAX = 8;

export class SendQueue {
  readonly #bytesMax: number;
  readonly #messagesMax: number;
  readonly #urgent = new Fifo();
  readonly #bulk = new Fifo();
  #bulkPassed = 0;

  constructor(bytesMax: number, messagesMax: number) {
    this.#bytesMax = bytesMax;
    this.#messagesMax = messagesMax;
  }

  get length(): number {
    return this.#urgent.length + this.#bulk.length;
  }

  get bytes(): number {
    return this.#urgent.bytes + this.#bulk.bytes;
  }

  /**
   * False: the queue is full and the envelope was not taken. An empty queue takes any envelope. Requests of clients, and
   * images, fill at most half of it, so that they do not push out what keeps the members together.
   */
  push(envelope: Envelope): boolean {
    const bytes = envelopeBytes(envelope);
    const bulk = envelope.kind === 'snapshotChunk';
    const share = bulk || envelope.kind === 'forwardRequest' ? 0.5 : 1;
    if (this.length >= this.#messagesMax * share) return false;
    if (this.length > 0 && this.bytes + bytes > this.#bytesMax * share) return false;
    (bulk ? this.#bulk : this.#urgent).push(envelope, bytes);
    return true;
  }

  /** The next envelopes that together stay within `bytesMax`; at least one if there is any. */
  take(bytesMax: number): Envelope[] {
    if (this.#bulk.length > 0 && this.#bulkPassed >= BULK_PASSED_MAX) {
      this.#bulkPassed = 0;
      return this.#bulk.take(0);
    }
    const before = this.#urgent.bytes;
    const taken = this.#urgent.take(bytesMax);
    if (this.#bulk.length === 0) return taken;
    const room = bytesMax - (before - this.#urgent.bytes);
    // One piece fills most of a frame: more would only delay what comes in meanwhile.
    if (taken.length === 0 || this.#bulk.firstBytes <= room) {
      this.#bulkPassed = 0;
      return [...taken, ...this.#bulk.take(0)];
    }
    this.#bulkPassed += 1;
    return taken;
  }

  clear(): void {
    this.#urgent.clear();
    this.#bulk.clear();
    this.#bulkPassed = 0;
  }
}

interface Item {
  readonly envelope: Envelope;
  readonly bytes: number;
}

class Fifo {
  #items: Item[] = [];
  /** Items before this were taken; the array is cut when it pays. */
  #head = 0;
  #bytes = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Of the next item; 0 when there is none. */
  get firstBytes(): number {
    return this.#items[this.#head]?.bytes ?? 0;
  }

  push(envelope: Envelope, bytes: number): void {
    this.#items.push({ envelope, bytes });
    this.#bytes += bytes;
  }

  /** Items that together stay within `bytesMax`; at least one if there is any. */
  take(bytesMax: number): Envelope[] {
    const taken: Envelope[] = [];
    let bytes = 0;
    for (let next = this.#items[this.#head]; next !== undefined; next = this.#items[this.#head]) {
      if (taken.length > 0 && bytes + next.bytes > bytesMax) break;
      bytes += next.bytes;
      taken.push(next.envelope);
      this.#head += 1;
    }
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
