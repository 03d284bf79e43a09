/** A1–A3: what the API says of members that are slow or away, and to whom it gives permit-async. */
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AvailabilityService } from '../../src/gen/quorate/v1/availability_pb.ts';
import type { AvailabilityRow } from '../../src/machine/availability/types.ts';
import type { PeerStatus, RaftStatus } from '../../src/raft/types.ts';
import { clusterTimeMs, type LogIndex, type MemberId, memberId } from '../../src/types/ids.ts';
import { TestApi } from './support.ts';

const { method } = AvailabilityService;
let api: TestApi;

beforeEach(async () => {
  api = await new TestApi().start();
  api.member.applies({ kind: 'availabilityChanged', eviction: '' });
});

afterEach(() => api.stop());

const ids = (names: string): MemberId[] => [...names].map((name) => memberId(name));

function cluster(
  voters: string,
  some: { away?: string; recovering?: string; learners?: string; joint?: boolean } = {},
): void {
  const { away = '', recovering = '', learners = '', joint = false } = some;
  const configuration = { voters: ids(voters), votersOutgoing: joint ? ids(voters) : [], learners: ids(learners) };
  const peers = ids(voters + learners)
    .filter((id) => id !== 'a')
    .map((id): PeerStatus => {
      const at = {
        matchIndex: 40 as LogIndex,
        nextIndex: 41 as LogIndex,
        state: 'replicate',
        inflightMessages: 0,
      } as const;
      return { id, ...at, active: !away.includes(id), recovering: recovering.includes(id) };
    });
  api.member.raftFields = { configuration, peers } satisfies Partial<RaftStatus>;
}

function put(name: string, some: Partial<AvailabilityRow>): void {
  const member = memberId(name);
  const none = {
    lagging: false,
    asyncUntilMs: 0,
    isolatedAtMs: 0,
    evictAtMs: 0,
    evictionBlocked: false,
    issue: 0,
  } as const;
  api.member.view.state.tables.domain.availability.put(member, { member, ...none, ...some });
}

const permit = (id: string, on = true) => api.call(method.permitAsync, { memberId: id, on });

async function refusal(id: string): Promise<string> {
  const answer = await permit(id);
  if (answer.ok) throw new Error('was carried out');
  expect(api.member.mutations).toEqual([]);
  return answer.error.reason;
}

describe('GetAvailability', () => {
  it('lists those of which something holds', async () => {
    cluster('abd', { learners: 'c' });
    put('c', { lagging: true });
    put('d', { isolatedAtMs: clusterTimeMs(500), evictAtMs: clusterTimeMs(900), evictionBlocked: true, issue: 7 });
    expect(await api.call(method.getAvailability, {})).toMatchObject({
      ok: true,
      value: {
        timeMs: 1000n,
        members: [
          { memberId: 'c', role: 'learner', lagging: true, asyncUntilMs: 0n },
          { memberId: 'd', role: 'voter', isolatedAtMs: 500n, evictAtMs: 900n, evictionBlocked: true, issue: 7n },
        ],
      },
    });
  });
});

describe('A2: PermitAsync', () => {
  it('is given to a voter among enough others, by the state of now', async () => {
    cluster('abc');
    expect(await permit('c')).toMatchObject({ ok: true });
    expect(api.member.consistencies).toEqual([{ kind: 'linearizable' }]);
    expect(api.member.mutations.map(({ request }) => request.body)).toEqual([
      { kind: 'permitAsync', member: 'c', on: true },
    ]);
    cluster('abcde', { away: 'b' });
    expect(await permit('c')).toMatchObject({ ok: true });
  });

  it.each([
    ['an unknown member', () => cluster('abc'), 'x', 'MEMBER_NOT_FOUND'],
    ['a learner', () => cluster('abc', { learners: 'd' }), 'd', 'MEMBER_NOT_VOTER'],
    ['the leader', () => cluster('abc'), 'a', 'AVAILABILITY_LIMIT'],
    ['one of two', () => cluster('ab'), 'b', 'AVAILABILITY_LIMIT'],
    ['one of three with another away', () => cluster('abc', { away: 'b' }), 'c', 'AVAILABILITY_LIMIT'],
    ['one of three with another that recovers', () => cluster('abc', { recovering: 'b' }), 'c', 'AVAILABILITY_LIMIT'],
    ['one of five with two others away', () => cluster('abcde', { away: 'bd' }), 'c', 'AVAILABILITY_LIMIT'],
    ['anybody while a change is under way', () => cluster('abc', { joint: true }), 'c', 'AVAILABILITY_LIMIT'],
    ['no id', () => cluster('abc'), 'not an id', 'INVALID_ARGUMENT'],
  ])('is not given to %s', async (_, given, id, reason) => {
    given();
    expect(await refusal(id)).toBe(reason);
  });

  it('is not given while another voter that is needed is in doubt', async () => {
    cluster('abc');
    put('b', { asyncUntilMs: clusterTimeMs(5_000) });
    expect(await refusal('c')).toBe('AVAILABILITY_LIMIT');
  });

  it('is taken back whatever the others do, and by the leader alone', async () => {
    cluster('abc', { away: 'bc' });
    expect(await permit('c', false)).toMatchObject({ ok: true });
    api.member.raftFields = { role: 'follower', leader: memberId('b') };
    expect(await permit('c', false)).toMatchObject({
      ok: false,
      error: { reason: 'NOT_LEADER', code: Code.UNAVAILABLE },
    });
  });
});
