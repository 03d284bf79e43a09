/** A member's view of time: a monotonic clock with a rate of its own and a wall clock that may jump. */
import type { Clock } from '../../../src/ports/clock.ts';
import type { Owner } from '../kernel/queue.ts';
import type { World } from '../kernel/world.ts';

/** 2026-01-01T00:00:00Z */
const EPOCH_MS = 1_767_225_600_000;

/** Survives restarts: it belongs to the machine, not to the process. */
export class SimWallClock {
  readonly #world: World;
  #offsetMs: number;

  constructor(world: World, offsetMs: number) {
    this.#world = world;
    this.#offsetMs = offsetMs;
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.#offsetMs + this.#world.nowUs / 1000);
  }

  jump(byMs: number): void {
    this.#offsetMs += byMs;
  }
}

export class SimClock implements Clock {
  readonly #world: World;
  readonly #wall: SimWallClock;
  readonly #owner: Owner;
  /** Thousandths of true time. */
  readonly #ratePermille: number;

  constructor(world: World, wall: SimWallClock, owner: Owner, ratePermille: number) {
    this.#world = world;
    this.#wall = wall;
    this.#owner = owner;
    this.#ratePermille = ratePermille;
  }

  wallMs(): number {
    return this.#wall.wallMs();
  }

  monotonicMs(): number {
    return (this.#world.nowUs * this.#ratePermille) / 1_000_000;
  }

  after(delayMs: number, callback: () => void): () => void {
    const delayUs = (Math.max(0, delayMs) * 1_000_000) / this.#ratePermille;
    const event = this.#world.after(delayUs, this.#owner, callback);
    return () => {
      event.cancelled = true;
    };
  }

  defer(callback: () => void): void {
    this.#world.after(0, this.#owner, callback);
  }
}
