/**
 * A4: "event-loop stalls and slow disks do not cause needless elections", with real processes: a follower that stands still for
 * longer than any election timeout goes on in the same term, under the same leader. (A leader that stands still for so long is
 * rightly replaced.) Slow disks are in test/sim/stalls, the rule about ticks in test/node/tick.test.ts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import type { StreamStatus } from '../../src/client/types.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import { type DevCluster, memberOf, startDevCluster } from '../../src/server/dev.ts';
import { cliPath } from '../support/build.ts';
import { SteadyLoad } from './steady-load.ts';
import { waitFor } from './wait.ts';

/** More than the longest election timeout, which is 2 × electionTicks. */
const STALL_MS = 1_000;
const CLIENTS = 4;
const WAIT_MS_MAX = 20_000;

let folder: string;
let cluster: DevCluster;
let client: QuorateClient;
let load: SteadyLoad;

beforeAll(async () => {
  expect(STALL_MS).toBeGreaterThan(2 * DEFAULT_MEMBER_SETTINGS.electionTicks * DEFAULT_MEMBER_SETTINGS.tickMs);
  folder = await mkdtemp(join(tmpdir(), 'quorate-stalls-'));
  cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'operator' });
  load = await SteadyLoad.start(cluster.endpoints, CLIENTS);
});

afterAll(async () => {
  // A process that stands still would not hear that it is to stop.
  for (const member of cluster?.members ?? []) member.kill('SIGCONT');
  await load?.close();
  await client?.close();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function statuses(): Promise<ReadonlyMap<string, StreamStatus>> {
  const answers = await client.status({ deadlineMs: 2_000 });
  return new Map(
    answers.flatMap((one) => {
      const stream = 'status' in one ? one.status.streams[0] : undefined;
      return 'status' in one && stream !== undefined ? [[one.status.memberId, stream] as const] : [];
    }),
  );
}

it('A4: followers that stand still for a second, one after the other: same term, same leader', async () => {
  const leader = await cluster.waitForLeader();
  const before = (await statuses()).get(leader.id);
  const followers = cluster.members.filter(({ id }) => id !== leader.id).map(({ id }) => id);
  // Twice each: the second time the clock has been behind before.
  for (const id of [...followers, ...followers]) {
    const written = load.count;
    memberOf(cluster, id).kill('SIGSTOP');
    await delay(STALL_MS);
    // The others went on without it.
    expect(load.count).toBeGreaterThan(written);
    memberOf(cluster, id).kill('SIGCONT');
    const committed = (await statuses()).get(leader.id)?.commitIndex ?? Number.POSITIVE_INFINITY;
    const back = async (): Promise<boolean> => ((await statuses()).get(id)?.appliedIndex ?? 0) >= committed;
    await waitFor(back, WAIT_MS_MAX, `${id} has what was written while it stood still`);
  }
  const after = await statuses();
  expect([...after.values()].map(({ term, leaderId }) => ({ term, leaderId }))).toEqual(
    Array.from({ length: 3 }, () => ({ term: before?.term, leaderId: leader.id })),
  );
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(await load.lost()).toEqual([]);
});
