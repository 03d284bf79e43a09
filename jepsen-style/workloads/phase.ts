/**
 * Loops that go round through their phases while several processes compete for each step: they begin what is next, take it over from
 * each other, commit with tokens that may be stale, and now and then try what the barrier forbids.
 */
import { type Loop, type PhaseRef, type QuorateClient, QuorateError, type Session } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 3;
const LOOPS = 2;
const PLAN = 'chaos-phases';
/** In the order of the plan. */
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

interface Held {
  readonly attempt: number;
  readonly token: number;
}

/** What is next in the round; null: another process is at it. */
function nextStep(loop: Loop, takeOver: boolean): Step | null {
  const open = loop.runs.find(({ state }) => state !== 'CLEAN_EXIT' && state !== 'HARD_FAILED');
  if (open === undefined) return null;
  if (open.state !== 'RUNNING') return { ref: open.ref, supersede: 0 };
  return takeOver ? { ref: open.ref, supersede: open.attempt } : null;
}

class Rounds implements Running {
  readonly #context: WorkloadContext;
  readonly #client: QuorateClient;
  readonly #sessions: Session[] = [];
  readonly #loops = Array.from({ length: LOOPS }, (_, i) => `phases-${i}`);

  constructor(context: WorkloadContext, client: QuorateClient) {
    this.#context = context;
    this.#client = client;
  }

  async open(): Promise<void> {
    const { withoutSession } = this.#client;
    const phases = PHASES.map((name) => ({ name, priorMs: PRIOR_MS, slaMs: 0 }));
    await withoutSession.registerPlan({ name: PLAN, phases }, { deadlineMs: PATIENT_MS });
    for (const loop of this.#loops) {
      await withoutSession.createLoop(loop, { plan: PLAN, deadlineMs: PATIENT_MS });
      this.#context.history.note('setup', 'info', 'plan', loop, [...PHASES]);
    }
    for (let i = 0; i < THREADS; i += 1) this.#sessions.push(await this.#client.openSession({ ttlMs: SESSION_MS }));
  }

  async step(actor: Actor): Promise<void> {
    const { random } = this.#context;
    const session = this.#sessions[actor.thread];
    const loop = await this.#look(random.pick(this.#loops));
    if (loop === null || session === undefined) return;
    if (random.chance(FORBIDDEN)) {
      // The next round, or a phase of this one out of turn: whether it is refused is for the checker to say.
      const g = loop.g + random.between(0, 1);
      await this.#begin(actor, session, { ref: { loop: loop.name, g, phase: random.pick(PHASES) }, supersede: 0 });
      return;
    }
    const step = nextStep(loop, random.chance(TAKE_OVER));
    if (step === null) return;
    const held = await this.#begin(actor, session, step);
    if (held !== null && !random.chance(ABANDON)) await this.#commit(actor, session, step.ref, held);
  }

  async finish(actor: Actor): Promise<void> {
    const { history } = this.#context;
    for (const loop of this.#loops) {
      const begun = history.invoke(actor.process, 'read', loop, null);
      const { g, runs } = (await this.#client.getLoop(loop, { deadlineMs: PATIENT_MS })).loop;
      const seen = runs.map(({ ref, state, attempt }) => ({ phase: ref.phase, state, attempt }));
      history.end(begun, 'ok', { g, runs: seen });
    }
  }

  async #look(loop: string): Promise<Loop | null> {
    try {
      return (await this.#client.getLoop(loop, { deadlineMs: CALL_MS })).loop;
    } catch (error) {
      if (error instanceof QuorateError) return null;
      throw error;
    }
  }

  async #begin(actor: Actor, session: Session, { ref, supersede }: Step): Promise<Held | null> {
    const { history } = this.#context;
    const begun = history.invoke(actor.process, 'begin', ref.loop, { ...ref, supersede });
    try {
      const options = { supersedeAttempt: supersede, deadlineMs: CALL_MS };
      const { attempt, token, revision } = await session.beginPhase(ref, options);
      history.end(begun, 'ok', { ...ref, attempt, token, revision });
      return { attempt, token };
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
      return null;
    }
  }

  async #commit(actor: Actor, session: Session, ref: PhaseRef, held: Held): Promise<void> {
    const { history } = this.#context;
    const begun = history.invoke(actor.process, 'commit', ref.loop, { ...ref, ...held });
    try {
      const { nextG, revision } = await session.commitPhase(ref, held.token, { deadlineMs: CALL_MS });
      history.end(begun, 'ok', { ...ref, ...held, nextG, revision });
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
    }
  }
}

export const PHASE: Workload = {
  name: 'phase',
  describe: 'loops whose phases several processes compete for, with takeovers, stale tokens and forbidden steps',
  threads: THREADS,
  setUp: async (context) => {
    const rounds = new Rounds(context, await context.connect('phase'));
    await rounds.open();
    return rounds;
  },
};
