/**
 * Virtual time. One queue of events; between two events every promise that can settle has settled.
 * All of a run hangs off one world, and nothing of it outlives the run.
 */
import { Journal, type Note } from './journal.ts';
import { EventQueue, type Owner, type SimEvent } from './queue.ts';

/** A rule of `test/sim/oracles` was broken. */
export interface Violation {
  readonly oracle: string;
  readonly message: string;
}

/** Every so many events the process gets a full turn, in which Node reports unhandled rejections. */
const TURN_EVERY_EVENTS = 64;

export class World {
  readonly journal: Journal;
  #nowUs = 0;
  #sequence = 0;
  #events = 0;
  #violation: Violation | null = null;
  readonly #queue = new EventQueue();

  constructor(sink: ((note: Note) => void) | null) {
    this.journal = new Journal(sink);
  }

  /** True time, microseconds since the run began. No member sees it. */
  get nowUs(): number {
    return this.#nowUs;
  }
  get events(): number {
    return this.#events;
  }
  get violation(): Violation | null {
    return this.#violation;
  }

  /** The first one counts: what follows may be its consequence. */
  violate(oracle: string, message: string): void {
    if (this.#violation !== null) return;
    this.#violation = { oracle, message };
    this.journal.note(this.#nowUs, '', 'VIOLATION', 0, 0, 0, `${oracle}: ${message}`);
  }

  note(who: string, what: string, x: number, y: number, z: number, detail?: unknown): void {
    this.journal.note(this.#nowUs, who, what, x, y, z, detail);
  }

  at(timeUs: number, owner: Owner | null, run: () => void): SimEvent {
    const event: SimEvent = {
      timeUs: Math.max(this.#nowUs, Math.ceil(timeUs)),
      sequence: ++this.#sequence,
      owner,
      run,
      cancelled: false,
    };
    this.#queue.push(event);
    return event;
  }

  after(delayUs: number, owner: Owner | null, run: () => void): SimEvent {
    return this.at(this.#nowUs + delayUs, owner, run);
  }

  sleep(delayUs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayUs, null, resolve);
    });
  }

  /** Runs until `done` says so, `untilUs` is reached or a rule is broken. `check` runs after every event. */
  async run(untilUs: number, done: () => boolean, check: () => void): Promise<void> {
    while (this.#violation === null && !done()) {
      const event = this.#queue.pop();
      if (event === undefined) return;
      if (event.timeUs > untilUs) {
        this.#queue.push(event);
        this.#nowUs = untilUs;
        return;
      }
      if (!this.#admit(event)) continue;
      this.#nowUs = event.timeUs;
      this.#events += 1;
      if (event.owner !== null) event.owner.touched = true;
      try {
        event.run();
      } catch (error) {
        this.violate('CR', `an exception came out of a member: ${describe(error)}`);
      }
      await (this.#events % TURN_EVERY_EVENTS === 0 ? fullTurn() : settled());
      check();
    }
  }

  #admit(event: SimEvent): boolean {
    if (event.cancelled || event.owner?.alive === false) return false;
    const wakesUs = event.owner?.pausedUntilUs ?? 0;
    if (wakesUs <= event.timeUs) return true;
    event.timeUs = wakesUs;
    event.sequence = ++this.#sequence;
    this.#queue.push(event);
    return false;
  }
}

/** Resolves when every promise that can settle has: Node empties the microtask queue before the next-tick queue. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}

export function fullTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
