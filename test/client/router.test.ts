import { describe, expect, test } from 'vitest';
import type { ClusterFacts } from '../../src/client/endpoints.ts';
import { QuorateError } from '../../src/client/errors.ts';
import type { Failure } from '../../src/client/retry.ts';
import { Router } from '../../src/client/router.ts';

const gone: Failure = {
  kind: 'unknown',
  error: new QuorateError({ reason: 'UNAVAILABLE', message: 'cut' }),
  answered: false,
};

/** A cluster of what each member says of the leader; one that is missing does not answer. */
function setUp(says: Map<string, string | null>, facts: (address: string) => Partial<ClusterFacts> = () => ({})) {
  let nowMs = 0;
  const asked: string[] = [];
  const ask = async (address: string): Promise<ClusterFacts> => {
    asked.push(address);
    const leaderAddress = says.get(address);
    if (leaderAddress === undefined) throw new Error('no connection');
    return {
      memberId: `m-${address}`,
      leaderAddress,
      configurationIndex: 0,
      members: [],
      removed: false,
      ...facts(address),
    };
  };
  const router = new Router(['a', 'b', 'c'], { ask, nowMs: () => nowMs, random: () => 0 });
  return { router, asked, pass: (ms: number) => (nowMs += ms) };
}

describe('U2: whom to ask', () => {
  test('the leader, found once', async () => {
    const { router, asked } = setUp(
      new Map([
        ['a', 'b'],
        ['b', 'b'],
        ['c', 'b'],
      ]),
    );
    expect([await router.pick(), await router.pick()]).toEqual(['b', 'b']);
    expect(asked).toEqual(['a', 'b', 'c']);
  });

  test('the leader still, when only the front of a pipeline holds up an answer', async () => {
    const says = new Map<string, string | null>(['a', 'b', 'c'].map((one) => [one, 'b']));
    const { router, asked } = setUp(says);
    await router.pick();
    const silent: Failure = { ...gone, kind: 'unknown', answered: false, silent: true };
    asked.length = 0;
    router.failed('b', silent);
    router.failed('b', silent);
    expect(await router.pick()).toBe('b');
    // It answers when it is asked, which is done once.
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual(['b']);
    expect(await router.pick()).toBe('b');
    says.delete('b');
    router.failed('b', silent);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await router.pick()).not.toBe('b');
  });

  test('somebody in turn where nobody knows a leader', async () => {
    const { router } = setUp(
      new Map([
        ['a', null],
        ['b', null],
        ['c', null],
      ]),
    );
    expect([await router.pick(), await router.pick(), await router.pick(), await router.pick()]).toEqual([
      'a',
      'b',
      'c',
      'a',
    ]);
  });

  test('nobody while a lost leader is still believed in; then the new one', async () => {
    const says = new Map<string, string | null>([
      ['a', 'a'],
      ['b', 'a'],
      ['c', 'a'],
    ]);
    const { router, pass } = setUp(says);
    expect(await router.pick()).toBe('a');
    says.delete('a');
    router.failed('a', gone);
    expect(await router.pick()).toBeNull();
    expect(await router.pickAny()).not.toBe('a');
    pass(60);
    expect(await router.pick()).toBeNull();
    says.set('b', 'c').set('c', 'c');
    pass(60);
    expect(await router.pick()).toBe('c');
  });

  test('a follower after all, when only this client cannot reach the leader', async () => {
    const says = new Map<string, string | null>([
      ['a', 'x'],
      ['b', 'x'],
      ['c', 'x'],
    ]);
    const { router, pass } = setUp(says);
    expect(await router.pick()).toBe('x');
    const picked = new Set<string | null>();
    for (let i = 0; i < 200; i++) {
      const address = await router.pick();
      picked.add(address);
      if (address === 'x') router.failed('x', gone);
      pass(20);
    }
    expect([...picked].sort()).toEqual(['a', 'b', 'c', null, 'x'].sort());
  });

  test('many failures of one incident count once; a success forgives', async () => {
    const { router, asked, pass } = setUp(
      new Map([
        ['a', 'a'],
        ['b', null],
        ['c', null],
      ]),
    );
    expect(await router.pick()).toBe('a');
    for (let i = 0; i < 64; i++) router.failed('a', gone);
    asked.length = 0;
    pass(101);
    expect(await router.pick()).toBe('a');
    expect(asked).toContain('a');
  });

  test('NOT_LEADER names the next one to ask; a member that stops is left alone', async () => {
    const { router } = setUp(
      new Map([
        ['a', 'a'],
        ['b', 'b'],
        ['c', null],
      ]),
    );
    expect(await router.pick()).toBe('a');
    const refused = (reason: 'NOT_LEADER' | 'SHUTTING_DOWN', leaderAddress: string | null): Failure => ({
      kind: 'refused',
      error: new QuorateError({ reason, message: reason }),
      leaderAddress,
    });
    router.failed('a', refused('NOT_LEADER', 'b'));
    expect(await router.pick()).toBe('b');
    router.failed('b', refused('SHUTTING_DOWN', null));
    expect(await router.pick()).not.toBe('b');
  });

  const memberList = (...ids: string[]): ClusterFacts['members'] =>
    ids.map((address) => ({ memberId: `m-${address}`, address }));

  test('R2: members that were added are asked, those that were removed are not', async () => {
    const says = new Map<string, string | null>(['a', 'b', 'c', 'd', 'e'].map((address) => [address, null]));
    let members = memberList('a', 'b', 'c', 'd');
    let configurationIndex = 5;
    const { router, asked, pass } = setUp(says, (address) => ({
      // One that was left behind still has the old list.
      members: address === 'c' ? memberList('a', 'b', 'c') : members,
      configurationIndex: address === 'c' ? 1 : configurationIndex,
    }));
    await router.pick();
    pass(60);
    asked.length = 0;
    await router.pick();
    expect(asked).toEqual(['a', 'b', 'c', 'd']);
    members = memberList('a', 'd', 'e');
    configurationIndex = 9;
    pass(60);
    await router.pick();
    pass(60);
    asked.length = 0;
    await router.pick();
    expect(asked).toEqual(['a', 'd', 'e']);
  });

  test('R2: the addresses that were given come back when no other member is left', async () => {
    const says = new Map<string, string | null>([['a', null]]);
    const { router, pass, asked } = setUp(says, () => ({ members: [{ memberId: 'other', address: '' }] }));
    await router.pick();
    pass(3_000);
    asked.length = 0;
    await router.pick();
    expect(asked.length).toBeGreaterThan(0);
    expect(await router.pick()).not.toBeNull();
  });

  test('R2: a member that was removed is not believed about the leader', async () => {
    const says = new Map<string, string | null>([
      ['a', 'a'],
      ['b', null],
      ['c', null],
    ]);
    const { router } = setUp(says, (address) => ({ removed: address === 'a' }));
    expect(await router.pick()).not.toBe('x');
    expect([await router.pickInTurn(), await router.pickInTurn(), await router.pickInTurn()].sort()).toEqual([
      'a',
      'b',
      'c',
    ]);
  });

  test('R2: while the leader stays, it is asked now and then who the members are', async () => {
    const says = new Map<string, string | null>([
      ['a', 'a'],
      ['b', 'a'],
      ['c', 'a'],
    ]);
    const { router, asked, pass } = setUp(says, () => ({ members: memberList('a', 'b', 'd'), configurationIndex: 3 }));
    await router.pick();
    asked.length = 0;
    pass(9_000);
    await router.pick();
    expect(asked).toEqual([]);
    pass(2_000);
    await router.pick();
    expect(asked).toEqual(['a']);
  });
});
