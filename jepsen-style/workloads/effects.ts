/**
 * Effects on the outside world that have to happen once: each is recorded, done at a server that counts, and confirmed; some
 * processes die half-way, and what they did is undone by the cluster. Keys are never used again after that.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  EffectInDoubtError,
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
/** First timeout: 1.6 · (1 + 1.6448536 / 2) of it; long enough that a fault alone seldom interrupts, short enough to see recoveries. */
const PRIOR_MS = 3_000;
const EFFECTS_MAX = 3;
/** The process dies after its effects, or in the middle of them. */
const DIE = 0.2;
/** An effect is asked for a second time, by another session, at the same moment or a little later. */
const TWICE = 0.3;
const TWICE_LATER_MS = 200;
const POLICY = {
  heartbeatMs: 1_000,
  compensatorBackoffMs: 50,
  compensatorBackoffMaxMs: 1_000,
  compensatorDeadlineMs: 10_000,
  circuitMs: 1_000,
  blockedMs: 60_000,
} as const;
/** Recoveries have to be over so long after the last fault, milliseconds. */
const RECOVERED_MS = 90_000;

interface Worker {
  readonly session: Session;
  readonly loop: string;
  ref: PhaseRef | null;
  token: number;
}

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, connect, clock, dir, hostAddress } = context;
  const server = await CountingServer.start(hostAddress, dir, clock);
  const client = await connect('effects');
  const second = await client.openSession({ ttlMs: SESSION_MS });
  await second.setPolicy(POLICY, { deadlineMs: PATIENT_MS });
  await second.registerPlan(
    { name: PLAN, phases: [{ name: PHASE_NAME, priorMs: PRIOR_MS, slaMs: 0 }] },
    { deadlineMs: PATIENT_MS },
  );
  const workers: Worker[] = [];
  for (let i = 0; i < THREADS; i += 1) {
    const session = await client.openSession({ ttlMs: SESSION_MS });
    const loop = `effects-${i}`;
    await session.createLoop(loop, { plan: PLAN, deadlineMs: PATIENT_MS });
    workers.push({ session, loop, ref: null, token: 0 });
  }
  const compensator = { kind: 'http', target: `${server.url}/undo` } as const;
  let nextKey = 0;

  const effect = async (
    session: Session,
    process: number | string,
    ref: PhaseRef,
    token: number,
    key: string,
  ): Promise<boolean> => {
    const begun = history.invoke(process, 'effect', key, { ...ref, token });
    let acted = false;
    try {
      const act = async (): Promise<string> => {
        acted = true;
        await server.act(key, token);
        return 'done';
      };
      const { fresh } = await session.ledger.effect(ref, token, { key, compensator }, act, { deadlineMs: CALL_MS });
      history.end(begun, 'ok', { ...ref, token, fresh });
      return true;
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      // It was done, whatever became of its confirmation; or somebody else may be at it.
      const unknown = acted || error instanceof EffectInDoubtError;
      history.end(
        begun,
        unknown ? 'info' : type,
        { ...ref, token, acted },
        error instanceof EffectInDoubtError ? 'IN_DOUBT' : reason,
      );
      return false;
    }
  };

  /** Begins the phase that is next; false: it cannot be begun now. */
  const enter = async (worker: Worker): Promise<boolean> => {
    const loop = await client.getLoop(worker.loop, { deadlineMs: CALL_MS });
    const ref = { loop: worker.loop, g: loop.loop.g, phase: PHASE_NAME };
    const [run] = loop.loop.runs;
    // What is running is of this process's former life; the cluster has to find that out.
    if (run?.state === 'RUNNING' || run?.state === 'FAILED_PARTIAL') return false;
    const { token } = await worker.session.beginPhase(ref, { deadlineMs: CALL_MS });
    Object.assign(worker, { ref, token });
    return true;
  };

  const work = async (actor: Actor, worker: Worker): Promise<void> => {
    if (!(await enter(worker))) {
      await delay(250);
      return;
    }
    const { ref, token, session } = worker;
    if (ref === null) return;
    const count = random.between(1, EFFECTS_MAX);
    for (let i = 0; i < count; i += 1) {
      const key = `e${nextKey++}`;
      const again = random.chance(TWICE) ? random.between(0, TWICE_LATER_MS) : null;
      const [did] = await Promise.all([
        effect(session, actor.process, ref, token, key),
        again === null ? true : delay(again).then(() => effect(second, `${actor.process}-again`, ref, token, key)),
      ]);
      if (!did) {
        actor.renumber();
        return;
      }
      if (random.chance(DIE / EFFECTS_MAX)) return;
    }
    if (random.chance(DIE)) return;
    await session.commitPhase(ref, token, { deadlineMs: CALL_MS });
  };

  return {
    step: async (actor) => {
      const worker = workers[actor.thread];
      if (worker === undefined) return;
      // Beginning and committing are no operations of this history: what counts is what the server saw.
      await work(actor, worker).catch((error: unknown) => {
        if (mutationFailure(error).error.startsWith('Error')) throw error;
      });
    },
    finish: async () => {
      await recovered(client, RECOVERED_MS);
      await writeLedger(context, client, workers);
      await server.stop();
    },
  };
}

/** No recovery is open any more. */
async function recovered(client: QuorateClient, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const open: string[] = [];
    for await (const { ref, state } of client.recoveries.list({ openOnly: true, deadlineMs: PATIENT_MS }))
      open.push(`${ref.loop}/${ref.g} ${state}`);
    if (open.length === 0) return;
    if (performance.now() > endMs)
      throw new QuorateError({ reason: 'UNAVAILABLE', message: `recoveries are still open: ${open.join(', ')}` });
    await delay(500);
  }
}

/** What the ledger says of every effect, as the last operations of the history. */
async function writeLedger(
  { history }: WorkloadContext,
  client: QuorateClient,
  workers: readonly Worker[],
): Promise<void> {
  for (const { loop } of workers) {
    const last = (await client.getLoop(loop, { deadlineMs: PATIENT_MS })).loop.g;
    for (let g = 1; g <= last; g += 1) {
      const ref = { loop, g, phase: PHASE_NAME };
      for await (const { key, state, attempt } of client.ledger.list(ref, { deadlineMs: PATIENT_MS }))
        history.note('ledger', 'ok', 'ledger', key, { ...ref, attempt, state });
    }
  }
}

export const EFFECTS: Workload = {
  name: 'effects',
  describe: 'effects at a server that counts, processes that die half-way, and what the cluster undoes',
  threads: THREADS,
  setUp,
};
