/**
 * Admission of mutations (A5): bounds on what waits, shares that no client can take from another, and an honest hint of when to come back.
 * Refusing early and cheaply is what keeps goodput up past saturation. What members say to each other does not come here, but for the
 * mutations that they pass on, which count to the clients that asked.
 *
 * AD1 What waits is bounded, in count and in bytes.
 * AD2 Where it waits for longer than DELAY_TARGET_MS, less is let in, and only for as long as that makes the wait shorter: a slow disk is no
 *     queue, and a smaller batch would not make it faster. (The least wait of an interval counts, as in CoDel, RFC 8289, 4.2, of what was
 *     carried out: what was given up says how long somebody was ready to wait.)
 * AD3 Close to the bounds nobody gets more than a share: the bounds by the number of clients that have something waiting, each in count and in
 *     bytes. A part of the bounds is a reserve for those that have little, the end of that is for those that have nothing, and the
 *     end of that for what is urgent: who sends without end takes nothing from those that send little.
 */
import { assert } from '../types/assert.ts';

/** A hint below this would only make the client spin. */
const RETRY_AFTER_MIN_MS = 25;
const RETRY_AFTER_MAX_MS = 2_000;
/** Weight of a new sample in the moving average of waiting times. */
const EWMA_WEIGHT = 0.05;
/** The same for how many are refused, of those that ask. */
const REFUSED_WEIGHT = 0.005;
const REFUSED_MAX = 0.9;

/** A standing wait above this is a queue, milliseconds. */
export const DELAY_TARGET_MS = 500;
/** Waits are judged over so long at least, milliseconds, and over twice what is waited. */
const INTERVAL_MS = 250;
const INTERVAL_MAX_MS = 5_000;
/** Fewer answers in an interval say nothing. */
const ANSWERS_MIN = 16;
const SHRINK = 0.75;
const GROW = 1.1;
/** Where the wait is far below the target. */
const GROW_FAST = 2;
/** A smaller limit was of no use: it is not tried again for so long, milliseconds, and for longer each time. */
const HOLD_MS = 500;
const HOLD_GROWS = 4;
const HOLD_MAX_MS = 10_000;
/** With less waiting, the log has nothing to batch. */
const LIMIT_MIN = 64;
/** Part of the bounds that is the reserve. What is refused for its sake costs goodput where clients come back soon. */
const RESERVE = 1 / 8;
/** Parts of it: up to which those get something that have little, and those that have nothing. The rest is for what is urgent. */
const FOR_LITTLE = 0.75;
const FOR_NOTHING = 0.9;
/** Who has fewer waiting has little, if it is no more than this part of the reserve in bytes. */
const LITTLE = 8;
const LITTLE_BYTES = 1 / 16;
/** What is small may be the last that gets in: part of the reserve in bytes. */
const SMALL_BYTES = 1 / 64;
/** Part of the reserve that one client may have of it for what is urgent. */
const URGENT_EACH = 1 / 4;
/** There is always room for so many urgent ones. */
const URGENT_MIN = 32;
/** Part of what is not reserved beyond which nobody gets more than a share. */
const FREE = 0.9;

/** What waits of one client. */
interface Own {
  count: number;
  bytes: number;
  reserved: number;
  reservedBytes: number;
}

