/**
 * Issue 3, done when 4: under a constant load of 16 clients a cluster grows from 3 to 5 members and shrinks to 3 again, with
 * its leader removed once; a dead member is replaced by a new machine; all members are restarted one after the other. No
 * acknowledged write is lost, none is carried out twice, no call fails, and no change stops the writes for a second.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient, type Session } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import type { DevMember } from '../../src/server/dev-member.ts';
import { cliPath } from '../support/build.ts';
import { addressesOf, startJoiner } from './joiner.ts';
import { SteadyLoad } from './steady-load.ts';
import { settled, waitFor } from './wait.ts';

const CLIENTS = 16;
const STALL_MS_MAX = 1_000;
const CHANGE_MS_MAX = 30_000;
/** Small, so that the new members are brought up by images. */
const FLAGS = ['--wal-keep-bytes', '1048576', '--wal-segment-bytes', '4194304', '--store-flush-ms', '200'];

describe('R2, A4: members come and go under load', () => {
  let folder: string;
  let cluster: DevCluster;
  let operator: QuorateClient;
  let session: Session;
  let load: SteadyLoad;
  const processes = new Map<string, DevMember>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-membership-'));
    cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath, flags: FLAGS });
    for (const member of cluster.members) processes.set(member.id, member);
    operator = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'operator' });
    session = await operator.openSession({ ttlMs: 600_000 });
    // Members do not change below this level, which the cluster reaches by itself.
    await waitFor(async () => (await operator.featureLevel()).level >= 2, 20_000, 'the feature level rises');
    load = await SteadyLoad.start(cluster.endpoints, CLIENTS);
  });

  afterAll(async () => {
    await load?.close();
    await operator?.close();
    await settled([...processes.values()].map((process) => process.stop(2_000)));
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function voters(): Promise<readonly string[]> {
    const { members, settled: done } = await operator.members();
    const names = members.filter(({ role }) => role === 'voter').map(({ memberId }) => memberId);
    return done ? names.sort() : [];
  }

  /** The process answers, knows the leader and has what the leader has committed. */
  async function follows(id: string, observer: QuorateClient): Promise<boolean> {
    const answers = await observer.status({ deadlineMs: 1_000 });
    const streams = answers.flatMap((one) =>
      'status' in one ? [[one.status.memberId, one.status.streams[0]] as const] : [],
    );
    const own = streams.find(([member]) => member === id)?.[1];
    const committed = Math.max(...streams.map(([, stream]) => stream?.commitIndex ?? 0));
    return own !== undefined && own.leaderId !== null && own.leaderId !== '' && own.appliedIndex >= committed - 100;
  }

  /** Until exactly these are the voters, and the change is complete; how long nothing was written meanwhile. */
  async function stallUntil(expected: readonly string[], what: string): Promise<number> {
    const wanted = [...expected].sort().join();
    await waitFor(async () => (await voters()).join() === wanted, CHANGE_MS_MAX, `${what}: ${wanted} are the voters`);
    const before = load.count;
    await waitFor(() => load.count > before + CLIENTS, CHANGE_MS_MAX, 'writes go on');
    const stallMs = load.takeStallMs();
    console.log(`membership: ${what}: longest time without a write ${stallMs.toFixed(0)} ms`);
    return stallMs;
  }

  it('3 to 5 members, both new ones at once', { timeout: 120_000 }, async () => {
    const known = await addressesOf(operator);
    const joiners = await Promise.all(['m4', 'm5'].map((id) => startJoiner(known, id, folder, FLAGS)));
    for (const { address, process } of joiners) processes.set(address.id, process);
    load.takeStallMs();
    const adds = joiners.map(({ address: { id, peerAddress, clientAddress } }) => ({
      add: id,
      peerAddress,
      clientAddress,
    }));
    await waitFor(
      () =>
        session.changeMembers(adds).then(
          () => true,
          (error: { reason?: string }) => {
            if (error.reason === 'MEMBER_UNREACHABLE') return false;
            throw error;
          },
        ),
      20_000,
      'the new members can be reached',
    );
    expect(await stallUntil(['m1', 'm2', 'm3', 'm4', 'm5'], '3 to 5')).toBeLessThanOrEqual(STALL_MS_MAX);
    expect(load.failures).toEqual([]);
  });

  it('5 to 3 members, the leader among those that go', { timeout: 120_000 }, async () => {
    const leader = await cluster.waitForLeader().then(
      ({ id }) => id,
      () => '',
    );
    const all = await voters();
    const gone = leader === '' ? [all[0] ?? ''] : [leader];
    gone.push(all.find((id) => !gone.includes(id)) ?? '');
    load.takeStallMs();
    await session.changeMembers(gone.map((id) => ({ remove: id })));
    const left = all.filter((id) => !gone.includes(id));
    expect(await stallUntil(left, `5 to 3, without the leader ${leader}`)).toBeLessThanOrEqual(STALL_MS_MAX);
    // The removed ones are told, and end by themselves.
    for (const id of gone) {
      const process = processes.get(id);
      await waitFor(() => process?.pid === null, CHANGE_MS_MAX, `${id} ends`);
      processes.delete(id);
    }
    expect(load.failures).toEqual([]);
  });

  it('a dead member is replaced by a new machine', { timeout: 120_000 }, async () => {
    const { members } = await operator.members();
    const dead = members.find(({ leader }) => !leader)?.memberId ?? '';
    processes.get(dead)?.kill('SIGKILL');
    const known = await addressesOf(operator);
    const { address, process } = await startJoiner(known, 'm6', folder, FLAGS);
    processes.set('m6', process);
    load.takeStallMs();
    const change = {
      add: 'm6',
      peerAddress: address.peerAddress,
      clientAddress: address.clientAddress,
      replaces: dead,
    };
    await waitFor(
      () =>
        session.changeMembers([change]).then(
          () => true,
          (error: { reason?: string }) => {
            if (error.reason === 'MEMBER_UNREACHABLE') return false;
            throw error;
          },
        ),
      20_000,
      'the new member can be reached',
    );
    const expected = [...members.map(({ memberId }) => memberId).filter((id) => id !== dead), 'm6'];
    expect(await stallUntil(expected, `${dead} replaced`)).toBeLessThanOrEqual(STALL_MS_MAX);
    // The dead one comes back: it is told that it does not belong any more.
    const back = processes.get(dead);
    back?.start();
    await waitFor(() => back?.pid === null, CHANGE_MS_MAX, `${dead} ends`);
    expect(back?.lastWords()).toMatch(/removed/);
    processes.delete(dead);
    expect(load.failures).toEqual([]);
  });

  it('every member is restarted in turn: no call fails', { timeout: 120_000 }, async () => {
    // The operator's client asks those that it was given, and those may not be members any more.
    const endpoints = [...processes.values()].map(({ clientAddress }) => clientAddress);
    await using observer = await QuorateClient.connect({ endpoints, caller: 'observer' });
    for (const [id, process] of processes) {
      load.takeStallMs();
      process.kill('SIGTERM');
      await process.exited;
      process.start();
      await waitFor(() => follows(id, observer), CHANGE_MS_MAX, `${id} is back`);
      const before = load.count;
      await waitFor(() => load.count > before + CLIENTS, CHANGE_MS_MAX, 'writes go on');
      const stallMs = load.takeStallMs();
      console.log(`membership: restart of ${id}: longest time without a write ${stallMs.toFixed(0)} ms`);
      expect(stallMs).toBeLessThanOrEqual(STALL_MS_MAX);
    }
    expect(load.failures).toEqual([]);
  });

  it('nothing that was acknowledged is lost', { timeout: 120_000 }, async () => {
    await load.stop();
    expect((await load.lost()).slice(0, 5)).toEqual([]);
    expect(load.failures).toEqual([]);
    console.log(`membership: ${load.count} writes`);
  });
});
