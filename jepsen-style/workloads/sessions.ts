/**
 * Requests of a session that are sent twice under one number, to two members at once or one after the other: both have the same
 * answer, and the request is carried out once. The request is a compare-and-set that only its own process makes, so that a second
 * execution is refused (VERSION_MISMATCH) instead of answered.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IndeterminateError, QuorateError, type Session } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure } from '../record/outcome.ts';
import type { Pinned } from './pinned.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 2;
const LOOP = 'sessions';
/** The second sending is so much later at most, milliseconds; half of them are sent at once. */
const LATER_MS = 400;
const RETRIES_MAX = 40;

/** What one sending came to: the version that was written, or why not. */
export type Sent =
  | { readonly version: number; readonly replayed: boolean }
  | { readonly error: string; readonly unknown: boolean };

interface Writer {
  session: Session;
  sequence: number;
  /** Of the document, as acknowledged. */
  version: number;
  readonly key: string;
}

async function send(one: Pinned, writer: Writer, sequence: number, version: number): Promise<Sent> {
  try {
    const mutations = one.numbered(writer.session.id, sequence);
    const options = { expectedVersion: version, deadlineMs: CALL_MS };
    const answer = await mutations.documents.put(LOOP, writer.key, String(sequence), options);
    return { version: answer.version, replayed: answer.replayed };
  } catch (error) {
    const { type, error: reason } = mutationFailure(error);
    return { error: reason, unknown: type === 'info' || error instanceof IndeterminateError };
  }
}

async function setUp(context: WorkloadContext): Promise<Running> {
  const { history, random, connect, pin, endpoints, finding } = context;
  const client = await connect('sessions');
  await client.withoutSession.createLoop(LOOP, { deadlineMs: PATIENT_MS });
  const pinned = endpoints.map((_, slot) => pin(slot, 'sessions'));
  const newSession = (): Promise<Session> => client.openSession({ ttlMs: SESSION_MS, deadlineMs: PATIENT_MS });
  const writers: Writer[] = [];
  for (let i = 0; i < THREADS; i += 1)
    writers.push({ session: await newSession(), sequence: 0, version: 0, key: `s${i}` });

  /** Sends it until every sending has an answer that says what became of it. */
  const settle = async (writer: Writer, sequence: number, version: number): Promise<readonly Sent[]> => {
    const answers: Sent[] = [];
    const twice = [random.pick(pinned), random.pick(pinned)];
    const laterMs = random.chance(0.5) ? 0 : random.between(1, LATER_MS);
    answers.push(
      ...(await Promise.all(
        twice.map(async (one, i) => {
          if (i > 0) await delay(laterMs);
          return send(one, writer, sequence, version);
        }),
      )),
    );
    for (let tries = 0; tries < RETRIES_MAX && !answers.some((one) => 'version' in one || isFinal(one)); tries += 1) {
      await delay(100);
      answers.push(await send(random.pick(pinned), writer, sequence, version));
    }
    return answers;
  };

  const write = async (actor: Actor): Promise<void> => {
    const writer = writers[actor.thread];
    if (writer === undefined) return;
    const sequence = ++writer.sequence;
    const expected = writer.version;
    const begun = history.invoke(actor.process, 'write', writer.key, { sequence, expected });
    const answers = await settle(writer, sequence, expected);
    const value = { session: writer.session.id, sequence, expected, answers };
    const problem = contradiction(answers);
    if (problem !== null)
      finding(`sessions: ${writer.key}, sequence ${sequence} of session ${writer.session.id}: ${problem}`);
    const first = answers.find((one) => 'version' in one);
    if (first !== undefined && 'version' in first) {
      writer.version = first.version;
      history.end(begun, 'ok', { ...value, version: first.version });
      return;
    }
    // Nobody else writes this document: a refusal, too, tells of a second execution. The checker looks at the answers.
    const refused = answers.find(isFinal);
    history.end(
      begun,
      refused === undefined ? 'info' : 'fail',
      value,
      refused === undefined ? 'INDETERMINATE' : errorOf(refused),
    );
    if (refused === undefined) actor.renumber();
    await restart(actor, writer);
  };

  /** What it knows is not enough to go on: a new session, and a new document. */
  const restart = async (actor: Actor, writer: Writer): Promise<void> => {
    const session = await newSession().catch((error: unknown) => {
      if (error instanceof QuorateError || error instanceof IndeterminateError) return null;
      throw error;
    });
    const replacement = {
      session: session ?? writer.session,
      sequence: session === null ? writer.sequence : 0,
      version: 0,
      key: `s${actor.process}-${writer.sequence}-${history.length}`,
    };
    writers[actor.thread] = replacement;
  };

  return { step: write, finish: async () => undefined };
}

/** A refusal by the state: the same whoever is asked, and a last word. */
function isFinal(sent: Sent): boolean {
  return 'error' in sent && FINAL.has(sent.error);
}

const FINAL: ReadonlySet<string> = new Set(['VERSION_MISMATCH', 'SESSION_EXPIRED', 'SESSION_SEQUENCE_FORGOTTEN']);

/** What is wrong with the answers to one request; null: nothing. */
export function contradiction(answers: readonly Sent[]): string | null {
  const versions = new Set(answers.flatMap((one) => ('version' in one ? [one.version] : [])));
  if (versions.size > 1) return `two answers: versions ${[...versions].join(' and ')}`;
  const again = answers.some((one) => 'error' in one && one.error === 'VERSION_MISMATCH');
  return again ? 'carried out a second time: nobody else writes this document' : null;
}

function errorOf(sent: Sent): string {
  return 'error' in sent ? sent.error : '';
}

export const SESSIONS: Workload = {
  name: 'sessions',
  describe: 'every request is sent twice under one number, to members by chance',
  threads: THREADS,
  setUp,
};
