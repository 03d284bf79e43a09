/**
 * Numbers the requests of a session and bounds how many are open, so that the cluster never forgets an answer that
 * is still wanted (Raft thesis, section 6.3; R6).
 * W1  Each sequence is open, abandoned or settled; `ackedThrough` is below every open and abandoned one (but for a
 *     forgotten one that is asked for again).
 * W2  next − ackedThrough ≤ SEQUENCE_SPAN_MAX, which is below what the cluster remembers for a session.
 */
import { assert } from '../types/assert.ts';
import { SESSION_ANSWERS_MAX } from '../types/limits.ts';
import { QuorateError } from './errors.ts';

/** Requests of one session in flight. */
export const REQUESTS_IN_FLIGHT_MAX = 64;
/** Distance between the oldest unsettled sequence and the next one. */
const SEQUENCE_SPAN_MAX = SESSION_ANSWERS_MAX / 2;
/** Callers that wait for a place. */
const WAITING_MAX = 65_536;

assert(REQUESTS_IN_FLIGHT_MAX <= SEQUENCE_SPAN_MAX, 'the window holds what may be in flight');

function tooMany(): QuorateError {
  const message = `more than ${WAITING_MAX} calls wait in one session, which has ${REQUESTS_IN_FLIGHT_MAX} under way at a time; await some before you make more, or spread them over sessions`;
  return new QuorateError({ reason: 'OVERLOADED', message });
}

export class RequestWindow {
  #next = 1;
  #lowest = 1;
  readonly #open = new Set<number>();
  /** Ended without a known outcome; kept unacknowledged so that it can be asked for again, as long as there is room. */
  readonly #abandoned = new Set<number>();
  /** In the order in which they came. */
  readonly #waiting = new Set<{ readonly start: () => void }>();

  /** Everything up to here has been answered. */
  get ackedThrough(): number {
    return this.#lowest - 1;
  }

  get inFlight(): number {
    return this.#open.size;
  }

  /** The next sequence, as soon as there is room. Rejects with the signal's reason. */
  async acquire(signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    if (this.#waiting.size === 0 && this.#hasRoom()) return this.#take();
    if (this.#waiting.size >= WAITING_MAX) throw tooMany();
    return new Promise<number>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(entry);
        reject(signal?.reason);
      };
      const entry = {
        start: (): void => {
          signal?.removeEventListener('abort', onAbort);
          resolve(this.#take());
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(entry);
    });
  }

  /** The answer is known. */
  settle(sequence: number): void {
    assert(this.#open.delete(sequence), `sequence ${sequence} is open`);
    this.#advance();
  }

  /** The outcome is unknown and nobody waits for it just now. */
  abandon(sequence: number): void {
    assert(this.#open.delete(sequence), `sequence ${sequence} is open`);
    if (sequence >= this.#lowest) this.#abandoned.add(sequence);
    this.#advance();
  }

  /** Asks again for an abandoned sequence. One that had to make room is asked for in vain: the cluster says so. */
  reopen(sequence: number): void {
    assert(!this.#open.has(sequence), `sequence ${sequence} is not asked for already`);
    this.#abandoned.delete(sequence);
    this.#open.add(sequence);
  }

  #take(): number {
    const sequence = this.#next++;
    this.#open.add(sequence);
    return sequence;
  }

  #hasRoom(): boolean {
    if (this.#open.size >= REQUESTS_IN_FLIGHT_MAX) return false;
    while (this.#next - this.ackedThrough > SEQUENCE_SPAN_MAX) {
      // Only an abandoned request may be given up for a new one.
      if (!this.#abandoned.delete(this.#lowest)) return false;
      this.#raise();
    }
    return true;
  }

  #raise(): void {
    while (this.#lowest < this.#next && !this.#open.has(this.#lowest) && !this.#abandoned.has(this.#lowest)) {
      this.#lowest += 1;
    }
  }

  #advance(): void {
    this.#raise();
    for (const entry of this.#waiting) {
      if (!this.#hasRoom()) return;
      this.#waiting.delete(entry);
      entry.start();
    }
  }
}
