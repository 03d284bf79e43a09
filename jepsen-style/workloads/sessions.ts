/**
 * Requests of a session that are sent twice under one number, to two members at once or one after the other: both have the same
 * answer, and the request is carried out once. The request is a compare-and-set that only its own process makes, so that a second
 * execution is refused (VERSION_MISMATCH) instead of answered.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { IndeterminateError, type QuorateClient, QuorateError, type Session } from '../../src/client/client.ts';
import type { Actor } from '../record/history.ts';
import { mutationFailure, readFailure } from '../record/outcome.ts';
import type { Pinned } from './pinned.ts';
import { CALL_MS, PATIENT_MS, type Running, SESSION_MS, type Workload, type WorkloadContext } from './types.ts';

const THREADS = 2;
const LOOP = 'sessions';
/** The second sending is so much later at most, milliseconds; half of them are sent at once. */
const LATER_MS = 400;
const RETRIES_MAX = 40;
const RETRY_MS = 100;
/** Requests on one document; then a new one. */
const REQUESTS_MAX = 200;

/** What one sending came to: the version that was written, or why not. */
export type Sent = { readonly version: number; readonly replayed: boolean } | { readonly error: string };

interface Writer {
  session: Session;
  sequence: number;
  /** Of the document, as acknowledged. */
  version: number;
  key: string;
}

/** Refusals by the state: the same whoever is asked, and a last word. */
const FINAL: ReadonlySet<string> = new Set(['VERSION_MISMATCH', 'SESSION_EXPIRED', 'SESSION_SEQUENCE_FORGOTTEN']);

/** What is wrong with the answers to one request; null: nothing. */
export function contradiction(answers: readonly Sent[]): string | null {
  const versions = new Set(answers.flatMap((one) => ('version' in one ? [one.version] : [])));
  if (versions.size > 1) return `two answers: versions ${[...versions].join(' and ')}`;
  const again = answers.some((one) => 'error' in one && one.error === 'VERSION_MISMATCH');
  return again ? 'carried out a second time: nobody else writes this document' : null;
}

function isLastWord(sent: Sent): boolean {
  return 'version' in sent || FINAL.has(sent.error);
}

class Senders implements Running {
  readonly #context: WorkloadContext;
  readonly #client: QuorateClient;
  readonly #pinned: readonly Pinned[];
  readonly #writers: Writer[] = [];
  readonly #keys: string[] = [];

  constructor(context: WorkloadContext, client: QuorateClient) {
    this.#context = context;
    this.#client = client;
    this.#pinned = context.endpoints.map((_, slot) => context.pin(slot, 'sessions'));
  }

  async open(): Promise<void> {
    await this.#client.withoutSession.createLoop(LOOP, { deadlineMs: PATIENT_MS });
    for (let i = 0; i < THREADS; i += 1) {
      const session = await this.#newSession();
      this.#writers.push({ session, sequence: 0, version: 0, key: this.#newKey() });
    }
  }

  async step(actor: Actor): Promise<void> {
    const writer = this.#writers[actor.thread];
    if (writer === undefined) return;
    const { finding } = this.#context;
    writer.sequence += 1;
    const answers = await this.#sendUntilKnown(actor, writer);
    const problem = contradiction(answers);
    const name = `sequence ${writer.sequence} of session ${writer.session.id}, document ${writer.key}`;
    if (problem !== null) finding(`sessions: ${name}: ${problem}`);
    const first = answers.find((one) => 'version' in one);
    if (first !== undefined && 'version' in first) writer.version = first.version;
    if (first === undefined || writer.sequence >= REQUESTS_MAX) await this.#startAfresh(writer);
  }

  /** Every document says how many requests were carried out: each writes a version. */
  async finish(actor: Actor): Promise<void> {
    const { history } = this.#context;
    for (const key of this.#keys) {
      const begun = history.invoke(actor.process, 'count', key, null);
      try {
        const { version } = await this.#client.documents.get(LOOP, key, { deadlineMs: PATIENT_MS });
        history.end(begun, 'ok', version);
      } catch (error) {
        const { type, error: reason } = readFailure(error);
        if (reason === 'DOCUMENT_NOT_FOUND') history.end(begun, 'ok', 0);
        else history.end(begun, type, null, reason);
      }
    }
  }

  /** At least twice, and until one sending has an answer that says what became of the request. */
  async #sendUntilKnown(actor: Actor, writer: Writer): Promise<readonly Sent[]> {
    const { random } = this.#context;
    const laterMs = random.chance(0.5) ? 0 : random.between(1, LATER_MS);
    const [one, other] = [random.pick(this.#pinned), random.pick(this.#pinned)];
    const twin = `${actor.process}-twin`;
    const answers = await Promise.all([
      this.#send(actor.process, one, writer),
      delay(laterMs).then(() => this.#send(twin, other, writer)),
    ]);
    for (let tries = 0; tries < RETRIES_MAX && !answers.some(isLastWord); tries += 1) {
      await delay(RETRY_MS);
      actor.renumber();
      answers.push(await this.#send(actor.process, random.pick(this.#pinned), writer));
    }
    // What one of the two does not know may still happen.
    actor.renumber();
    return answers;
  }

  async #send(process: number | string, one: Pinned, writer: Writer): Promise<Sent> {
    const { history } = this.#context;
    const { session, sequence, version: expectedVersion, key } = writer;
    const call = { session: session.id, sequence };
    const begun = history.invoke(process, 'call', key, call);
    try {
      const mutations = one.numbered(session.id, sequence);
      const options = { expectedVersion, deadlineMs: CALL_MS };
      const { version, replayed } = await mutations.documents.put(LOOP, key, String(sequence), options);
      history.end(begun, 'ok', { ...call, answer: version });
      return { version, replayed };
    } catch (error) {
      const { type, error: reason } = mutationFailure(error);
      history.end(begun, type, call, reason);
      return { error: reason };
    }
  }

  /** What is known is not enough to go on, or the document has had its share: a new session, and a new document. */
  async #startAfresh(writer: Writer): Promise<void> {
    try {
      writer.session = await this.#newSession();
      writer.sequence = 0;
    } catch (error) {
      // The old one will do, with a number that was never used.
      if (!(error instanceof QuorateError || error instanceof IndeterminateError)) throw error;
    }
    writer.version = 0;
    writer.key = this.#newKey();
  }

  #newKey(): string {
    const key = `s${this.#keys.length}`;
    this.#keys.push(key);
    return key;
  }

  #newSession(): Promise<Session> {
    return this.#client.openSession({ ttlMs: SESSION_MS, deadlineMs: PATIENT_MS });
  }
}

export const SESSIONS: Workload = {
  name: 'sessions',
  describe: 'every request is sent twice under one number, to members by chance',
  threads: THREADS,
  setUp: async (context) => {
    const senders = new Senders(context, await context.connect('sessions'));
    await senders.open();
    return senders;
  },
};
