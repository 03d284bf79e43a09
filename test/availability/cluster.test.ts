/** A1–A3 with real members, logs and changes of the configuration. */
import { afterEach, describe, expect, it } from 'vitest';
import { must } from '../../src/types/assert.ts';
import { STREAM } from '../wal/support.ts';
import { Cluster, type Node } from './cluster.ts';

let cluster: Cluster | null = null;

async function started(names: string): Promise<Cluster> {
  cluster = await Cluster.start(names);
  return cluster;
}

afterEach(async () => {
  await cluster?.stop();
  expect(cluster?.fatal).toEqual([]);
  cluster = null;
});

function row(on: Cluster, id: string) {
  return on.leader()?.member?.local(STREAM).rows.availability.get(id) ?? null;
}

function follower(on: Cluster, i = 0): Node {
  return must(on.followers()[i], 'there is a follower');
}

/** Everything acknowledged so far is in the state of every member that runs. */
async function expectNothingLost(on: Cluster): Promise<void> {
  const running = on.nodes.filter(({ member }) => member !== null);
  const lacks = (): string[] =>
    running.flatMap(({ id, member }) =>
      [...on.acknowledged].filter((loop) => member?.local(STREAM).loop(loop) === null).map((loop) => `${id} ${loop}`),
    );
  await on.until('all members have what was acknowledged', () => lacks().length === 0);
  expect(on.acknowledged.size).toBeGreaterThan(0);
}

describe('A1: a member whose fsync is slow', () => {
  it('becomes a learner while writes go on, and a voter again by itself', async () => {
    const on = await started('abc');
    const slow = follower(on);
    slow.fsyncMs = 80;
    const isVoter = (): boolean => on.configuration()?.voters.includes(slow.id) ?? false;
    const isLearner = (): boolean => on.configuration()?.learners.includes(slow.id) ?? false;
    const before = on.acknowledged.size;
    await on.until('it is a learner', isLearner, 60_000, () => on.write());
    expect(row(on, slow.id)?.lagging).toBe(true);
    expect(on.leader()?.member?.status(STREAM).alarms).toContain('LAGGING');
    expect(on.acknowledged.size).toBeGreaterThan(before + 50);
    await on.run(5_000, () => on.write());
    expect(isLearner()).toBe(true);
    slow.fsyncMs = 0;
    await on.until('it is a voter again', isVoter, 60_000, () => on.write());
    expect(row(on, slow.id)).toBeNull();
    await expectNothingLost(on);
  });

  it('hands over first when it leads', async () => {
    const on = await started('abc');
    const slow = must(on.leader(), 'there is a leader');
    slow.fsyncMs = 80;
    const isLearner = (): boolean => on.configuration()?.learners.includes(slow.id) ?? false;
    await on.until('it is a learner', isLearner, 120_000, () => on.write());
    expect(on.leader()).not.toBe(slow);
    await expectNothingLost(on);
  });

  it('stays a voter when all are slow, and of two', async () => {
    const on = await started('abc');
    for (const node of on.nodes) node.fsyncMs = 80;
    await on.run(15_000, () => on.write());
    expect(on.configuration()?.voters).toEqual(['a', 'b', 'c']);
    for (const node of on.nodes) node.fsyncMs = 0;
    await on.carriedOut({ kind: 'changeMembers', changes: [{ kind: 'remove', member: follower(on).id }] });
    await on.until('two are left', () => on.configuration()?.voters.length === 2);
    const left = must(on.configuration(), 'there is a configuration').voters;
    must(
      on.followers().find(({ id }) => left.includes(id)),
      'a follower is left',
    ).fsyncMs = 80;
    await on.run(15_000, () => on.write());
    expect(on.configuration()?.voters).toEqual(left);
  });
});

