/** Reports finished sub-steps in batches, in order, and lets the work run ahead of the records by a bounded amount only. */
import { IndeterminateError, type PhaseRef, type Session } from '../client/client.ts';
import { SUB_STEPS_PER_REPORT_MAX } from '../types/limits.ts';
import type { Journal } from './journal.ts';
import { type AgentMessage, type HoldPoint, wallMs } from './protocol.ts';

/** Sub-steps that are performed and not yet recorded: at most these many are redone after a kill. */
const UNRECORDED_MAX = 64;
const BATCH_MAX = Math.min(32, SUB_STEPS_PER_REPORT_MAX);
/** How long an unknown outcome is asked for again, milliseconds. */
const DOUBT_MAX_MS = 60_000;

/** A mutation of a session, asked for again while its outcome is unknown. */
export async function settled<T>(mutation: Promise<T>): Promise<T> {
  const endMs = performance.now() + DOUBT_MAX_MS;
  let outcome = mutation;
  for (;;) {
    try {
      return await outcome;
    } catch (error) {
      if (!(error instanceof IndeterminateError) || !error.safeToRetry || performance.now() > endMs) throw error;
      outcome = error.retry() as Promise<T>;
    }
  }
}

export interface RecorderDeps {
  readonly session: Session;
  readonly ref: PhaseRef;
  readonly attempt: number;
  readonly token: number;
  readonly total: number;
  /** On record when the attempt began. */
  readonly done: number;
  readonly journal: Journal;
  readonly tell: (message: AgentMessage) => void;
  /** Removed as they are passed. */
  readonly holds: HoldPoint[];
  readonly waitForGo: () => Promise<void>;
  /** Makes durable what the batch stands for, before it is recorded. */
  readonly sync?: (ids: readonly string[]) => Promise<void>;
}

interface Item {
  readonly id: string;
  readonly result: string;
}

export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #queue: Item[] = [];
  #unrecorded = 0;
  #done: number;
  #pumping: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;
  #room: (() => void)[] = [];

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
    this.#done = deps.done;
  }

  /** Runs one sub-step and hands its result in; waits while too much is unrecorded. */
  async perform(id: string, work: () => Promise<string>): Promise<void> {
    while (this.#unrecorded >= UNRECORDED_MAX && this.#failure === null) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
    this.#throwFailure();
    this.#unrecorded += 1;
    this.#note('started', [id]);
    const result = await work();
    this.#note('performed', [id]);
    this.#queue.push({ id, result });
    this.#pumping ??= this.#pump();
  }

  /** Resolves when everything is on record. */
  async finish(): Promise<void> {
    await this.#pumping;
    this.#throwFailure();
    await this.#hold();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #pump(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        await this.#hold();
        await this.#report(this.#queue.splice(0, BATCH_MAX));
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#pumping = null;
    this.#wake();
  }

  async #report(batch: readonly Item[]): Promise<void> {
    const { session, ref, token, total, sync, tell } = this.#deps;
    const ids = batch.map((item) => item.id);
    await sync?.(ids);
    const completed = this.#done + batch.length;
    const answer = await settled(session.reportProgress(ref, token, { completed, total, subSteps: batch }));
    this.#note('recorded', ids);
    this.#done = completed;
    this.#unrecorded -= batch.length;
    tell({ kind: 'recorded', phase: ref.phase, done: completed, total, term: answer.term, atMs: wallMs() });
    this.#wake();
  }

  /** One hold at a time: what follows it must be seen to happen before the next. */
  async #hold(): Promise<void> {
    const { holds, ref, total, tell, waitForGo } = this.#deps;
    const index = holds.findIndex((hold) => hold.phase === ref.phase && this.#done >= Math.floor(hold.share * total));
    if (index === -1) return;
    holds.splice(index, 1);
    tell({ kind: 'hold', phase: ref.phase, done: this.#done });
    await waitForGo();
  }

  #note(kind: 'started' | 'performed' | 'recorded', ids: readonly string[]): void {
    const { ref, attempt, journal } = this.#deps;
    journal.write(ids.map((id) => ({ kind, g: ref.g, phase: ref.phase, attempt, id })));
  }

  #wake(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const resolve of waiting) resolve();
  }
}
