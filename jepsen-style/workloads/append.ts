/** Lists that are appended to, on documents: each append reads the list and writes it with one element more, if nobody was faster. */
import { type Documents, QuorateError } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure, readFailure } from '../record/outcome.ts';
import { CALL_MS, PATIENT_MS, type Running, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 3;
const LOOP = 'append';
const KEYS = 2;
const ELEMENTS_MAX = 100;
const READ_SHARE = 0.4;

interface List {
  readonly version: number;
  readonly elements: readonly number[];
}

async function fetchList(documents: Pick<Documents, 'get'>, key: string, deadlineMs: number): Promise<List> {
  try {
    const { version, content } = await documents.get(LOOP, key, { deadlineMs });
    return { version, elements: JSON.parse(content) as number[] };
  } catch (error) {
    if (error instanceof QuorateError && error.reason === 'DOCUMENT_NOT_FOUND') return { version: 0, elements: [] };
    throw error;
  }
}

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, pin, connect, endpoints } = context;
  const client = await connect('append');
  await client.withoutSession.createLoop(LOOP, { deadlineMs: PATIENT_MS });
  const pinned = Array.from({ length: THREADS }, (_, i) => pin((i + 1) % endpoints.length, `append-${i}`));
  const keys = Array.from({ length: KEYS }, (_, i) => `l${i}`);
  const full: string[] = [];
  let nextElement = 0;
  let nextKey = KEYS;

  const retire = (key: string): void => {
    const at = keys.indexOf(key);
    if (at < 0) return;
    keys[at] = `l${nextKey++}`;
    full.push(key);
  };

  const read = async (actor: Actor, key: string, deadlineMs = CALL_MS): Promise<void> => {
    const documents = deadlineMs === CALL_MS ? (pinned[actor.thread]?.documents ?? client.documents) : client.documents;
    const begun = history.invoke(actor.process, 'read', key, null);
    try {
      history.end(begun, 'ok', (await fetchList(documents, key, deadlineMs)).elements);
    } catch (error) {
      history.end(begun, 'fail', null, readFailure(error).error);
      if (deadlineMs === PATIENT_MS) throw error;
    }
  };

  const append = async (actor: Actor, key: string): Promise<void> => {
    const one = pinned[actor.thread];
    if (one === undefined) return;
    const element = nextElement++;
    const begun = history.invoke(actor.process, 'append', key, element);
    let list: List;
    try {
      list = await fetchList(one.documents, key, CALL_MS);
    } catch (error) {
      history.end(begun, 'fail', element, `before it was sent: ${readFailure(error).error}`);
      return;
    }
    try {
      const text = JSON.stringify([...list.elements, element]);
      const options = { expectedVersion: list.version, deadlineMs: CALL_MS };
      await one.mutations.documents.put(LOOP, key, text, options);
      history.end(begun, 'ok');
      if (list.elements.length + 1 >= ELEMENTS_MAX) retire(key);
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, element, reason);
      if (type === 'info') actor.renumber();
    }
  };

  return {
    step: async (actor) => {
      const key = random.pick(keys);
      await (random.chance(READ_SHARE) ? read(actor, key) : append(actor, key));
    },
    finish: async (actor) => {
      for (const key of [...full, ...keys]) await read(actor, key, PATIENT_MS);
    },
  };
}

export const APPEND: Workload = {
  name: 'append',
  describe: 'lists that grow at their end, each process at a member of its own',
  threads: THREADS,
  setUp,
};
