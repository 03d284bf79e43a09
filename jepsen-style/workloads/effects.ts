/**
 * Effects on the outside world that have to happen once: each is recorded, done at a server that counts, and confirmed; some
 * processes die half-way, and what they did is undone by the cluster. Keys are never used again after that.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  EffectInDoubtError,
  IndeterminateError,
  type PhaseRef,
  type QuorateClient,
  QuorateError,
  type Session,
} from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import { CountingServer } from './counting-server.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 2;
const PLAN = 'chaos-effects';
const PHASE_NAME = 'ACT';
const PRIOR_MS = 60_000;
const EFFECTS_MAX = 3;
/** The process dies after its effects, or in the middle of them. */
const DIE = 0.2;
/** An effect is asked for a second time, by another session, at the same moment or a little later. */
const TWICE = 0.3;
const TWICE_LATER_MS = 200;
const IDLE_MS = 250;
/** A process that is alive is taken for dead: what it still does is late. */
const SUSPECT = 0.1;
const SUSPECT_AFTER_MS = 300;
/** Recoveries have to be over so long after the last fault, milliseconds. */
const RECOVERED_MS = 90_000;

interface Worker {
  readonly session: Session;
  readonly loop: string;
}

/** One attempt of a phase. */
interface Attempt {
  readonly ref: PhaseRef;
  readonly token: number;
  readonly attempt: number;
}

class Workers implements Running {
  readonly #context: WorkloadContext;
  readonly #client: QuorateClient;
  readonly #server: CountingServer;
  /** Whoever asks for effects that others have asked for already. */
  readonly #second: Session;
  readonly #workers: Worker[] = [];
  #nextKey = 0;

  constructor(context: WorkloadContext, client: QuorateClient, server: CountingServer, second: Session) {
    this.#context = context;
    this.#client = client;
    this.#server = server;
    this.#second = second;
  }

  async open(): Promise<void> {
    const options = { deadlineMs: PATIENT_MS };
    const phases = [{ name: PHASE_NAME, priorMs: PRIOR_MS, slaMs: 0 }];
    await this.#second.registerPlan({ name: PLAN, phases }, options);
    for (let i = 0; i < THREADS; i += 1) {
      const session = await this.#client.openSession({ ttlMs: SESSION_MS });
      const loop = `effects-${i}`;
      await session.createLoop(loop, { plan: PLAN, ...options });
      this.#workers.push({ session, loop });
    }
  }

  async step(actor: Actor): Promise<void> {
    const worker = this.#workers[actor.thread];
    if (worker === undefined) return;
    try {
      await this.#work(actor, worker);
    } catch (error) {
      // Beginning and committing are no operations of this history: what counts is what the server saw.
      if (!(error instanceof QuorateError || error instanceof IndeterminateError)) throw error;
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#recovered();
      await this.#writeLedger();
    } finally {
      await this.#server.stop();
    }
  }

