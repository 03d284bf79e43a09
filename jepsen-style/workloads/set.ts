/** A set that only grows, on the sub-steps of a phase that stays open: what was added and acknowledged is there for ever. */
import { type PhaseRef, type QuorateClient, QuorateError, type Session } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure, readFailure } from '../record/outcome.ts';
import { LONG_PLAN, openLongPhase, registerLongPlan } from './long-phase.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 2;
/** Elements of one set; then the next one is begun. */
const ELEMENTS_MAX = 400;
const READ_SHARE = 0.1;

/** A set in use; its loop and phase. */
interface GrowingSet {
  readonly ref: PhaseRef;
  readonly token: number;
}

async function elementsOf(client: QuorateClient, ref: PhaseRef, deadlineMs: number): Promise<readonly number[]> {
  const found: number[] = [];
  for await (const { id } of client.listSubSteps(ref, { deadlineMs })) found.push(Number(id.slice(1)));
  return found.sort((a, b) => a - b);
}

async function setUp({ history, random, connect }: WorkloadContext): Promise<Running> {
  const client = await connect('set');
  await registerLongPlan(client);
  const sessions = await Promise.all(Array.from({ length: THREADS }, () => client.openSession({ ttlMs: SESSION_MS })));
  const all: GrowingSet[] = [];
  const open = async (session: Session): Promise<void> => {
    all.push(await openLongPhase(session, `set-${all.length}`));
  };
  const [first] = sessions;
  if (first === undefined) throw new Error('there is a session');
  await open(first);
  let next = 0;
  let opening: Promise<void> | null = null;

  const add = async (actor: Actor, session: Session, { ref, token }: GrowingSet): Promise<void> => {
    const element = next++;
    const begun = history.invoke(actor.process, 'add', ref.loop, element);
    try {
      const report = { subSteps: [{ id: `e${element}`, result: '' }] };
      await session.reportProgress(ref, token, report, { deadlineMs: CALL_MS });
      history.end(begun, 'ok');
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, element, reason);
      if (type === 'info') actor.renumber();
    }
  };

  const read = async (actor: Actor, { ref }: GrowingSet, deadlineMs = CALL_MS): Promise<void> => {
    const begun = history.invoke(actor.process, 'read', ref.loop, null);
    try {
      history.end(begun, 'ok', await elementsOf(client, ref, deadlineMs));
    } catch (error) {
      history.end(begun, 'fail', null, readFailure(error).error);
      if (deadlineMs === PATIENT_MS) throw error;
    }
  };

  return {
    step: async (actor) => {
      const session = sessions[actor.thread] ?? first;
      if (next >= all.length * ELEMENTS_MAX && opening === null) {
        // One opens it; whoever comes meanwhile goes on with the old one. A set that could not be opened is tried again later.
        opening = open(session).catch((error: unknown) => {
          if (!(error instanceof QuorateError)) throw error;
        });
        await opening.catch(() => undefined);
        opening = null;
      }
      const set = all.at(-1);
      if (set === undefined) return;
      await (random.chance(READ_SHARE) ? read(actor, set) : add(actor, session, set));
    },
    finish: async (actor) => {
      for (const set of all) await read(actor, set, PATIENT_MS);
    },
  };
}

export const SET: Workload = {
  name: 'set',
  describe: `elements are added and never removed (sub-steps of a phase with the plan ${LONG_PLAN})`,
  threads: THREADS,
  setUp,
};
