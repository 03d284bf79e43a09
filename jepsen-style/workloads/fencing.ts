/**
 * A lock that can be taken over, on a phase run that is superseded again and again: the fencing token of the last one who took it is
 * the only one that counts, and tokens rise for ever.
 */
import type { PhaseRef } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import { LONG_PHASE, LONG_PLAN, registerLongPlan } from './long-phase.ts';
import { CALL_MS, PATIENT_MS, type Running, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 3;
const LOCKS = 2;
/** How often the holder is let alone rather than relieved. */
const USE_SHARE = 0.7;

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, connect, pin, endpoints } = context;
  const client = await connect('fencing');
  await registerLongPlan(client);
  const pinned = Array.from({ length: THREADS }, (_, i) => pin((i + 2) % endpoints.length, `fencing-${i}`));
  const locks = Array.from({ length: LOCKS }, (_, i) => `lock-${i}`);
  for (const loop of locks) await client.withoutSession.createLoop(loop, { plan: LONG_PLAN, deadlineMs: PATIENT_MS });
  /** Token that a process holds, or held: it does not know better. */
  const held = new Map<string, number>();

  const acquire = async (actor: Actor, lock: string): Promise<void> => {
    const one = pinned[actor.thread];
    if (one === undefined) return;
    const ref: PhaseRef = { loop: lock, g: 1, phase: LONG_PHASE };
    const attempt = await client.getPhaseRun(ref, { deadlineMs: CALL_MS }).then(
      ({ run }) => run.attempt,
      () => null,
    );
    if (attempt === null) return;
    const begun = history.invoke(actor.process, 'acquire', lock, null);
    try {
      const { token } = await one.mutations.beginPhase(ref, { supersedeAttempt: attempt, deadlineMs: CALL_MS });
      held.set(`${actor.thread}/${lock}`, token);
      history.end(begun, 'ok', { token });
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, null, reason);
      if (type === 'info') actor.renumber();
    }
  };

  const use = async (actor: Actor, lock: string, token: number): Promise<void> => {
    const one = pinned[actor.thread];
    if (one === undefined) return;
    const begun = history.invoke(actor.process, 'use', lock, { token });
    try {
      const ref: PhaseRef = { loop: lock, g: 1, phase: LONG_PHASE };
      await one.mutations.reportProgress(ref, token, { note: String(token) }, { deadlineMs: CALL_MS });
      history.end(begun, 'ok');
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, { token }, reason);
      if (type === 'info') actor.renumber();
    }
  };

  return {
    step: async (actor) => {
      const lock = random.pick(locks);
      const token = held.get(`${actor.thread}/${lock}`);
      await (token !== undefined && random.chance(USE_SHARE) ? use(actor, lock, token) : acquire(actor, lock));
    },
    finish: async () => undefined,
  };
}

export const FENCING: Workload = {
  name: 'fencing',
  describe: 'a lock that is taken over, and holders that do not know that they were relieved',
  threads: THREADS,
  setUp,
};
