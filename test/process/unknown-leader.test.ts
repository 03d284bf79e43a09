/**
 * A member that was away, or that lost what it knew, while the members changed has to be brought up by a leader that it has never heard
 * of (thesis, 4.1: a server takes part whoever asks, without consulting its own configuration). Found by `npm run chaos -- --seed 101`:
 * it refused the leader for as long as that one led.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import type { DevMember } from '../../src/server/dev-member.ts';
import { cliPath } from '../support/build.ts';
import { addressesOf, startJoiner } from './joiner.ts';
import { settled, waitFor } from './wait.ts';

describe('R2: a leader that a member has never heard of', () => {
  let folder: string;
  let cluster: DevCluster;
  let operator: QuorateClient;
  let newcomer: DevMember | undefined;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-unknown-leader-'));
    cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath, flags: [] });
    operator = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'operator' });
    await waitFor(async () => (await operator.featureLevel()).level >= 2, 20_000, 'the feature level rises');
  });

  afterAll(async () => {
    await operator?.close();
    await settled(newcomer === undefined ? [] : [newcomer.stop(2_000)]);
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('brings it up, and is not refused', { timeout: 120_000 }, async () => {
    const { members } = await operator.members();
    const followers = members.filter(({ leader }) => !leader).map(({ memberId }) => memberId);
    const [away = '', replaced = ''] = followers;
    const absent = cluster.members.find(({ id }) => id === away);
    absent?.kill('SIGKILL');
    const { address, process } = await startJoiner(await addressesOf(operator), 'm4', folder);
    newcomer = process;
    const change = {
      add: 'm4',
      peerAddress: address.peerAddress,
      clientAddress: address.clientAddress,
      replaces: replaced,
    };
    const replace = (): Promise<boolean> =>
      operator.withoutSession.changeMembers([change]).then(
        () => true,
        () => false,
      );
    await waitFor(replace, 20_000, 'the new member is taken in');
    const isVoter = async (): Promise<boolean> => {
      const now = await operator.members();
      return now.settled && now.members.some(({ memberId, role }) => memberId === 'm4' && role === 'voter');
    };
    await waitFor(isVoter, 30_000, 'm4 votes');
    await operator.transferLeadership('m4', { deadlineMs: 10_000 });
    const leads = async (): Promise<boolean> =>
      (await operator.members()).members.some(({ memberId, leader }) => memberId === 'm4' && leader);
    await waitFor(leads, 20_000, 'm4 leads');

    absent?.start();
    const streams = async () =>
      (await operator.status({ deadlineMs: 1_000 })).flatMap((one) =>
        'status' in one ? [[one.status.memberId, one.status.streams[0]] as const] : [],
      );
    const caughtUp = async (): Promise<boolean> => {
      const all = await streams();
      const committed = Math.max(...all.map(([, stream]) => stream?.commitIndex ?? 0));
      const own = all.find(([id]) => id === away)?.[1];
      return own?.leaderId === 'm4' && own.appliedIndex >= committed;
    };
    await waitFor(caughtUp, 15_000, `${away} has what m4 has`);
    // It counts again: with the third one away, what is written needs it.
    const third = cluster.members.find(({ id }) => id !== away && id !== replaced);
    const session = await operator.openSession({ ttlMs: 60_000 });
    third?.kill('SIGKILL');
    await session.createLoop('after', { deadlineMs: 20_000 });
    expect(await leads()).toBe(true);
  });
});
