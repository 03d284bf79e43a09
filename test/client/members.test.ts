import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IndeterminateError, QuorateClient } from '../../src/client/client.ts';
import { statusError } from '../../src/rpc/status.ts';
import { backupMessage, CUT, FakeMember, message, refusal } from './fake-member.ts';

let a: FakeMember;
let b: FakeMember;
let client: QuorateClient;

beforeEach(async () => {
  a = await FakeMember.start();
  b = await FakeMember.start();
  a.leads(a.address);
  b.leads(a.address);
  client = await QuorateClient.connect({ endpoints: [a.address, b.address], deadlineMs: 3_000 });
});

afterEach(async () => {
  await client.close();
  a.crash();
  b.crash();
});

describe('R2: members', () => {
  test('a list of them, with what is not known as null', async () => {
    const member = { memberId: 'd', role: 'learner', wanted: 'voter', lagEntries: 7n, transfer: { bytesSent: 9n } };
    a.script('listMembers', message({ members: [member], joint: true, configurationIndex: 4n }));
    expect(await client.members()).toMatchObject({
      members: [
        {
          memberId: 'd',
          role: 'learner',
          wanted: 'voter',
          replaces: null,
          featureLevel: null,
          transfer: { bytesSent: 9 },
        },
      ],
      joint: true,
      settled: false,
      configurationIndex: 4,
    });
  });

  test('changes go in a session, so that a cut connection is no doubt', async () => {
    a.script('changeMembers', CUT, message({ header: { revision: 9n } }));
    const session = await client.openSession();
    const changes = [
      { add: 'd', peerAddress: 'd:1', clientAddress: 'd:2', replaces: 'c' },
      { promote: 'e' },
      { remove: 'b' },
    ];
    expect(await session.changeMembers(changes, { force: true })).toMatchObject({ revision: 9 });
    const requests = a.requests('changeMembers').concat(b.requests('changeMembers'));
    expect(requests).toHaveLength(2);
    expect(new Set(requests.map((one) => one.header?.sequence))).toEqual(new Set([1n]));
    expect(requests[0]?.request).toMatchObject({
      force: true,
      changes: [
        { change: { case: 'add', value: { memberId: 'd', peerAddress: 'd:1', clientAddress: 'd:2', replaces: 'c' } } },
        { change: { case: 'promote', value: { memberId: 'e' } } },
        { change: { case: 'remove', value: { memberId: 'b' } } },
      ],
    });
  });

  test('a refusal of a second try leaves a first one in doubt', async () => {
    const refused = refusal({ code: Code.FAILED_PRECONDITION, reason: 'QUORUM_AT_RISK', message: 'no' });
    a.script('changeMembers', refused);
    const session = await client.openSession();
    await expect(session.changeMembers([{ remove: 'b' }])).rejects.toMatchObject({ reason: 'QUORUM_AT_RISK' });
    a.script('changeMembers', CUT, refused);
    b.script('changeMembers', refused);
    await expect(session.changeMembers([{ remove: 'b' }])).rejects.toBeInstanceOf(IndeterminateError);
  });

  test('leadership is transferred by the leader, found as for any call', async () => {
    const elsewhere = {
      code: Code.UNAVAILABLE,
      reason: 'NOT_LEADER',
      message: 'b leads',
      metadata: { leader_address: b.address },
    };
    a.script('transferLeadership', refusal(elsewhere));
    b.script('transferLeadership', message({ leaderId: 'b' }));
    expect(await client.transferLeadership('b')).toBe('b');
    expect(b.requests('transferLeadership')[0]?.request).toMatchObject({ to: 'b' });
  });
});

describe('R2: endpoints follow the members', () => {
  test('a member that was added is found when all those that were given are gone', async () => {
    const c = await FakeMember.start();
    try {
      const members = [a, b, c].map((one, i) => ({
        memberId: 'abc'[i] ?? '',
        clientAddress: one.address,
        role: 'voter',
      }));
      const streams = [{ streamId: 1, leaderClientAddress: a.address, configurationIndex: 7n }];
      a.script('getStatus', message({ memberId: 'a', members, streams }));
      const informed = await QuorateClient.connect({ endpoints: [a.address], deadlineMs: 5_000 });
      c.script(
        'getStatus',
        message({
          memberId: 'c',
          members,
          streams: [{ streamId: 1, leaderClientAddress: c.address, configurationIndex: 7n }],
        }),
      );
      c.script('getFeatureLevel', message({ level: 2, used: 2, supported: 2 }));
      a.crash();
      b.crash();
      expect(await informed.featureLevel()).toEqual({ level: 2, used: 2, pinned: false, supported: 2 });
      await informed.close();
    } finally {
      c.crash();
    }
  });

  test('a member that was removed is left for another one', async () => {
    const gone = { code: Code.UNAVAILABLE, reason: 'MEMBER_REMOVED', message: 'ask another' };
    a.script('getLoop', refusal(gone));
    const loop = message({ loop: { name: 'l', plan: 'p', g: 1n }, plan: { name: 'p' } });
    b.script('getLoop', loop);
    const read = await client.getLoop('l', { consistency: 'stale' });
    expect(read.loop.name).toBe('l');
  });
});

