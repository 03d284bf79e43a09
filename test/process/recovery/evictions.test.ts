/**
 * Issue 4, done when 9 (A3): a member that is gone is evicted only when the voters left suffice. While another one may acknowledge
 * before its fsync it does not count as left: the eviction is blocked and people are paged; when it counts again the eviction goes on by
 * itself.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MemberAvailability, QuorateClient, type Session } from '../../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../../src/server/dev.ts';
import { FEATURE_LEVEL } from '../../../src/types/feature-level.ts';
import { cliPath } from '../../support/build.ts';
import { waitFor } from '../wait.ts';

const WAIT_MS = 30_000;
/** Short, and longer than a busy machine keeps a member from answering. */
const POLICY = { isolationMs: 3_000, evictionGraceMs: 500 };

let folder: string;
let cluster: DevCluster;
let client: QuorateClient;
let session: Session;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-evictions-'));
  cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'test', deadlineMs: WAIT_MS });
  session = await client.openSession({ ttlMs: 600_000 });
  await waitFor(async () => (await client.featureLevel()).level === FEATURE_LEVEL, WAIT_MS, 'the feature level rises');
}, 60_000);

afterAll(async () => {
  await client?.close();
  await cluster?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function voters(): Promise<readonly string[]> {
  const { members } = await client.members();
  return members
    .filter(({ role }) => role === 'voter')
    .map(({ memberId }) => memberId)
    .sort();
}

async function standing(id: string): Promise<MemberAvailability | null> {
  return (await client.availability()).members.find(({ memberId }) => memberId === id) ?? null;
}

async function alerts(): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of client.issues.alerts()) names.push(name);
  return names;
}

describe('A3: a member that is gone', () => {
  it('is evicted only when the voters left suffice', { timeout: 120_000 }, async () => {
    const leader = await cluster.waitForLeader();
    const [early, gone] = cluster.members.filter(({ id }) => id !== leader.id);
    if (early === undefined || gone === undefined) throw new Error('there are three members');
    await session.setPolicy(POLICY);
    await session.permitAsync(early.id);
    gone.kill('SIGKILL');
    await gone.exited;

    await waitFor(async () => (await standing(gone.id))?.evictionBlocked === true, WAIT_MS, 'the eviction is blocked');
    expect(await voters()).toHaveLength(3);
    const raised = await alerts();
    for (const name of ['permit_async', 'pending_eviction', 'eviction_blocked']) {
      expect(raised.filter((one) => one === name)).toHaveLength(1);
    }
    // Nothing stands still meanwhile.
    await session.createLoop('while-blocked');

    await session.permitAsync(early.id, { on: false });
    const left = [leader.id, early.id].sort();
    await waitFor(async () => (await voters()).join() === left.join(), WAIT_MS, `${gone.id} is evicted`);
    expect((await alerts()).filter((one) => one === 'eviction_blocked')).toHaveLength(1);
    await session.createLoop('evicted');

    // Its id and its folder do not come back: it is told so, and ends.
    gone.start();
    const { code } = await gone.exited;
    expect([code, gone.lastWords()]).toEqual([7, expect.stringContaining('removed')]);
    expect(await voters()).toEqual(left);
  });
});
