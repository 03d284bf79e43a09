/**
 * Issue 6: a plain loop of promises against three members while leaders are killed, and stopped in good order. In a session each write is
 * carried out once; without one, what is said to be done is done, and what is said not to be is not.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { IndeterminateError, QuorateClient } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { cliPath } from '../support/build.ts';
import { waitFor } from './wait.ts';

const WRITES = 3_000;
const SESSIONS = 8;
/** A call outlives the change of leaders. */
const DEADLINE_MS = 60_000;
/** Feature level from which on there are documents. */
const DOCUMENT_LEVEL = 3;
const SIGNALS = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM'] as const;

let folder: string;
let cluster: DevCluster;
let client: QuorateClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-pipeline-'));
  cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'pipeline', deadlineMs: DEADLINE_MS });
  await waitFor(
    async () => (await client.featureLevel()).level >= DOCUMENT_LEVEL,
    DEADLINE_MS,
    'members know documents',
  );
});

afterAll(async () => {
  await client?.close();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Ends who leads whenever another part of the writes is over. */
async function endLeaders(done: () => number): Promise<void> {
  for (const [i, signal] of SIGNALS.entries()) {
    const target = (WRITES * (i + 1)) / (SIGNALS.length + 2);
    await waitFor(() => done() >= target, DEADLINE_MS, 'writes are carried out');
    const leader = await cluster.waitForLeader();
    leader.kill(signal);
    await leader.exited;
    leader.start();
  }
}

/** Versions of all documents of a loop. */
async function versionsOf(loop: string): Promise<Map<string, number>> {
  const versions = new Map<string, number>();
  for await (const { name, version } of client.documents.list(loop)) versions.set(name, version);
  return versions;
}

it('in sessions: every write is carried out once', async () => {
  await client.withoutSession.createLoop('once');
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => client.openSession({ ttlMs: 600_000 })));
  let done = 0;
  const puts = Array.from({ length: WRITES }, async (_, i) => {
    // There must be none: a second time would be refused.
    const answer = await sessions[i % SESSIONS]?.documents.put('once', `d${i}`, `${i}`);
    done += 1;
    return answer?.version;
  });
  const [versions] = await Promise.all([Promise.all(puts), endLeaders(() => done)]);
  expect(new Set(versions)).toEqual(new Set([1]));
  const stored = await versionsOf('once');
  expect(stored.size).toBe(WRITES);
  expect(new Set(stored.values())).toEqual(new Set([1]));
  await Promise.all(sessions.map((session) => session.close()));
});

it('without a session: what is said of a write is so', async () => {
  await client.withoutSession.createLoop('plain');
  let done = 0;
  const puts = Array.from({ length: WRITES }, (_, i) =>
    client.documents.put('plain', `d${i}`, `${i}`).finally(() => {
      done += 1;
    }),
  );
  const [outcomes] = await Promise.all([Promise.allSettled(puts), endLeaders(() => done)]);
  const stored = await versionsOf('plain');
  let open = 0;
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') expect(stored.get(`d${i}`)).toBe(1);
    else if (outcome.reason instanceof IndeterminateError) open += 1;
    else expect(stored.has(`d${i}`)).toBe(false);
  }
  // What was under way when a leader was lost, and no more.
  expect(open).toBeLessThan(WRITES / 2);
  console.log(
    `pipelines: ${WRITES} writes without a session, ${SIGNALS.length} leaders ended, ${open} outcomes unknown`,
  );
});
