/**
 * Admission of mutations: a bound on what waits, in count and in bytes, and an honest hint of when to come back (A5).
 * Refusing early and cheaply is what keeps goodput up past saturation.
 */
import { assert } from '../types/assert.ts';

/** A hint below this would only make the client spin. */
const RETRY_AFTER_MIN_MS = 25;
const RETRY_AFTER_MAX_MS = 2_000;
/** Weight of a new sample in the moving average of waiting times. */
const EWMA_WEIGHT = 0.05;

export class Admission {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;
  #waitMs = RETRY_AFTER_MIN_MS;

  constructor(countMax: number, bytesMax: number) {
    assert(countMax > 0, 'at least one proposal may wait');
    assert(bytesMax > 0, 'at least one byte may wait');
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** True: `bytes` are admitted and must be released later. An oversized one is admitted when nothing else waits. */
  tryAdmit(bytes: number): boolean {
    if (this.#count >= this.#countMax) return false;
    if (this.#count > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#count += 1;
    this.#bytes += bytes;
    return true;
  }

  /** Gives the room back; `waitedMs` since admission feeds the retry hint. */
  release(bytes: number, waitedMs: number): void {
    this.#count -= 1;
    this.#bytes -= bytes;
    assert(this.#count >= 0, 'released once for each admission');
    assert(this.#bytes >= 0, 'released the bytes that were admitted');
    this.#waitMs += (waitedMs - this.#waitMs) * EWMA_WEIGHT;
  }

  /** About the time in which the queue of now drains, milliseconds. */
  retryAfterMs(): number {
    return Math.round(Math.min(RETRY_AFTER_MAX_MS, Math.max(RETRY_AFTER_MIN_MS, this.#waitMs)));
  }
}