  async #work(actor: Actor, worker: Worker): Promise<void> {
    const { random } = this.#context;
    const attempt = await this.#begin(worker);
    if (attempt === null) return delay(IDLE_MS);
    if (random.chance(SUSPECT)) void this.#suspect(attempt);
    const count = random.between(1, EFFECTS_MAX);
    for (let i = 0; i < count; i += 1) {
      const key = `e${this.#nextKey++}`;
      const againMs = random.chance(TWICE) ? random.between(0, TWICE_LATER_MS) : null;
      const [did] = await Promise.all([
        this.#effect(worker.session, actor.process, attempt, key),
        againMs === null ? true : this.#again(againMs, `${actor.process}-again`, attempt, key),
      ]);
      actor.renumber();
      if (!did || random.chance(DIE / EFFECTS_MAX)) return;
    }
    if (!random.chance(DIE)) await worker.session.commitPhase(attempt.ref, attempt.token, { deadlineMs: CALL_MS });
  }

  /** null: it cannot be begun now. What is running is of this process's former life, and has to be recovered first. */
  async #begin({ session, loop: name }: Worker): Promise<Attempt | null> {
    const { loop } = await this.#client.getLoop(name, { deadlineMs: CALL_MS });
    const [run] = loop.runs;
    if (run?.state === 'RUNNING') await session.interruptPhase(run.ref, run.attempt, { deadlineMs: CALL_MS });
    if (run?.state === 'RUNNING' || run?.state === 'FAILED_PARTIAL') return null;
    const ref = { loop: name, g: loop.g, phase: PHASE_NAME };
    const { token, attempt } = await session.beginPhase(ref, { deadlineMs: CALL_MS });
    return { ref, token, attempt };
  }

  async #suspect({ ref, attempt }: Attempt): Promise<void> {
    await delay(this.#context.random.between(0, SUSPECT_AFTER_MS));
    const options = { deadlineMs: CALL_MS, detail: 'taken for dead' };
    // It may have committed meanwhile.
    await this.#second.interruptPhase(ref, attempt, options).catch(() => undefined);
  }

  async #again(laterMs: number, process: string, attempt: Attempt, key: string): Promise<boolean> {
    await delay(laterMs);
    return this.#effect(this.#second, process, attempt, key);
  }

  async #effect(session: Session, process: number | string, { ref, token }: Attempt, key: string): Promise<boolean> {
    const { history } = this.#context;
    const begun = history.invoke(process, 'effect', key, { ...ref, token });
    const compensator = { kind: 'http', target: `${this.#server.url}/undo` } as const;
    let acted = false;
    try {
      const act = async (): Promise<string> => {
        acted = true;
        await this.#server.act(key, token);
        return 'done';
      };
      const { fresh } = await session.ledger.effect(ref, token, { key, compensator }, act, { deadlineMs: CALL_MS });
      history.end(begun, 'ok', { ...ref, token, fresh });
      return true;
    } catch (error) {
      const inDoubt = error instanceof EffectInDoubtError;
      const { type, error: reason } = mutationFailure(error);
      // It was done, whatever became of its confirmation; or somebody else may be at it.
      history.end(begun, acted || inDoubt ? 'info' : type, { ...ref, token, acted }, inDoubt ? 'IN_DOUBT' : reason);
      return false;
    }
  }

  /** No recovery is open any more. */
  async #recovered(): Promise<void> {
    const endMs = performance.now() + RECOVERED_MS;
    for (;;) {
      const open: string[] = [];
      for await (const { ref, state, step, waiting, lastError } of this.#client.recoveries.list({
        openOnly: true,
        deadlineMs: PATIENT_MS,
      }))
        open.push(`${ref.loop}/${ref.g} ${state} ${step} ${waiting ?? ''} ${lastError}`);
      if (open.length === 0) return;
      if (performance.now() > endMs) throw new Error(`recoveries are still open: ${open.join(', ')}`);
      await delay(500);
    }
  }

  /** What the ledger says of every effect, as the last operations of the history. */
  async #writeLedger(): Promise<void> {
    for (const { loop } of this.#workers) {
      const last = (await this.#client.getLoop(loop, { deadlineMs: PATIENT_MS })).loop.g;
      for (let g = 1; g <= last; g += 1) await this.#writeRound({ loop, g, phase: PHASE_NAME });
    }
  }

  async #writeRound(ref: PhaseRef): Promise<void> {
    try {
      for await (const { key, state, attempt } of this.#client.ledger.list(ref, { deadlineMs: PATIENT_MS }))
        this.#context.history.note('ledger', 'ok', 'ledger', key, { ...ref, attempt, state });
    } catch (error) {
      // Old rounds of a loop are not kept.
      if (!(error instanceof QuorateError && error.reason === 'ROUND_NOT_FOUND')) throw error;
    }
  }
}

export const EFFECTS: Workload = {
  name: 'effects',
  describe: 'effects at a server that counts, processes that die half-way, and what the cluster undoes',
  threads: THREADS,
  setUp: async (context) => {
    const server = await CountingServer.start(context.hostAddress, context.dir, context.clock);
    const client = await context.connect('effects');
    const workers = new Workers(context, client, server, await client.openSession({ ttlMs: SESSION_MS }));
    await workers.open();
    return workers;
  },
};
