/**
 * Histories as the runner writes them: one event to a line, `invoke` and then at most one of `ok`, `fail`, `info`. An operation is
 * such a pair. `fail`: it certainly did not happen. `info`, or no end at all: nobody knows, and it may still happen.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export type EventType = 'invoke' | 'ok' | 'fail' | 'info';

export interface HistoryEvent {
  /** Position in the history; rises with real time. */
  readonly index: number;
  /** Nanoseconds since the run began. */
  readonly time: number;
  readonly process: number | string;
  readonly type: EventType;
  readonly f: string;
  readonly workload?: string;
  readonly key?: string | number | null;
  readonly value?: unknown;
  readonly error?: string;
}

export interface Operation {
  /** Of the call; names the operation. Positions order the operations: they never tie. */
  readonly index: number;
  /** Position of the end; null when there was none that says what happened (`info`, or the run was over). */
  readonly endIndex: number | null;
  readonly process: number | string;
  readonly f: string;
  readonly key: string | null;
  /** As called. */
  readonly value: unknown;
  /** As answered; undefined without an answer. */
  readonly result: unknown;
  readonly outcome: 'ok' | 'fail' | 'info';
  readonly calledNs: number;
  /** Time of the end, that of `info` included; null when the run was over before. */
  readonly returnedNs: number | null;
  readonly error: string | null;
}

export class UnreadableHistory extends Error {}

/** Pairs calls with their ends. Events that only report something (`ok` without a call) become operations of no length. */
export class Pairing {
  readonly #open = new Map<number | string, HistoryEvent>();
  readonly #operations: Operation[] = [];
  readonly #reportsAlone: boolean;
  #lastIndex = -1;

  /** `reportsAlone`: an end without a call is an operation of its own (watch events), not an error. */
  constructor(reportsAlone = false) {
    this.#reportsAlone = reportsAlone;
  }

  add(event: HistoryEvent): void {
    if (event.index <= this.#lastIndex)
      throw new UnreadableHistory(`index ${event.index} comes after index ${this.#lastIndex}`);
    this.#lastIndex = event.index;
    const called = this.#open.get(event.process);
    if (event.type === 'invoke') {
      if (called !== undefined)
        throw new UnreadableHistory(`index ${event.index}: process ${event.process} calls while it waits`);
      this.#open.set(event.process, event);
      return;
    }
    if (called === undefined) {
      if (!this.#reportsAlone)
        throw new UnreadableHistory(`index ${event.index}: process ${event.process} ends what it did not call`);
      this.#operations.push(operationOf(event, event));
      return;
    }
    this.#open.delete(event.process);
    this.#operations.push(operationOf(called, event));
  }

  /** In the order of the calls. */
  end(): readonly Operation[] {
    for (const called of this.#open.values()) this.#operations.push(operationOf(called, null));
    this.#open.clear();
    return this.#operations.sort((a, b) => a.index - b.index);
  }
}

function operationOf(called: HistoryEvent, ended: HistoryEvent | null): Operation {
  const outcome = ended === null || ended.type === 'invoke' ? 'info' : ended.type;
  const key = called.key ?? ended?.key ?? null;
  return {
    index: called.index,
    endIndex: ended === null || outcome === 'info' ? null : ended.index,
    process: called.process,
    f: called.f,
    key: key === null ? null : String(key),
    value: called.value ?? null,
    result: ended === null ? undefined : ended.value,
    outcome,
    calledNs: called.time,
    returnedNs: ended === null ? null : ended.time,
    error: ended?.error ?? null,
  };
}

/**
 * Lines of a file as objects. A last line that was cut off (the runner was killed) is left out; any other that is no JSON is an error.
 * @throws UnreadableHistory
 */
export async function* readLines(path: string): AsyncGenerator<unknown> {
  let broken: string | null = null;
  let at = 0;
  for await (const line of createInterface({
    input: createReadStream(path, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    at += 1;
    if (broken !== null) throw new UnreadableHistory(broken);
    if (line === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      broken = `line ${at} is not JSON`;
      continue;
    }
    yield value;
  }
}

export async function readHistory(path: string, reportsAlone = false): Promise<readonly Operation[]> {
  const pairing = new Pairing(reportsAlone);
  for await (const value of readLines(path)) pairing.add(eventOf(value));
  return pairing.end();
}

const TYPES: readonly unknown[] = ['invoke', 'ok', 'fail', 'info'];

export function eventOf(value: unknown): HistoryEvent {
  const event = value as HistoryEvent;
  const good =
    typeof value === 'object' &&
    value !== null &&
    Number.isInteger(event.index) &&
    Number.isFinite(event.time) &&
    (typeof event.process === 'string' || typeof event.process === 'number') &&
    TYPES.includes(event.type) &&
    typeof event.f === 'string';
  if (!good) throw new UnreadableHistory(`no event of a history: ${JSON.stringify(value).slice(0, 200)}`);
  return event;
}

/** Operations by key, in the order in which the keys appear. */
export function byKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const parts = new Map<string, Operation[]>();
  for (const operation of operations) {
    const key = operation.key ?? '';
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  return parts;
}

/** Field of a value that is an object; undefined otherwise. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

/** For people: `write "a"`, `read → null`. */
export function describe(operation: Operation): string {
  const argument = operation.value === null ? '' : ` ${brief(operation.value)}`;
  const answer =
    operation.outcome !== 'ok'
      ? operation.outcome === 'fail'
        ? ' ✗'
        : ' ?'
      : operation.result === undefined ||
          (operation.value !== null && JSON.stringify(operation.result) === JSON.stringify(operation.value))
        ? ''
        : ` → ${brief(operation.result)}`;
  return `${operation.f}${argument}${answer}`;
}

const BRIEF_MAX = 40;

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? '';
  return text.length <= BRIEF_MAX ? text : `${text.slice(0, BRIEF_MAX / 2)}…${text.slice(-BRIEF_MAX / 2)}`;
}
