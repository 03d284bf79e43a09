/**
 * What the detector has proposed and has no answer to yet: each thing once, and not too many at a time. What became of a
 * proposal shows in the state; one that came to nothing may be made again after a while.
 */
import type { CommandBody, CommandResult } from '../machine/types.ts';
import type { LeaderPort } from '../node/leader-work.ts';

/** A proposal that was refused, or whose fate is not known, is not made again before, milliseconds. */
const AGAIN_MS = 1_000;

export class Proposals {
  readonly #port: LeaderPort;
  readonly #most: number;
  readonly #underWay = new Set<string>();
  /** When it may be proposed again; oldest first. */
  readonly #notBeforeMs = new Map<string, number>();

  /** `most`: proposals under way at a time. */
  constructor(port: LeaderPort, most: number) {
    this.#port = port;
    this.#most = most;
  }

  /** How many may be made now. */
  get room(): number {
    return this.#most - this.#underWay.size;
  }
  get underWay(): number {
    return this.#underWay.size;
  }
  /** Under way, or not to be made again yet: what a search for work will find and must pass over. */
  get held(): number {
    return this.#underWay.size + this.#notBeforeMs.size;
  }

  /** Whether one of this key may be made now. */
  mayPropose(key: string): boolean {
    return this.room > 0 && !this.#underWay.has(key) && !this.#notBeforeMs.has(key);
  }

  /** With each tick. */
  tick(nowMs: number): void {
    for (const [key, notBeforeMs] of this.#notBeforeMs) {
      if (notBeforeMs > nowMs) break;
      this.#notBeforeMs.delete(key);
    }
  }

  /** `done`: null when it is not known what became of it. The caller has asked `mayPropose`. */
  propose(key: string, body: CommandBody, traceId: string, done: (result: CommandResult | null) => void): void {
    this.#underWay.add(key);
    const settle = (result: CommandResult | null): void => {
      this.#underWay.delete(key);
      if (!this.#port.leading) return;
      if (result?.ok !== true) this.#notBeforeMs.set(key, this.#port.clock.monotonicMs() + AGAIN_MS);
      done(result);
    };
    this.#port.propose(body, traceId).then(settle, () => settle(null));
  }
}
