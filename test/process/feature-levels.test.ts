/**
 * R9 with real processes: a cluster of members that claim level 1, as release 0.1 would, is upgraded member by member; level 2
 * comes by itself, can be taken back while nothing of it was used, and never afterwards. Writes go on all the while.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient, type Session } from '../../src/client/client.ts';
import { DevMember } from '../../src/server/dev-member.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { FEATURE_LEVEL } from '../../src/types/feature-level.ts';
import { memberId } from '../../src/types/ids.ts';
import { cliPath } from '../support/build.ts';
import { type Address, startJoiner } from './joiner.ts';
import { SteadyLoad } from './steady-load.ts';
import { settled, waitFor } from './wait.ts';

const CLIENTS = 4;
const PAUSE_MS = 20;
const WAIT_MS_MAX = 30_000;
/** The leader looks at the levels of all members once a second. */
const LOOKS_MS = 3_500;
const LOOK_EVERY_MS = 50;

describe('R9: feature levels of a running cluster', () => {
  let folder: string;
  let list: readonly Address[];
  let client: QuorateClient;
  let session: Session;
  let load: SteadyLoad;
  const processes = new Map<string, DevMember>();

  /** Starts a first member; with the level that it is to claim, or with that of this release. */
  function start(address: Address, level: number | null): void {
    const { id } = address;
    const member = new DevMember({
      address: { ...address, id: memberId(id) },
      cli: cliPath,
      flags: [
        ...[
          '--cluster-id',
          'dev',
          '--member-id',
          id,
          '--data-dir',
          join(folder, id),
          '--members',
          JSON.stringify(list),
        ],
        ...(level === null ? [] : ['--feature-level-max', String(level)]),
      ],
      env: process.env,
      logFile: join(folder, `${id}.log`),
    });
    processes.set(id, member);
    member.start();
  }

  /** Stopped as an operator does, started with another level, and waited for until it has what was committed. */
  async function restart(address: Address, level: number | null): Promise<void> {
    await processes.get(address.id)?.stop(10_000);
    start(address, level);
    await waitFor(() => follows(address.id, level ?? FEATURE_LEVEL), WAIT_MS_MAX, `${address.id} is back`);
    await writesGoOn();
  }

  async function follows(id: string, level: number): Promise<boolean> {
    const answers = await client.status({ deadlineMs: 1_000 });
    const streams = answers.flatMap((one) =>
      'status' in one ? [[one.status.memberId, one.status.streams[0]] as const] : [],
    );
    const own = streams.find(([member]) => member === id)?.[1];
    const committed = Math.max(...streams.map(([, stream]) => stream?.commitIndex ?? 0));
    if (own === undefined || own.appliedIndex < committed - 100) return false;
    // The leader has heard which level the member claims now.
    const { members } = await client.members();
    return members.find((one) => one.memberId === id)?.featureLevel === level;
  }

  async function writesGoOn(): Promise<void> {
    const before = load.count;
    await waitFor(() => load.count > before + 4 * CLIENTS, WAIT_MS_MAX, 'writes go on');
    expect(load.failures).toEqual([]);
  }

  /** The level through several looks of the leader: all that were seen. */
  async function levelsSeen(): Promise<readonly number[]> {
    const seen = new Set<number>();
    const endMs = performance.now() + LOOKS_MS;
    while (performance.now() < endMs) {
      seen.add((await client.featureLevel()).level);
      await delay(LOOK_EVERY_MS);
    }
    return [...seen];
  }

  async function reasonOf(call: Promise<unknown>): Promise<string> {
    return call.then(
      () => 'carried out',
      (error: { reason?: string }) => error.reason ?? String(error),
    );
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-levels-'));
    const ports = await freePorts(6);
    list = [0, 1, 2].map((i) => ({
      id: `m${i + 1}`,
      clientAddress: `127.0.0.1:${ports[i]}`,
      peerAddress: `127.0.0.1:${ports[3 + i]}`,
    }));
    for (const address of list) start(address, 1);
    const endpoints = list.map(({ clientAddress }) => clientAddress);
    client = await QuorateClient.connect({ endpoints, caller: 'operator', deadlineMs: 30_000 });
    session = await client.openSession({ ttlMs: 600_000 });
    load = await SteadyLoad.start(endpoints, CLIENTS, PAUSE_MS);
  });

  afterAll(async () => {
    await load?.close();
    await client?.close();
    await settled([...processes.values()].map((member) => member.stop(5_000)));
    await rm(folder, { recursive: true, force: true });
  });

  it('stays at 1 while that is what all members claim; members cannot be changed', async () => {
    await waitFor(async () => (await client.featureLevel()).supported === 1, WAIT_MS_MAX, 'all members are heard of');
    expect(await levelsSeen()).toEqual([1]);
    expect(await reasonOf(session.changeMembers([{ remove: 'm3' }]))).toBe('FEATURE_LEVEL_TOO_LOW');
    await writesGoOn();
  });

  it('rises by itself when the last member is upgraded, and not before', async () => {
    for (const [i, address] of list.entries()) {
      if (i === list.length - 1) expect(await levelsSeen()).toEqual([1]);
      await restart(address, 2);
    }
    await waitFor(async () => (await client.featureLevel()).level === 2, WAIT_MS_MAX, 'the level rises');
    expect(await client.featureLevel()).toEqual({ level: 2, used: 1, pinned: false, supported: 2 });
  });

  it('goes back to 1, pinned, while nothing of 2 was used; the older release starts again', async () => {
    await session.setFeatureLevel(1, { pinned: true });
    expect(await levelsSeen()).toEqual([1]);
    for (const address of list.slice(0, 2)) await restart(address, 1);
    expect(await client.featureLevel()).toEqual({ level: 1, used: 1, pinned: true, supported: 1 });
    // And forward again.
    for (const address of list.slice(0, 2)) await restart(address, 2);
    await session.setFeatureLevel(1, { pinned: false });
    await waitFor(async () => (await client.featureLevel()).level === 2, WAIT_MS_MAX, 'the level rises');
  });

  it('does not go back once members were changed', async () => {
    const { address, process: joiner } = await startJoiner(list, 'm4', folder, ['--feature-level-max', '2']);
    processes.set('m4', joiner);
    const { peerAddress, clientAddress } = address;
    const add = async (): Promise<boolean> => {
      const reason = await reasonOf(session.changeMembers([{ add: 'm4', peerAddress, clientAddress }]));
      if (reason !== 'MEMBER_UNREACHABLE') expect(reason).toBe('carried out');
      return reason === 'carried out';
    };
    await waitFor(add, WAIT_MS_MAX, 'the new member can be reached');
    expect(await reasonOf(session.setFeatureLevel(1, { pinned: true }))).toBe('FEATURE_LEVEL_IN_USE');
    expect(await client.featureLevel()).toMatchObject({ level: 2, used: 2, pinned: false });
    const done = async (): Promise<boolean> => {
      const { members, settled: complete } = await client.members();
      return complete && members.some(({ memberId: id, role }) => id === 'm4' && role === 'voter');
    };
    await waitFor(done, WAIT_MS_MAX, 'm4 is a voter');
    await writesGoOn();
  });

  it('rises again when all members are of this release, and work goes on in the ways of the new level', async () => {
    for (const [id, member] of processes) {
      if (id === 'm4') {
        await member.stop(10_000);
        processes.delete(id);
      }
    }
    await session.changeMembers([{ remove: 'm4' }]);
    for (const address of list) await restart(address, null);
    await waitFor(async () => (await client.featureLevel()).level === FEATURE_LEVEL, WAIT_MS_MAX, 'the level rises');
    await session.createLoop('new-ways');
    await session.beginPhase({ loop: 'new-ways', g: 1, phase: 'ANALYZE' });
    expect(await client.featureLevel()).toMatchObject({ level: FEATURE_LEVEL, used: FEATURE_LEVEL });
    // Phases that were begun at level 1 go on as well.
    await writesGoOn();
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(await load.lost()).toEqual([]);
  });

  it('a member that claims less than the level of its state does not start', async () => {
    const [, , third] = list as readonly [Address, Address, Address];
    await processes.get(third.id)?.stop(10_000);
    start(third, 1);
    const member = processes.get(third.id);
    expect((await member?.exited)?.code).not.toBe(0);
    expect(member?.lastWords()).toMatch(/feature level/);
  });
});
