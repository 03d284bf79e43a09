/**
 * The leader's clock for stamping entries (R7): at its election it takes the greater of the state's time and its wall
 * clock, and from then on it follows its monotonic clock. So the cluster's time neither goes back, nor stands still
 * after a leader whose wall clock was ahead, nor jumps with a wall clock that is set while a leader is in office.
 */
import type { Clock } from '../ports/clock.ts';
import { type ClusterTimeMs, clusterTimeMs } from '../types/ids.ts';

export class StreamTime {
  readonly #clock: Clock;
  #baseMs = 0;
  #baseMonotonicMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Called when this member becomes leader. */
  take(stateTimeMs: ClusterTimeMs): void {
    this.#baseMs = Math.max(stateTimeMs, Math.floor(this.#clock.wallMs()));
    this.#baseMonotonicMs = this.#clock.monotonicMs();
  }

  /** Never less than what it gave before, as long as `take` is called with a state time that only rises. */
  now(): ClusterTimeMs {
    const elapsedMs = Math.max(0, this.#clock.monotonicMs() - this.#baseMonotonicMs);
    return clusterTimeMs(Math.floor(this.#baseMs + elapsedMs));
  }
}
