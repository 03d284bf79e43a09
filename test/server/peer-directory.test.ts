/** R2: whom a member speaks with, and where they are, as the log changes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MemberRow } from '../../src/machine/rows.ts';
import type { PlacedConfiguration } from '../../src/raft/types.ts';
import { PeerDirectory } from '../../src/server/peer-directory.ts';
import type { Greeting } from '../../src/transport/hello.ts';
import { clusterId, logIndex, memberId, revision } from '../../src/types/ids.ts';
import { err, ok } from '../../src/types/result.ts';

const LINGER_MS = 1_000;
const X = 'a'.repeat(32);
const Y = 'b'.repeat(32);
const ids = (names: string) => [...names].map((name) => memberId(name));

interface Shape {
  readonly voters?: string;
  readonly outgoing?: string;
  readonly learners?: string;
}

function placed({ voters = '', outgoing = '', learners = '' }: Shape): PlacedConfiguration {
  return {
    index: logIndex(voters === '' ? 0 : 5),
    configuration: { voters: ids(voters), votersOutgoing: ids(outgoing), learners: ids(learners) },
  };
}

function row(id: string, change: Partial<MemberRow> = {}): MemberRow {
  return {
    member: memberId(id),
    peerAddress: `${id}.row:1`,
    clientAddress: `${id}.row:2`,
    incarnation: X,
    wanted: 'voter',
    replaces: '',
    changedRevision: revision(1),
    ...change,
  };
}

function greeting(id: string, incarnation = X, membersDigest = ''): Greeting {
  return { from: memberId(id), featureLevel: 2, incarnation, peerAddress: '', clientAddress: '', membersDigest };
}

function setUp(shape: Shape, listed = 'abc', digest = '') {
  const now = { leader: null as string | null, hasLog: true };
  const met = new Map<string, string>();
  const learned: string[] = [];
  const directory = new PeerDirectory({
    clusterId: clusterId('prod'),
    memberId: memberId('a'),
    listed: ids(listed).map((id) => ({ id, peerAddress: `${id}.list:1`, clientAddress: `${id}.list:2` })),
    configuration: placed(shape).configuration,
    admitFirst: async (peer, incarnation) => {
      const first = met.get(peer) ?? incarnation;
      met.set(peer, first);
      return first === incarnation ? ok(undefined) : err('another folder');
    },
    clusterDigest: () => learned[0] ?? digest,
    learnDigest: (said) => learned.push(said),
    leader: () => (now.leader === null ? null : memberId(now.leader)),
    hasLog: () => now.hasLog,
    firstMet: (peer) => met.get(peer),
    lingerMs: LINGER_MS,
  });
  const published: string[] = [];
  directory.onPeers = (peers) => published.push([...peers].map(([id, at]) => `${id}@${at}`).join(' '));
  const unwanted: string[] = [];
  directory.onUnwanted = (peer) => unwanted.push(peer);
  return { directory, published, met, learned, now, unwanted };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('peers', () => {
  it('are the members of the configuration, where the settings say', () => {
    const { directory } = setUp({ voters: 'abc' });
    expect([...directory.peers]).toEqual([
      ['b', 'b.list:1'],
      ['c', 'c.list:1'],
    ]);
  });

  it('are not what the settings list beside the configuration: they only say where', () => {
    const { directory } = setUp({ voters: 'ab' }, 'abcd');
    expect([...directory.peers.keys()]).toEqual(['b']);
  });

  it('are those of the settings while this member waits to be added', () => {
    const { directory, published } = setUp({});
    expect(directory.joining).toBe(true);
    expect([...directory.peers.keys()]).toEqual(['b', 'c']);
    directory.update([], placed({ voters: 'bd', learners: 'a' }));
    expect(directory.joining).toBe(false);
    // c was met by the setting alone; it lingers, and goes.
    expect(published).toEqual(['b@b.list:1 d@ c@c.list:1']);
    vi.advanceTimersByTime(LINGER_MS);
    expect(published[1]).toBe('b@b.list:1 d@');
  });

  it('come with their row, before the configuration has them, and say nothing twice', () => {
    const { directory, published } = setUp({ voters: 'ab' });
    directory.update([row('d')], placed({ voters: 'ab' }));
    directory.update([row('d')], placed({ voters: 'ab', learners: 'd' }));
    directory.update([row('d')], placed({ voters: 'abd' }));
    expect(published).toEqual(['b@b.list:1 d@d.row:1']);
  });

  it('that leave are reached a while longer, so that they learn of it; those that come back stay', () => {
    const { directory, published } = setUp({ voters: 'abc' });
    directory.update([row('c', { wanted: 'removed' })], placed({ voters: 'ab', outgoing: 'abc' }));
    directory.update([row('c', { wanted: 'removed' })], placed({ voters: 'ab' }));
    vi.advanceTimersByTime(LINGER_MS - 1);
    expect(published).toEqual([]);
    // Its entry was truncated: back to the joint configuration.
    directory.update([row('c', { wanted: 'removed' })], placed({ voters: 'ab', outgoing: 'abc' }));
    vi.advanceTimersByTime(LINGER_MS);
    expect(published).toEqual([]);
    directory.update([row('c', { wanted: 'removed' })], placed({ voters: 'ab' }));
    vi.advanceTimersByTime(LINGER_MS);
    expect(published).toEqual(['b@b.list:1']);
    directory.close();
  });
});

describe('who says hello', () => {
  const refused = (reason: string) => ({ ok: false, error: { reason, message: expect.any(String) } });

  it('is let in when it is in the configuration, as the folder that was met first (PD2)', async () => {
    const { directory } = setUp({ voters: 'ab', outgoing: 'c', learners: 'd' });
    for (const id of 'bcd') expect(await directory.admit(greeting(id))).toEqual(ok(undefined));
    expect(await directory.admit(greeting('b', Y))).toEqual(refused('WRONG_INCARNATION'));
    expect(await directory.admit(greeting('e'))).toEqual(refused('UNKNOWN_MEMBER'));
  });

  it('is that folder and no other that it was added with (PD1), whoever was met before', async () => {
    const { directory, met } = setUp({ voters: 'ab' });
    met.set('d', Y);
    directory.update([row('d')], placed({ voters: 'ab' }));
    expect(await directory.admit(greeting('d', X))).toEqual(ok(undefined));
    expect(await directory.admit(greeting('d', Y))).toEqual(refused('WRONG_INCARNATION'));
  });

  it('is told that it was removed, when it was (PD3)', async () => {
    const { directory } = setUp({ voters: 'abc' });
    const gone = [row('c', { wanted: 'removed', incarnation: '' })];
    // Still in the configuration, or on its way out.
    directory.update(gone, placed({ voters: 'ab', outgoing: 'abc' }));
    expect(await directory.admit(greeting('c'))).toEqual(ok(undefined));
    directory.update(gone, placed({ voters: 'ab' }));
    expect(await directory.admit(greeting('c'))).toEqual(ok(undefined));
    vi.advanceTimersByTime(LINGER_MS);
    expect(await directory.admit(greeting('c'))).toEqual(refused('REMOVED'));
    // Another folder under that id was never a member: it must not end itself.
    directory.update([row('c', { wanted: 'removed' })], placed({ voters: 'ab' }));
    expect(await directory.admit(greeting('c', Y))).toEqual(refused('WRONG_INCARNATION'));
  });

  it('is not told so as another folder than the first member had, which may have been added since (PD3)', async () => {
    const { directory, met } = setUp({ voters: 'ab' });
    directory.update([row('c', { wanted: 'removed', incarnation: '' })], placed({ voters: 'ab' }));
    expect(await directory.admit(greeting('c', Y))).toEqual(refused('WRONG_INCARNATION'));
    met.set('c', X);
    expect(await directory.admit(greeting('c', Y))).toEqual(refused('WRONG_INCARNATION'));
    expect(await directory.admit(greeting('c', X))).toEqual(refused('REMOVED'));
    // The entry that added it arrives.
    directory.update([row('c', { incarnation: Y })], placed({ voters: 'ab', learners: 'c' }));
    expect(await directory.admit(greeting('c', Y))).toEqual(ok(undefined));
  });

  it('is anybody of the cluster while this member waits to be added', async () => {
    const { directory } = setUp({});
    expect(await directory.admit(greeting('z'))).toEqual(ok(undefined));
    expect(await directory.admit(greeting('z', Y))).toEqual(refused('WRONG_INCARNATION'));
  });

  it('is believed about a removal only as a member', () => {
    const { directory } = setUp({ voters: 'ab', outgoing: 'c' });
    expect(['b', 'c', 'z'].map((id) => directory.canTell(memberId(id)))).toEqual([true, true, false]);
    expect(setUp({}).directory.canTell(memberId('b'))).toBe(false);
  });
});

describe('PD4: somebody whom this member has never heard of', () => {
  const OURS = '1'.repeat(64);

  it('is spoken with when it was taken into the same cluster: it may lead, by entries that are not here yet', async () => {
    const { directory, met } = setUp({ voters: 'abc' }, 'abc', OURS);
    expect(await directory.admit(greeting('d', X, OURS))).toEqual(ok(undefined));
    expect(met.get('d')).toBe(X);
    // And it is that data folder from then on.
    expect(await directory.admit(greeting('d', Y, OURS))).toMatchObject({ ok: false });
  });

  it.each([
    ['does not say', ''],
    ['belongs to another one of the same name', '2'.repeat(64)],
  ])('is refused when it %s', async (_, said) => {
    const { directory, met } = setUp({ voters: 'abc' }, 'abc', OURS);
    expect(await directory.admit(greeting('d', X, said))).toMatchObject({ error: { reason: 'UNKNOWN_MEMBER' } });
    expect(met.size).toBe(0);
  });

  it('is refused when neither of them knows with whom the cluster was begun', async () => {
    const { directory } = setUp({ voters: 'abc' });
    expect(await directory.admit(greeting('d'))).toMatchObject({ error: { reason: 'UNKNOWN_MEMBER' } });
  });

  it('is refused by one whose log holds nothing: that may be a first member that lost its folder', async () => {
    const { directory, met, now } = setUp({ voters: 'abc' }, 'abc', OURS);
    now.hasLog = false;
    expect(await directory.admit(greeting('d', X, OURS))).toMatchObject({ error: { reason: 'UNKNOWN_MEMBER' } });
    expect(met.size).toBe(0);
  });

  it.each([
    ['is of another data folder', row('d', { incarnation: Y }), 1],
    ['was removed', row('d', { wanted: 'removed' }), 1],
    ['was added', row('d'), 0],
  ])('is judged again when entries say that it %s', async (_, said, times) => {
    const { directory, unwanted } = setUp({ voters: 'abc' }, 'abc', OURS);
    await directory.admit(greeting('d', X, OURS));
    directory.update([], placed({ voters: 'abc' }));
    await Promise.resolve();
    expect(unwanted).toEqual([]);
    directory.update([said], placed({ voters: 'abc' }));
    await vi.advanceTimersByTimeAsync(1);
    expect(unwanted).toHaveLength(times);
  });

  it('does not count as a member for that: it cannot tell this one that it was removed', async () => {
    const { directory } = setUp({ voters: 'abc' }, 'abc', OURS);
    await directory.admit(greeting('d', X, OURS));
    expect(directory.canTell(memberId('d'))).toBe(false);
  });
});

describe('PD5: a member that joined', () => {
  const OURS = '1'.repeat(64);
  const OTHER = '2'.repeat(64);

  it('has the word of the leader that its own configuration names', async () => {
    const { directory, learned, now } = setUp({}, 'abc');
    expect(await directory.admit(greeting('x', X, OTHER))).toEqual(ok(undefined));
    expect(await directory.admit(greeting('c', X, OTHER))).toEqual(ok(undefined));
    expect(await directory.admit(greeting('b', X, OURS))).toEqual(ok(undefined));
    expect(learned).toEqual([]);
    // c was started with the wrong list, and x is nobody.
    directory.update([], placed({ voters: 'abc' }));
    now.leader = 'x';
    directory.update([], placed({ voters: 'abc' }));
    expect(learned).toEqual([]);
    now.leader = 'b';
    directory.update([], placed({ voters: 'abc' }));
    expect(learned).toEqual([OURS]);
    directory.update([], placed({ voters: 'ab' }));
    expect(learned).toEqual([OURS]);
  });

  it('takes it from one that comes later, too', async () => {
    const { directory, learned, now } = setUp({ voters: 'abc' });
    now.leader = 'c';
    await directory.admit(greeting('c', X, ''));
    expect(learned).toEqual([]);
    await directory.admit(greeting('c', X, OURS));
    expect(learned).toEqual([OURS]);
  });
});