describe('A2: permit-async', () => {
  it('lets writes go on past a disk that hangs; after a crash the member recovers first, and nothing acknowledged is lost', async () => {
    const on = await started('abc');
    const leader = must(on.leader(), 'there is a leader');
    const [hangs, away] = [follower(on, 0), follower(on, 1)];
    await on.carriedOut({ kind: 'permitAsync', member: hangs.id, on: true });
    await on.until('the folder is marked', () => hangs.disk.paths().includes('async.json'));
    expect(hangs.member?.status(STREAM).alarms).toContain('PERMIT_ASYNC');
    away.cut = true;
    hangs.fsyncMs = 1_000_000;
    const before = on.acknowledged.size;
    await on.run(1_000, () => on.write());
    expect(on.acknowledged.size).toBeGreaterThan(before + 20);
    // The only one that has it all durable is away now, and the other one has lost what it acknowledged.
    hangs.crash();
    leader.cut = true;
    away.cut = false;
    hangs.fsyncMs = 0;
    expect((await hangs.start(on)).recovering).toBe(true);
    await on.run(10_000);
    expect(on.leader()).toBeNull();
    leader.cut = false;
    await on.until('there is a leader again', () => on.leader() !== null);
    await on.until('the member has recovered', () => hangs.member?.status(STREAM).raft.recovering === false);
    await expectNothingLost(on);
    await on.run(1_000, () => on.write());
    await expectNothingLost(on);
  });

  it('ends, and with it the mark, when it is taken back; and a member that stops in order leaves none', async () => {
    const on = await started('abc');
    const one = follower(on);
    const marked = (): boolean => one.disk.paths().includes('async.json');
    await on.carriedOut({ kind: 'permitAsync', member: one.id, on: true });
    await on.until('the folder is marked', marked);
    await on.run(500, () => on.write());
    await on.carriedOut({ kind: 'permitAsync', member: one.id, on: false });
    await on.until('the mark is gone', () => !marked());
    expect(one.member?.status(STREAM).alarms).toEqual([]);
    await on.carriedOut({ kind: 'permitAsync', member: one.id, on: true });
    await on.until('the folder is marked again', marked);
    await on.run(500, () => on.write());
    await on.stop();
    expect(marked()).toBe(false);
  });

  it('is taken back by the leader when the configuration is not what it was given for', async () => {
    const on = await started('abc');
    const [one, other] = [follower(on, 0), follower(on, 1)];
    await on.carriedOut({ kind: 'permitAsync', member: one.id, on: true });
    await on.carriedOut({ kind: 'changeMembers', changes: [{ kind: 'remove', member: other.id }] });
    await on.until('it is taken back', () => row(on, one.id) === null);
  });
});

describe('A3: a member that is cut off', () => {
  const shortened = {
    kind: 'setPolicy',
    values: [
      { name: 'isolationMs', value: 1_000 },
      { name: 'evictionGraceMs', value: 1_000 },
    ],
  } as const;

  it('is evicted after isolation and grace, and the others go on', async () => {
    const on = await started('abc');
    await on.carriedOut(shortened);
    const gone = follower(on);
    gone.cut = true;
    await on.until('it is isolated', () => (row(on, gone.id)?.isolatedAtMs ?? 0) !== 0);
    expect(on.leader()?.member?.status(STREAM).alarms).toContain('PENDING_EVICTION');
    expect(on.configuration()?.voters).toContain(gone.id);
    await on.until('it is out', () => on.configuration()?.voters.length === 2);
    expect(on.configuration()?.voters).not.toContain(gone.id);
    await on.run(500, () => on.write());
  });

  it('that comes back within the grace stays', async () => {
    const on = await started('abc');
    await on.carriedOut(shortened);
    const away = follower(on);
    away.cut = true;
    await on.until('it is isolated', () => (row(on, away.id)?.isolatedAtMs ?? 0) !== 0);
    away.cut = false;
    await on.until('it is back', () => row(on, away.id) === null);
    await on.run(3_000, () => on.write());
    expect(on.configuration()?.voters).toEqual(['a', 'b', 'c']);
    await expectNothingLost(on);
  });

  it('stays, and people are paged, when another one acknowledges before its fsync', async () => {
    const on = await started('abc');
    await on.carriedOut(shortened);
    const [gone, early] = [follower(on, 0), follower(on, 1)];
    await on.carriedOut({ kind: 'permitAsync', member: early.id, on: true });
    gone.cut = true;
    await on.until('the eviction is blocked', () => row(on, gone.id)?.evictionBlocked === true);
    expect(on.leader()?.member?.status(STREAM).alarms).toContain('EVICTION_BLOCKED');
    expect(on.configuration()?.voters).toEqual(['a', 'b', 'c']);
    await on.carriedOut({ kind: 'permitAsync', member: early.id, on: false });
    await on.until('it is out', () => on.configuration()?.voters.length === 2);
  });
});