describe('R3: consistency', () => {
  test.each([
    [{}, 1, 0n],
    [{ consistency: 'lease' }, 3, 0n],
    [{ consistency: 'stale' }, 2, 0n],
    [{ stale: true }, 2, 0n],
    [{ consistency: { maxStalenessMs: 250 } }, 2, 250n],
    [{ consistency: { maxStalenessMs: 0 } }, 2, 1n],
  ] as const)('%j', async (options, consistency, maxStalenessMs) => {
    const answer = message({ loop: { name: 'l', plan: 'p', g: 1n }, plan: { name: 'p' } });
    a.script('getLoop', answer);
    b.script('getLoop', answer);
    await client.getLoop('l', options);
    const [received] = [...a.requests('getLoop'), ...b.requests('getLoop')];
    expect(received?.request).toMatchObject({ consistency, maxStalenessMs });
  });

  test('what any member answers by itself is asked of all in turn', async () => {
    const answer = message({ loop: { name: 'l', plan: 'p', g: 1n }, plan: { name: 'p' } });
    a.script('getLoop', answer);
    b.script('getLoop', answer);
    for (let i = 0; i < 4; i++) await client.getLoop('l', { consistency: 'stale' });
    expect([a.requests('getLoop').length, b.requests('getLoop').length]).toEqual([2, 2]);
  });
});

describe('W5: a full disk', () => {
  test('is waited for, and named when it lasts', async () => {
    const full = refusal({ code: Code.UNAVAILABLE, reason: 'NO_SPACE', message: 'the disk is full', retryAfterMs: 50 });
    a.script('createLoop', full, full, message({ header: { revision: 3n }, g: 1n }));
    const session = await client.openSession();
    expect(await session.createLoop('x')).toMatchObject({ revision: 3 });
    a.script('createLoop', full);
    b.script('createLoop', full);
    await expect(session.createLoop('y', { deadlineMs: 400 })).rejects.toMatchObject({ reason: 'NO_SPACE' });
  });
});

describe('U5: backup', () => {
  const pieces = [new Uint8Array([1, 2]), new Uint8Array([3])];

  test('comes piece by piece, with what it stands for', async () => {
    for (const member of [a, b]) {
      member.onBackup((stream) => {
        stream.write(backupMessage());
        for (const piece of pieces) stream.write(backupMessage(piece));
        stream.end();
      });
    }
    const got: number[][] = [];
    for await (const { info, data, bytes } of client.backup()) {
      expect(info).toMatchObject({ clusterId: 'c', index: 41, estimatedBytes: 99 });
      got.push([...data, -bytes]);
    }
    expect(got).toEqual([[-0], [1, 2, -2], [3, -3]]);
  });

  test('is begun at another member when one cannot; never pieced together', async () => {
    const stopping = statusError({ code: Code.UNAVAILABLE, reason: 'SHUTTING_DOWN', message: 'no' });
    const failing = statusError({ code: Code.ABORTED, reason: 'BACKUP_FAILED', message: 'the disk is gone' });
    for (const member of [a, b]) {
      member.onBackup((stream) => {
        if (a.backups + b.backups === 1) stream.emit('error', stopping);
        else stream.write(backupMessage(), () => stream.emit('error', failing));
      });
    }
    const got: number[] = [];
    await expect(
      (async () => {
        for await (const { data } of client.backup()) got.push(data.length);
      })(),
    ).rejects.toMatchObject({ reason: 'BACKUP_FAILED', message: 'the disk is gone' });
    expect([got, a.backups + b.backups]).toEqual([[0], 2]);
  });

  test('ends when the caller gives up, also between two pieces', async () => {
    for (const member of [a, b]) member.onBackup((stream) => void stream.write(backupMessage()));
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of client.backup({ signal: controller.signal })) controller.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toThrow('enough');
  });
});
