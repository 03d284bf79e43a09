/**
 * A stall of this process is not everybody else's death (D1, D3): who was not heard while nobody listened is given the length of
 * the stall, and at least one heartbeat interval, before anything is held against it. The same holds for a new leader: while there
 * was none, nobody could report. Pure: time is handed in.
 *
 * PG1  Nothing is overdue before `quietUntilMs`, and that never goes back.
 * PG2  A stall is a gap between two ticks of more than twice the period. A gap that is shorter, and still more than a tenth of that,
 *      is made up for by its own length: a busy process has many of them, and must not stay quiet for good.
 */
import { assert } from '../types/assert.ts';

export class PauseGuard {
  readonly #periodMs: number;
  #lastTickMs: number;
  #quietUntilMs: number;
  #stalls = 0;

  /** `periodMs`: the longest gap that is still usual. Begins quiet for `leastMs` (a heartbeat interval) from `nowMs` on. */
  constructor(periodMs: number, nowMs: number, leastMs: number) {
    assert(periodMs > 0, `a period is positive: ${periodMs}`);
    assert(leastMs >= 0, `an interval is not negative: ${leastMs}`);
    this.#periodMs = periodMs;
    this.#lastTickMs = nowMs;
    this.#quietUntilMs = nowMs + leastMs;
  }

  /** Stalls so far. */
  get stalls(): number {
    return this.#stalls;
  }
  get quietUntilMs(): number {
    return this.#quietUntilMs;
  }

  /** With each tick; `nowMs` is monotonic, `leastMs` the heartbeat interval. True: who is overdue now may be told so. */
  tick(nowMs: number, leastMs: number): boolean {
    const gapMs = nowMs - this.#lastTickMs;
    if (gapMs > 0) this.#lastTickMs = nowMs;
    const stallMs = 2 * this.#periodMs;
    if (gapMs > stallMs) this.#stalls += 1;
    if (gapMs > stallMs / 10) {
      const graceMs = gapMs > stallMs ? Math.max(gapMs, leastMs) : gapMs;
      this.#quietUntilMs = Math.max(this.#quietUntilMs, nowMs + graceMs);
    }
    return nowMs >= this.#quietUntilMs;
  }
}