export interface AdmissionBounds {
  readonly countMax: number;
  readonly bytesMax: number;
}

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #nowMs: () => number;
  readonly #clients = new Map<string, Own>();
  readonly #delay: DelayLimit;
  #count = 0;
  #bytes = 0;
  #reserved = 0;
  #reservedBytes = 0;
  #waitMs = RETRY_AFTER_MIN_MS;
  #refused = 0;

  /** `nowMs`: monotonic. */
  constructor(bounds: AdmissionBounds, nowMs: () => number) {
    assert(bounds.countMax > 0, 'at least one proposal may wait');
    assert(bounds.bytesMax > 0, 'at least one byte may wait');
    this.#bounds = bounds;
    this.#nowMs = nowMs;
    this.#delay = new DelayLimit(bounds.countMax - Math.floor(bounds.countMax * RESERVE), nowMs());
  }

  get count(): number {
    return this.#count;
  }
  /** How many may wait beside the reserve. */
  get limit(): number {
    return this.#delay.limit;
  }

  /**
   * True: `bytes` of `client` are admitted and must be released later. An oversized one is admitted when nothing else waits. `urgent`: it
   * keeps something alive, or puts something right.
   */
  tryAdmit(client: string, bytes: number, urgent = false): boolean {
    const own = this.#clients.get(client) ?? { count: 0, bytes: 0, reserved: 0, reservedBytes: 0 };
    const plain = this.#count === 0 || this.#hasRoom(own, bytes);
    const admitted = plain || this.#hasReserve(own, bytes, urgent);
    this.#refused += ((admitted ? 0 : 1) - this.#refused) * REFUSED_WEIGHT;
    if (!admitted) return false;
    if (own.count === 0) this.#clients.set(client, own);
    own.count += 1;
    own.bytes += bytes;
    this.#count += 1;
    this.#bytes += bytes;
    if (!plain) {
      own.reserved += 1;
      own.reservedBytes += bytes;
      this.#reserved += 1;
      this.#reservedBytes += bytes;
    }
    this.#delay.waits(this.#count - this.#reserved);
    return true;
  }

  #hasRoom(own: Own, bytes: number): boolean {
    const { limit } = this.#delay;
    const bytesMax = this.#bounds.bytesMax * (1 - RESERVE);
    const count = this.#count - this.#reserved;
    if (count >= limit || this.#bytes + bytes > bytesMax) return false;
    if (count < limit * FREE && this.#bytes + bytes <= bytesMax * FREE) return true;
    const clients = this.#clients.size + (own.count === 0 ? 1 : 0);
    return own.count < Math.max(1, limit / clients) && own.bytes + bytes <= bytesMax / clients;
  }

  #hasReserve(own: Own, bytes: number, urgent: boolean): boolean {
    const { countMax, bytesMax } = this.#bounds;
    if (this.#count >= countMax || this.#bytes + bytes > bytesMax) return false;
    // It goes with the limit: what waits in it is waited for, too.
    const reserve = Math.max(1, Math.floor((this.#delay.limit * RESERVE) / (1 - RESERVE)));
    const reserveBytes = bytesMax * RESERVE;
    const within = (part: number, bytesPart: number): boolean =>
      this.#reserved < reserve * part && this.#reservedBytes + bytes <= reserveBytes * bytesPart;
    if (urgent) {
      const most = Math.max(reserve, Math.min(URGENT_MIN, countMax * RESERVE));
      const each = own.reserved < Math.max(LITTLE, most * URGENT_EACH);
      if (each && this.#reserved < most && this.#reservedBytes + bytes <= reserveBytes) return true;
    }
    if (own.count === 0) return within(FOR_NOTHING, bytes <= reserveBytes * SMALL_BYTES ? FOR_NOTHING : FOR_LITTLE);
    const little = own.count < LITTLE && own.bytes + bytes <= reserveBytes * LITTLE_BYTES;
    return little && within(FOR_LITTLE, FOR_LITTLE);
  }

  /** Gives the room back; `waitedMs` since admission. `carriedOut`: and not given up. */
  release(client: string, bytes: number, waitedMs: number, carriedOut: boolean): void {
    const own = this.#clients.get(client);
    assert(own !== undefined, 'released once for each admission');
    assert(own.bytes >= bytes, 'released the bytes that were admitted');
    if (own.reserved > 0) {
      const reservedBytes = own.reserved === 1 ? own.reservedBytes : Math.min(bytes, own.reservedBytes);
      own.reserved -= 1;
      own.reservedBytes -= reservedBytes;
      this.#reserved -= 1;
      this.#reservedBytes -= reservedBytes;
    }
    own.count -= 1;
    own.bytes -= bytes;
    if (own.count === 0) this.#clients.delete(client);
    this.#count -= 1;
    this.#bytes -= bytes;
    this.#waitMs += (waitedMs - this.#waitMs) * EWMA_WEIGHT;
    this.#delay.waits(this.#count - this.#reserved);
    if (carriedOut) this.#delay.answered(waitedMs, this.#nowMs());
  }

  /** What was waited under another leader, or for one, says nothing of now. */
  roleChanged(): void {
    this.#delay.reset(this.#nowMs());
  }

  /** About the time in which the queue of now drains, and the longer the more are refused: they come back, too. Milliseconds. */
  retryAfterMs(): number {
    const dueMs = this.#waitMs / (1 - Math.min(REFUSED_MAX, this.#refused));
    return Math.round(Math.min(RETRY_AFTER_MAX_MS, Math.max(RETRY_AFTER_MIN_MS, dueMs)));
  }
}

/** AD2. By Little's law a queue that is fed less is waited in less; what does not get shorter so is no queue. */
class DelayLimit {
  readonly #limitMax: number;
  limit: number;
  #sinceMs: number;
  #lengthMs = INTERVAL_MS;
  #answers = 0;
  #leastMs = Number.POSITIVE_INFINITY;
  #waiting = 0;
  #peak = 0;
  #holdMs = HOLD_MS;
  #holdUntilMs = Number.NEGATIVE_INFINITY;
  /** What it was before it was made smaller, which has still to show that it is of use. */
  #before: { readonly limit: number; readonly leastMs: number } | null = null;

  constructor(limitMax: number, nowMs: number) {
    this.#limitMax = limitMax;
    this.limit = limitMax;
    this.#sinceMs = nowMs;
  }

  reset(nowMs: number): void {
    this.limit = this.#limitMax;
    this.#before = null;
    this.#holdMs = HOLD_MS;
    this.#holdUntilMs = Number.NEGATIVE_INFINITY;
    this.#begin(nowMs, INTERVAL_MS);
  }

  #begin(nowMs: number, lengthMs: number): void {
    this.#sinceMs = nowMs;
    this.#lengthMs = lengthMs;
    this.#answers = 0;
    this.#leastMs = Number.POSITIVE_INFINITY;
    this.#peak = this.#waiting;
  }

  /** So many wait now, beside the reserve. */
  waits(count: number): void {
    this.#waiting = count;
    this.#peak = Math.max(this.#peak, count);
  }

  answered(waitedMs: number, nowMs: number): void {
    this.#answers += 1;
    this.#leastMs = Math.min(this.#leastMs, waitedMs);
    if (nowMs - this.#sinceMs < this.#lengthMs || this.#answers < ANSWERS_MIN) return;
    const leastMs = this.#leastMs;
    this.#judge(leastMs, nowMs);
    // What waits when the limit changes was let in under the one before.
    this.#begin(nowMs, Math.min(INTERVAL_MAX_MS, Math.max(INTERVAL_MS, 2 * leastMs)));
  }

  #judge(leastMs: number, nowMs: number): void {
    const before = this.#before;
    this.#before = null;
    if (leastMs <= DELAY_TARGET_MS) {
      this.#holdMs = HOLD_MS;
      const grow = leastMs <= DELAY_TARGET_MS / 2 ? GROW_FAST : GROW;
      this.limit = Math.min(this.#limitMax, Math.ceil(this.limit * grow));
      return;
    }
    if (before !== null) {
      const expectedMs = (before.leastMs * this.limit) / before.limit;
      if (leastMs > (before.leastMs + expectedMs) / 2) {
        this.limit = this.#limitMax;
        this.#holdUntilMs = nowMs + this.#holdMs;
        this.#holdMs = Math.min(HOLD_MAX_MS, this.#holdMs * HOLD_GROWS);
        return;
      }
      this.#holdMs = HOLD_MS;
    }
    const present = Math.min(this.limit, this.#peak);
    const smaller = Math.floor(present * SHRINK);
    if (nowMs < this.#holdUntilMs || smaller < LIMIT_MIN) return;
    this.#before = { limit: present, leastMs };
    this.limit = smaller;
  }
}
