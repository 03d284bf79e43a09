/**
 * How long members take to make entries durable (A1): from handing an append to the log until it is durable, which is what an
 * acknowledgement waits for. Each member measures itself and reports to its leader; the leader keeps a window for each.
 *
 * Why measured there and reported, and not by the leader from sending to acknowledgement: that has the network, the
 * pipeline and the turn of both processes in it, and the round trip of heartbeats, taken off again, carries none of what large
 * appends wait for. A far or busy member would look like one with a slow disk. And a learner that is to come back is measured
 * in the same way as a voter. What is still waiting is reported too: a disk that hangs completes nothing.
 */
import type { MemberId } from '../types/ids.ts';
import { ACK_TIMES_KEPT, ACK_TIMES_PER_REPORT_MAX } from '../types/limits.ts';

export interface AckTimesReport {
  /** Newest last, milliseconds each. */
  readonly samplesMs: readonly number[];
  /** How long the oldest append that is not durable has been waiting, milliseconds; 0: there is none. */
  readonly pendingMs: number;
}

/** What is known of one member over the window. */
export interface AckWindow {
  readonly count: number;
  /** By nearest rank; null without samples. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly pendingMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly ms: number;
}

interface Known {
  readonly samples: Sample[];
  pendingMs: number;
  heardMs: number;
}

export const UNKNOWN_TIMES: AckWindow = { count: 0, p50Ms: null, p95Ms: null, pendingMs: 0 };

/** Times are of this member's monotonic clock, milliseconds. */
export class AckTimes {
  /** When the appends that are not durable yet were handed over, oldest first. */
  readonly #waiting: number[] = [];
  readonly #own: Sample[] = [];
  #reportedMs = Number.NEGATIVE_INFINITY;
  readonly #others = new Map<MemberId, Known>();

  /** An append is handed to the log. */
  began(nowMs: number): void {
    this.#waiting.push(nowMs);
  }

  /** The oldest append that was handed over is durable. */
  ended(nowMs: number): void {
    const began = this.#waiting.shift();
    if (began !== undefined) add(this.#own, { atMs: nowMs, ms: Math.max(0, nowMs - began) });
  }

  /** What became durable since the last report. */
  report(nowMs: number): AckTimesReport {
    const fresh = this.#own.filter(({ atMs }) => atMs > this.#reportedMs).slice(-ACK_TIMES_PER_REPORT_MAX);
    this.#reportedMs = nowMs;
    return { samplesMs: fresh.map(({ ms }) => ms), pendingMs: this.#pendingMs(nowMs) };
  }

  heard(from: MemberId, { samplesMs, pendingMs }: AckTimesReport, nowMs: number): void {
    const known = this.#others.get(from) ?? { samples: [], pendingMs: 0, heardMs: nowMs };
    for (const ms of samplesMs) add(known.samples, { atMs: nowMs, ms });
    known.pendingMs = pendingMs;
    known.heardMs = nowMs;
    this.#others.set(from, known);
  }

  /** What others said before they led, or this member did, counts no more. */
  forgetOthers(): void {
    this.#others.clear();
  }

  own(nowMs: number, windowMs: number): AckWindow {
    return windowOf(this.#own, this.#pendingMs(nowMs), nowMs - windowMs);
  }

  /** Of another member. What it said last of an append that waits counts only while it goes on reporting. */
  of(member: MemberId, nowMs: number, windowMs: number): AckWindow {
    const known = this.#others.get(member);
    if (known === undefined) return UNKNOWN_TIMES;
    return windowOf(known.samples, nowMs - known.heardMs < windowMs ? known.pendingMs : 0, nowMs - windowMs);
  }

  #pendingMs(nowMs: number): number {
    const [oldest] = this.#waiting;
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest);
  }
}

/** Cuts seldom: this is done for every append. */
function add(samples: Sample[], sample: Sample): void {
  samples.push(sample);
  if (samples.length > 2 * ACK_TIMES_KEPT) samples.splice(0, samples.length - ACK_TIMES_KEPT);
}

function windowOf(samples: readonly Sample[], pendingMs: number, afterMs: number): AckWindow {
  const sorted = samples
    .slice(-ACK_TIMES_KEPT)
    .filter(({ atMs }) => atMs > afterMs)
    .map(({ ms }) => ms)
    .sort((x, y) => x - y);
  const rank = (part: number): number | null => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? null;
  return { count: sorted.length, p50Ms: rank(0.5), p95Ms: rank(0.95), pendingMs };
}
