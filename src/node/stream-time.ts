/**
 * The leader's clock for stamping entries (R7): at its election it takes the greater of the state's time and its wall
 * clock, and from then on it follows its monotonic clock. So the cluster's time neither goes back, nor stands still
 * after a leader whose wall clock was ahead, nor jumps with a wall clock that is set while a leader is in office.
 */
import type { Clock } from '../ports/clock.ts';
import { type ClusterTimeMs, clusterTimeMs } from '../types/ids.ts';

export class StreamTime {
  readonly #clock: Clock;
  readonly #stateTimeMs: () => ClusterTimeMs;
  #baseMs = 0;
  #baseMonotonicMs = 0;

  constructor(clock: Clock, stateTimeMs: () => ClusterTimeMs) {
    this.#clock = clock;
    this.#stateTimeMs = stateTimeMs;
  }

  /** Called when this member becomes leader. */
  take(): void {
    this.#goOnFrom(Math.floor(this.#clock.wallMs()));
    this.now();
  }

  /**
   * Never less than what it gave before in this office, nor than the state's time. That may rise above it in office: a new leader
   * still has to apply what the former one stamped, and that one's wall clock may have been ahead.
   */
  now(): ClusterTimeMs {
    const elapsedMs = Math.max(0, this.#clock.monotonicMs() - this.#baseMonotonicMs);
    const ownMs = Math.floor(this.#baseMs + elapsedMs);
    const stateMs = this.#stateTimeMs();
    if (stateMs <= ownMs) return clusterTimeMs(ownMs);
    this.#goOnFrom(stateMs);
    return stateMs;
  }

  #goOnFrom(timeMs: number): void {
    this.#baseMs = timeMs;
    this.#baseMonotonicMs = this.#clock.monotonicMs();
  }
}
