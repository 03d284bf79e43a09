/** A4: disks that take long cost time, not leaders: whoever is heard of is not replaced because it, or who hears it, waits for a disk. */
import { describe, expect, it } from 'vitest';
import { DATA_STREAM } from '../../../src/types/ids.ts';
import type { Client } from '../cluster/client.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { SCRIPT_OPTIONS } from '../crash-points/options.ts';
import type { SimOptions } from '../options.ts';

const MS = 1_000;
const SECOND = 1_000 * MS;
/** Ticks as by default: election timeouts are 400 to 800 ms. */
const TICKS = { tickMs: 20, electionTicks: 20, heartbeatTicks: 3, leaseTicks: 10, leaseMs: 160 };
/** While the disk is slow an fsync takes up to this, 300 ms on average. */
const SLOW_MAX_US = 600 * MS;
const LASTS_US = 10 * SECOND;
const LIMIT_US = 120 * SECOND;

function options(seed: number): SimOptions {
  return {
    ...SCRIPT_OPTIONS,
    seed,
    settings: { ...SCRIPT_OPTIONS.settings, ...TICKS },
    disk: { ...SCRIPT_OPTIONS.disk, slowMaxUs: SLOW_MAX_US },
    clients: { ...SCRIPT_OPTIONS.clients, timeoutUs: 20 * SECOND, watchers: 0 },
  };
}

interface Seen {
  readonly before: number;
  readonly after: number;
  readonly writes: number;
  readonly slowSyncs: number;
}

function leaderOf(cluster: Cluster): SimMember | null {
  return cluster.members.find(({ lastStatus }) => lastStatus?.role === 'leader') ?? null;
}

function highestTerm(cluster: Cluster): number {
  return Math.max(...cluster.members.map(({ lastStatus }) => lastStatus?.term ?? 0));
}

/** Elects a leader, makes the disks of some slow for seconds while plans are written, and says what became of the term. */
async function suffer(
  seed: number,
  slow: (leader: SimMember, all: readonly SimMember[]) => SimMember[],
): Promise<Seen> {
  const cluster = new Cluster(options(seed), null);
  const { world, members } = cluster;
  let seen: Seen | null = null;
  const work = async (): Promise<void> => {
    for (const member of members) member.boot();
    const client = cluster.clients[0] as Client;
    while (!(await client.put(1))) await world.sleep(20 * MS);
    const leader = leaderOf(cluster);
    if (leader === null) throw new Error('there is a leader when something is written');
    const before = highestTerm(cluster);
    const untilUs = world.nowUs + LASTS_US;
    const sufferers = slow(leader, members);
    for (const { disk } of sufferers) disk.slowUntil(untilUs);
    let writes = 0;
    while (world.nowUs < untilUs) if (await client.put(3)) writes += 1;
    const slowSyncs = sufferers.reduce((sum, { disk }) => sum + disk.faults.slow, 0);
    expect(leader.running?.status(DATA_STREAM).raft.role).toBe('leader');
    seen = { before, after: highestTerm(cluster), writes, slowSyncs };
  };
  let over = false;
  work()
    .catch((error: unknown) => cluster.violate('CR', String(error)))
    .finally(() => {
      over = true;
    });
  await world.run(
    LIMIT_US,
    () => over,
    () => cluster.check(),
  );
  cluster.end();
  expect(world.violation).toBeNull();
  if (seen === null) throw new Error('the writes do not end');
  return seen;
}

describe.each([1, 2, 3, 4, 5])('A4: slow disks, seed %i', (seed) => {
  it.each([
    {
      whose: 'one follower',
      slow: (leader: SimMember, all: readonly SimMember[]) => [all.find((one) => one !== leader)],
    },
    {
      whose: 'all followers',
      slow: (leader: SimMember, all: readonly SimMember[]) => all.filter((one) => one !== leader),
    },
    { whose: 'the leader', slow: (leader: SimMember) => [leader] },
    { whose: 'everybody', slow: (_leader: SimMember, all: readonly SimMember[]) => all },
  ])('of $whose: the term stays, writes go on', async ({ slow }) => {
    const seen = await suffer(seed, (leader, all) => slow(leader, all).filter((one) => one !== undefined));
    expect(seen.after).toBe(seen.before);
    expect(seen.slowSyncs).toBeGreaterThan(10);
    expect(seen.writes).toBeGreaterThan(5);
  });
});
