/**
 * Histories as they are written down: one JSON object a line, and the process numbers of Jepsen. The shape is told in README.md,
 * "Histories".
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';

export type OpType = 'invoke' | 'ok' | 'fail' | 'info';

/** One line. `time`: nanoseconds since the run began. `index`: from 0, rising by one in each file. */
export interface Op {
  readonly index: number;
  readonly time: number;
  readonly process: number | string;
  readonly type: OpType;
  readonly f: string;
  readonly workload: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly error?: string;
}

/** The time of a run: nanoseconds since it began, by this machine's monotonic clock. */
export class RunClock {
  readonly #startNs = process.hrtime.bigint();
  /** When it began, ISO 8601. */
  readonly startedAt = new Date().toISOString();

  nowNs(): number {
    return Number(process.hrtime.bigint() - this.#startNs);
  }

  nowMs(): number {
    return this.nowNs() / 1e6;
  }
}

/** What a second saw: how many operations ended how, and how long those that were carried out took. */
export interface Tally {
  ok: number;
  fail: number;
  info: number;
  latenciesMs: number[];
}

/** An operation that has begun: end it exactly once. */
export interface Begun {
  readonly process: number | string;
  readonly f: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly timeNs: number;
}

type Listener = (op: Op, latencyMs: number | null) => void;

/** One history, in one file; its lines are in the order of their times. */
export class History {
  readonly workload: string;
  readonly #clock: RunClock;
  readonly #out: WriteStream;
  readonly #listener: Listener;
  #index = 0;

  constructor(
    dir: string,
    workload: string,
    clock: RunClock,
    listener: Listener = () => undefined,
    file = `history-${workload}`,
  ) {
    this.workload = workload;
    this.#clock = clock;
    this.#listener = listener;
    this.#out = createWriteStream(join(dir, `${file}.ndjson`));
  }

  get length(): number {
    return this.#index;
  }

  invoke(process: number | string, f: string, key: string | null, value: unknown): Begun {
    const timeNs = this.#write({ process, type: 'invoke', f, key, value }, null);
    return { process, f, key, value, timeNs };
  }

  /** `value`: what came of it; left out: as it was invoked. */
  end(begun: Begun, type: Exclude<OpType, 'invoke'>, value: unknown = begun.value, error?: string): void {
    const { process, f, key, timeNs } = begun;
    this.#write({ process, type, f, key, value, ...(error === undefined ? {} : { error }) }, timeNs);
  }

  /** What happened without anybody asking: an event, a fault. */
  note(process: number | string, type: 'ok' | 'info', f: string, key: string | null, value: unknown): void {
    this.#write({ process, type, f, key, value }, null);
  }

  #write(fields: Omit<Op, 'index' | 'time' | 'workload'>, begunNs: number | null): number {
    const time = this.#clock.nowNs();
    const { process, type, f, key, value, error } = fields;
    const op: Op = {
      index: this.#index,
      time,
      process,
      type,
      f,
      workload: this.workload,
      key,
      value,
      ...(error === undefined ? {} : { error }),
    };
    this.#index += 1;
    this.#out.write(`${JSON.stringify(op)}\n`);
    this.#listener(op, begunNs === null ? null : (time - begunNs) / 1e6);
    return time;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#out.end(() => resolve()));
  }
}

/**
 * A logical process: one operation at a time. After one whose outcome is unknown it goes on under a new number, as in Jepsen:
 * the old one may still be at work for ever.
 */
export class Actor {
  readonly thread: number;
  readonly #threads: number;
  #process: number;

  constructor(thread: number, threads: number) {
    this.thread = thread;
    this.#threads = threads;
    this.#process = thread;
  }

  get process(): number {
    return this.#process;
  }

  /** The operation under way is never heard of again. */
  renumber(): void {
    this.#process += this.#threads;
  }
}
