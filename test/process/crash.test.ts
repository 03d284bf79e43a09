/**
 * Issue 2, done when 4: while 32 clients write phase records, all three members get SIGKILL at a random moment, again and
 * again. Afterwards every acknowledged record is there, and none is there twice. CRASH_KILLS=20 for 20,000 records.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient, type Session } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { cliPath } from '../support/build.ts';
import { settled, waitFor } from './wait.ts';

const CLIENTS = 32;
const KILLS = Number(process.env.CRASH_KILLS ?? 5);
const RECORDS = 1_000 * KILLS;
const REPORTS_PER_RUN = 20;
const PHASES = ['ANALYZE', 'BLUEPRINT', 'CONSTRUCT', 'VALIDATE', 'IDLE'];
/** A call outlives several restarts of the whole cluster. */
const DEADLINE_MS = 60_000;

/** What a client was told: the trace id names the record, and its events carry it. */
interface Acknowledged {
  readonly traceId: string;
  readonly revision: number;
  readonly kind: 'phase_transition.started' | 'phase_transition.progress' | 'phase_transition.finished';
}

class Writer {
  readonly acknowledged: Acknowledged[] = [];
  readonly #name: string;
  readonly #session: Session;
  readonly #enough: () => boolean;
  #next = 0;

  constructor(name: string, session: Session, enough: () => boolean) {
    this.#name = name;
    this.#session = session;
    this.#enough = enough;
  }

  /** Rounds of a loop of its own, until there are enough records. */
  async run(): Promise<void> {
    await this.#session.createLoop(this.#name, { deadlineMs: DEADLINE_MS });
    for (let g = 1; !this.#enough(); g += 1) {
      for (const phase of PHASES) await this.#phase({ loop: this.#name, g, phase });
    }
  }

  async #phase(ref: { loop: string; g: number; phase: string }): Promise<void> {
    const begun = await this.#record('phase_transition.started', (options) => this.#session.beginPhase(ref, options));
    expect(begun.attempt).toBe(1);
    for (let i = 0; i < REPORTS_PER_RUN; i += 1) {
      const id = `${i}`;
      const answer = await this.#record('phase_transition.progress', (options) =>
        this.#session.reportProgress(ref, begun.token, { subSteps: [{ id, result: id }] }, options),
      );
      expect(answer.subStepsKnown).toEqual([]);
    }
    await this.#record('phase_transition.finished', (options) => this.#session.commitPhase(ref, begun.token, options));
  }

  async #record<A extends { readonly revision: number }>(
    kind: Acknowledged['kind'],
    call: (options: { traceId: string; deadlineMs: number }) => Promise<A>,
  ): Promise<A> {
    const traceId = `${this.#name}.${this.#next++}`;
    const answer = await call({ traceId, deadlineMs: DEADLINE_MS });
    this.acknowledged.push({ traceId, revision: answer.revision, kind });
    return answer;
  }
}

/** Every event of the history, by trace id. */
async function eventsByTrace(client: QuorateClient, until: number): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const stop = new AbortController();
  const watch = client.watch({
    fromRevision: 1,
    signal: stop.signal,
    onRevision: (revision) => {
      if (revision >= until) stop.abort();
    },
  });
  for await (const event of watch) {
    // The commit that closes a round is one record, and makes the next round ready as well.
    if (event.traceId === '' || !event.kind.startsWith('phase_transition.')) continue;
    const known = found.get(event.traceId) ?? [];
    known.push(`${event.kind}@${event.revision}`);
    found.set(event.traceId, known);
  }
  return found;
}

describe('W2, R6: SIGKILL of all members', () => {
  let folder: string;
  let cluster: DevCluster;
  const clients: QuorateClient[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-crash-'));
    cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath });
  });

  afterAll(async () => {
    await settled(clients.map((client) => client.close()));
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('loses no acknowledged record and doubles none, many times over', { timeout: 300_000 }, async () => {
    const writers: Writer[] = [];
    const count = (): number => writers.reduce((sum, writer) => sum + writer.acknowledged.length, 0);
    let kills = 0;
    const enough = (): boolean => count() >= RECORDS && kills >= KILLS;
    for (let i = 0; i < CLIENTS; i += 1) {
      const client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: `client-${i}` });
      clients.push(client);
      writers.push(new Writer(`crash-${i}`, await client.openSession({ ttlMs: 600_000 }), enough));
    }
    const work = Promise.all(writers.map((writer) => writer.run()));
    let failure: unknown = null;
    work.catch((error: unknown) => {
      failure = error;
    });
    while (kills < KILLS) {
      // A random amount of work after the last restart, so that the kill falls anywhere: in an election, in a batch.
      const target = Math.min(
        count() + Math.floor((Math.random() * 2 * RECORDS) / KILLS),
        (RECORDS * (kills + 1)) / KILLS,
      );
      await waitFor(() => failure !== null || count() >= target, 60_000, 'the writers make progress');
      if (failure !== null) throw failure;
      for (const member of cluster.members) member.kill('SIGKILL');
      await Promise.all(cluster.members.map((member) => member.exited));
      kills += 1;
      await Promise.all(cluster.members.map((member) => member.start()));
    }
    await work;

    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    expect(acknowledged.length).toBeGreaterThanOrEqual(RECORDS);
    const last = Math.max(...acknowledged.map((record) => record.revision));
    const reader = clients[0];
    if (reader === undefined) throw new Error('there is a client');
    const events = await eventsByTrace(reader, last);
    const wrong = acknowledged.filter(
      ({ traceId, kind, revision }) => events.get(traceId)?.join() !== `${kind}@${revision}`,
    );
    expect(wrong.slice(0, 5)).toEqual([]);
    // Nothing but what was acknowledged: every unknown outcome was settled by a retry in its session.
    expect(events.size).toBe(acknowledged.length);
    await waitFor(async () => (await stateHashes(reader)).size === 1, 20_000, 'all members agree on the state');
    console.log(`crash: ${acknowledged.length} records, ${kills} times SIGKILL of all members, none lost, none twice`);
  });
});

/** Distinct `appliedIndex:stateHash` of the members that answer; three equal ones are one. */
async function stateHashes(client: QuorateClient): Promise<Set<string>> {
  const answers = await client.status();
  return new Set(
    answers.map((answer) =>
      'status' in answer
        ? answer.status.streams.map((stream) => `${stream.appliedIndex}:${stream.stateHash}`).join()
        : `${answer.endpoint}: ${answer.error}`,
    ),
  );
}
