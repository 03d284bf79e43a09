/**
 * Registers with compare-and-set, on documents. A value is a whole number that is written once in the run, so that the version of a
 * document and its value stand for each other: `put` with the version that a value was seen with is compare-and-set on values.
 */
import { QuorateError } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure, readFailure } from '../record/outcome.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 5;
const LOOP = 'register';
/** Registers that are in use at a time. */
const KEYS = 3;
/** Then a key has had its share, and a new one takes its place: a short history is checked fast. */
const OPS_PER_KEY = 150;
const READ_SHARE = 0.35;

interface Known {
  readonly version: number;
  readonly value: number | null;
}

const NOTHING: Known = { version: 0, value: null };

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, pin, connect, endpoints } = context;
  const client = await connect('register');
  const session = await client.openSession({ ttlMs: SESSION_MS });
  await session.createLoop(LOOP, { deadlineMs: PATIENT_MS });
  // Every process has a member of its own: some of them are always on the wrong side.
  const pinned = Array.from({ length: THREADS }, (_, i) => pin(i % endpoints.length, `register-${i}`));
  const keys = Array.from({ length: KEYS }, (_, i) => ({ name: `r${i}`, ops: 0 }));
  let nextKey = KEYS;
  let nextValue = 1;
  /** What each process believes of each key. */
  const beliefs = new Map<string, Known>();

  const pickKey = (): string => {
    const slot = random.pick(keys);
    if (slot.ops >= OPS_PER_KEY) {
      slot.name = `r${nextKey++}`;
      slot.ops = 0;
    }
    slot.ops += 1;
    return slot.name;
  };

  const read = async (actor: Actor, key: string): Promise<void> => {
    const documents = pinned[actor.thread]?.documents ?? client.documents;
    const begun = history.invoke(actor.process, 'read', key, null);
    const believe = (known: Known): void => {
      beliefs.set(`${actor.thread}/${key}`, known);
      history.end(begun, 'ok', known.value);
    };
    try {
      const { version, content } = await documents.get(LOOP, key, { deadlineMs: CALL_MS });
      believe({ version, value: Number(content) });
    } catch (error) {
      if (error instanceof QuorateError && error.reason === 'DOCUMENT_NOT_FOUND') believe(NOTHING);
      else history.end(begun, 'fail', null, readFailure(error).error);
    }
  };

  const cas = async (actor: Actor, key: string): Promise<void> => {
    const { mutations } = pinned[actor.thread] ?? { mutations: client.withoutSession };
    const old = beliefs.get(`${actor.thread}/${key}`) ?? NOTHING;
    const value = nextValue++;
    const begun = history.invoke(actor.process, 'cas', key, [old.value, value]);
    try {
      const options = { expectedVersion: old.version, deadlineMs: CALL_MS };
      const { version } = await mutations.documents.put(LOOP, key, String(value), options);
      beliefs.set(`${actor.thread}/${key}`, { version, value });
      history.end(begun, 'ok', begun.value);
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      beliefs.delete(`${actor.thread}/${key}`);
      history.end(begun, type, begun.value, reason);
      if (type === 'info') actor.renumber();
    }
  };

  return {
    step: async (actor) => {
      const key = pickKey();
      // Who knows nothing better would be refused most of the time.
      const blind = !beliefs.has(`${actor.thread}/${key}`);
      await (blind || random.chance(READ_SHARE) ? read(actor, key) : cas(actor, key));
    },
    finish: async (actor) => {
      for (const { name } of keys) await read(actor, name);
    },
  };
}

export const REGISTER: Workload = {
  name: 'register',
  describe: 'compare-and-set and linearizable reads, each process at a member of its own',
  threads: THREADS,
  setUp,
};
