/**
 * How many calls may be under way. A target that hangs holds its callers for a deadline each: so none may have all the slots, and
 * those that wait for workers, who may be away for long, are counted apart.
 */
import type { Compensator } from '../machine/ledger/types.ts';

export const CALLS_MAX = 64;
const WORKER_TASKS_MAX = 1_024;

export class CallSlots {
  readonly #callsMax: number;
  readonly #perTargetMax: number;
  readonly #byTarget = new Map<string, number>();
  #calls = 0;
  #tasks = 0;

  constructor(callsMax: number = CALLS_MAX) {
    this.#callsMax = callsMax;
    this.#perTargetMax = Math.ceil(callsMax / 2);
  }

  /** Gives the slot back when called; null: there is none. */
  take(kind: Compensator['kind'], target: string): (() => void) | null {
    if (kind === 'worker') {
      if (this.#tasks >= WORKER_TASKS_MAX) return null;
      this.#tasks++;
      return once(() => this.#tasks--);
    }
    const held = this.#byTarget.get(target) ?? 0;
    if (this.#calls >= this.#callsMax || held >= this.#perTargetMax) return null;
    this.#calls++;
    this.#byTarget.set(target, held + 1);
    return once(() => {
      this.#calls--;
      const left = (this.#byTarget.get(target) ?? 1) - 1;
      if (left > 0) this.#byTarget.set(target, left);
      else this.#byTarget.delete(target);
    });
  }
}

function once(give: () => void): () => void {
  let given = false;
  return () => {
    if (given) return;
    given = true;
    give();
  };
}
