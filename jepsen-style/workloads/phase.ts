/**
 * Loops that go round through their phases while several processes compete for each step: they begin what is next, take it over from
 * each other, commit with tokens that may be stale, and now and then try what the barrier forbids.
 */
import { type Loop, type PhaseRef, QuorateError, type Session } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 3;
const LOOPS = 2;
const PLAN = 'chaos-phases';
const PHASES = ['PREPARE', 'WORK', 'VERIFY'] as const;
const PRIOR_MS = 24 * 60 * 60 * 1000;
/** A run that somebody else has begun is taken over rather than left alone. */
const TAKE_OVER = 0.25;
/** Something that must be refused is tried instead of what is next. */
const FORBIDDEN = 0.15;
/** What was begun is not committed by its process: it is said to be dead. */
const ABANDON = 0.15;

interface Step {
  readonly ref: PhaseRef;
  /** Attempt that is taken over; 0: none. */
  readonly supersede: number;
}

/** What is next in the round; null: another process is at it. */
function nextStep(loop: Loop, takeOver: boolean): Step | null {
  const open = loop.runs.find(({ state }) => state !== 'CLEAN_EXIT' && state !== 'HARD_FAILED');
  if (open === undefined) return null;
  if (open.state !== 'RUNNING') return { ref: open.ref, supersede: 0 };
  return takeOver ? { ref: open.ref, supersede: open.attempt } : null;
}

async function setUp({ history, random, connect }: WorkloadContext): Promise<Running> {
  const client = await connect('phase');
  const phases = PHASES.map((name) => ({ name, priorMs: PRIOR_MS, slaMs: 0 }));
  await client.withoutSession.registerPlan({ name: PLAN, phases }, { deadlineMs: PATIENT_MS });
  const loops = Array.from({ length: LOOPS }, (_, i) => `phases-${i}`);
  for (const loop of loops) {
    await client.withoutSession.createLoop(loop, { plan: PLAN, deadlineMs: PATIENT_MS });
    history.note('setup', 'info', 'plan', loop, [...PHASES]);
  }
  const sessions: Session[] = [];
  for (let i = 0; i < THREADS; i += 1) sessions.push(await client.openSession({ ttlMs: SESSION_MS }));

  const begin = async (actor: Actor, { ref, supersede }: Step): Promise<number | null> => {
    const session = sessions[actor.thread];
    if (session === undefined) return null;
    const begun = history.invoke(actor.process, 'begin', ref.loop, { ...ref, supersede });
    try {
      const { attempt, token } = await session.beginPhase(ref, { supersedeAttempt: supersede, deadlineMs: CALL_MS });
      history.end(begun, 'ok', { ...ref, attempt, token });
      return token;
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
      return null;
    }
  };

  const commit = async (actor: Actor, ref: PhaseRef, token: number): Promise<void> => {
    const session = sessions[actor.thread];
    if (session === undefined) return;
    const begun = history.invoke(actor.process, 'commit', ref.loop, { ...ref, token });
    try {
      const { nextG } = await session.commitPhase(ref, token, { deadlineMs: CALL_MS });
      history.end(begun, 'ok', { ...ref, token, nextG });
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
    }
  };

  const look = (loop: string): Promise<Loop | null> =>
    client.getLoop(loop, { deadlineMs: CALL_MS }).then(
      (answer) => answer.loop,
      (error: unknown) => {
        if (error instanceof QuorateError) return null;
        throw error;
      },
    );

  return {
    step: async (actor) => {
      const loop = await look(random.pick(loops));
      if (loop === null) return;
      if (random.chance(FORBIDDEN)) {
        // The next round, or a phase of this one out of turn: whether it is refused is for the checker to say.
        const g = loop.g + random.between(0, 1);
        await begin(actor, { ref: { loop: loop.name, g, phase: random.pick(PHASES) }, supersede: 0 });
        return;
      }
      const step = nextStep(loop, random.chance(TAKE_OVER));
      if (step === null) return;
      const token = await begin(actor, step);
      if (token !== null && !random.chance(ABANDON)) await commit(actor, step.ref, token);
    },
    finish: async (actor) => {
      for (const loop of loops) {
        const begun = history.invoke(actor.process, 'read', loop, null);
        const { g, runs } = (await client.getLoop(loop, { deadlineMs: PATIENT_MS })).loop;
        history.end(begun, 'ok', {
          g,
          runs: runs.map(({ ref, state, attempt }) => ({ phase: ref.phase, state, attempt })),
        });
      }
    },
  };
}

export const PHASE: Workload = {
  name: 'phase',
  describe: 'loops whose phases several processes compete for, with takeovers, stale tokens and forbidden steps',
  threads: THREADS,
  setUp,
};
