/** A2, A3: what the leader proposes about members that are away or early. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AWAKE_GAP_MS, ContactWatch } from '../../src/availability/contact.ts';
import { mayBeAsync, nextAvailability, type Seen } from '../../src/availability/decide.ts';
import type { AvailabilityRow } from '../../src/machine/availability/types.ts';
import { POLICY } from '../../src/machine/detection/types.ts';
import type { PeerStatus, RaftStatus } from '../../src/raft/types.ts';
import { type ClusterTimeMs, type MemberId, memberId } from '../../src/types/ids.ts';

const ids = (names: string): MemberId[] => [...names].map((name) => memberId(name));
const ISOLATION_MS = POLICY.isolationMs.normal;
const NOW = 10_000_000;

interface Given {
  readonly voters?: string;
  readonly learners?: string;
  readonly outgoing?: string;
  /** Not heard of now. */
  readonly away?: string;
  readonly recovering?: string;
  readonly rows?: readonly (Partial<AvailabilityRow> & { readonly member: MemberId })[];
  readonly removed?: string;
  readonly silentMs?: Readonly<Record<string, number>>;
}

function seen(given: Given): Seen {
  const { voters = 'abc', learners = '', outgoing = '', away = '', recovering = '', removed = '' } = given;
  const peers = ids(voters + learners + outgoing)
    .filter((id) => id !== 'a')
    .map((id) => ({ id, active: !away.includes(id), recovering: recovering.includes(id) }) as PeerStatus);
  const configuration = { voters: ids(voters), votersOutgoing: ids(outgoing), learners: ids(learners) };
  const status = { id: memberId('a'), role: 'leader', configuration, peers } as unknown as RaftStatus;
  const none = { lagging: false, asyncUntilMs: 0, isolatedAtMs: 0, evictAtMs: 0, evictionBlocked: false, issue: 0 };
  const rows = (given.rows ?? []).map((row) => [row.member, { ...none, ...row }]);
  const view = {
    rows: { availability: { size: rows.length, range: () => rows }, policy: { get: () => null } },
    members: () => ids(removed).map((member) => ({ member, wanted: 'removed' })),
  } as unknown as Seen['view'];
  const silentMs = (member: MemberId): number => given.silentMs?.[member] ?? 0;
  return { status, view, nowMs: NOW as ClusterTimeMs, silentMs };
}

const time = (ms: number): ClusterTimeMs => ms as ClusterTimeMs;
const isolatedRow = (name: string, some: Partial<AvailabilityRow> = {}) => {
  const times = { isolatedAtMs: time(NOW - 100), evictAtMs: time(NOW) };
  return { member: memberId(name), ...times, ...some };
};
const asyncRow = (name: string) => ({ member: memberId(name), asyncUntilMs: time(NOW + 1) });

describe('A2: who may acknowledge before its fsync', () => {
  it.each([
    ['a', 'a', false],
    ['ab', 'b', false],
    ['abc', 'c', true],
    ['abcd', 'c', true],
    ['abcde', 'e', true],
    ['abc', 'd', false],
  ])('of %s: %s → %s', (voters, member, may) => {
    expect(mayBeAsync(ids(voters), memberId(member))).toBe(may);
  });

  it('ends when the member is no voter any more, when too few are left, and when it is isolated', () => {
    const off = { kind: 'permitAsync', member: 'c', on: false };
    expect(nextAvailability(seen({ rows: [asyncRow('c')] }))).toBeNull();
    expect(nextAvailability(seen({ voters: 'ab', learners: 'c', rows: [asyncRow('c')] }))).toEqual(off);
    expect(nextAvailability(seen({ voters: 'ac', rows: [asyncRow('c')] }))).toEqual(off);
    const rows = [{ ...isolatedRow('c', { evictAtMs: time(NOW + 9) }), ...asyncRow('c') }];
    expect(nextAvailability(seen({ away: 'c', rows }))).toEqual(off);
  });
});

describe('A3: a member that is away', () => {
  it('is isolated after the whole time, voter or learner, not the leader, not one that is to go', () => {
    const silentMs = { a: ISOLATION_MS, b: ISOLATION_MS - 1, c: ISOLATION_MS, d: ISOLATION_MS };
    const isolated = (member: string) => ({ kind: 'markIsolated', member, isolated: true });
    expect(nextAvailability(seen({ away: 'bc', silentMs }))).toEqual(isolated('c'));
    expect(nextAvailability(seen({ learners: 'd', removed: 'c', away: 'bcd', silentMs }))).toEqual(isolated('d'));
    expect(nextAvailability(seen({ removed: 'c', away: 'bc', silentMs }))).toBeNull();
  });

  it('is back as soon as it is heard of', () => {
    const rows = [isolatedRow('c')];
    expect(nextAvailability(seen({ rows }))).toEqual({ kind: 'markIsolated', member: 'c', isolated: false });
  });

  it('is evicted after its grace, not while a change is under way', () => {
    const evict = { kind: 'evictMember', member: 'c', voters: ['a', 'b', 'c'] };
    expect(nextAvailability(seen({ away: 'c', rows: [isolatedRow('c')] }))).toEqual(evict);
    expect(nextAvailability(seen({ away: 'c', rows: [isolatedRow('c')], outgoing: 'abc' }))).toBeNull();
    const early = [isolatedRow('c', { evictAtMs: time(NOW + 1) })];
    expect(nextAvailability(seen({ away: 'c', rows: early }))).toBeNull();
  });

  it('is brought before the state once when it must not be evicted, so that people are paged, and again when it may be', () => {
    const evict = { kind: 'evictMember', member: 'c', voters: ['a', 'b', 'c'] };
    expect(nextAvailability(seen({ away: 'c', rows: [asyncRow('b'), isolatedRow('c')] }))).toEqual(evict);
    const blocked = isolatedRow('c', { evictionBlocked: true });
    expect(nextAvailability(seen({ away: 'c', rows: [asyncRow('b'), blocked] }))).toBeNull();
    expect(nextAvailability(seen({ away: 'c', rows: [blocked] }))).toEqual(evict);
  });

  it('is not evicted while voters that would be left are silent or recover', () => {
    expect(nextAvailability(seen({ away: 'bc', rows: [isolatedRow('c')] }))).toBeNull();
    expect(nextAvailability(seen({ away: 'c', recovering: 'b', rows: [isolatedRow('c')] }))).toBeNull();
  });

  it('over random clusters: is proposed only where a majority of the voters before is left and well, or to page once', () => {
    const flags = fc.record({
      away: fc.boolean(),
      recovering: fc.boolean(),
      isolated: fc.boolean(),
      early: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(flags, { minLength: 1, maxLength: 6 }), fc.boolean(), (others, blocked) => {
        const named = others.map((one, i) => ({ ...one, name: 'bcdefg'.charAt(i) }));
        const of = (test: (one: (typeof named)[number]) => boolean): string =>
          named
            .filter(test)
            .map(({ name }) => name)
            .join('');
        const rows = named
          .filter(({ isolated, early }) => isolated || early)
          .map(({ name, isolated, early }) => ({
            ...(early ? asyncRow(name) : { member: memberId(name) }),
            ...(isolated ? isolatedRow(name, { evictionBlocked: blocked }) : {}),
          }));
        const voters = `a${of(() => true)}`;
        const given = { voters, away: of(({ away }) => away), recovering: of(({ recovering }) => recovering), rows };
        const next = nextAvailability(seen(given));
        if (next?.kind !== 'evictMember') return;
        const well = (one: (typeof named)[number]): boolean =>
          !one.away && !one.recovering && !one.isolated && !one.early && one.name !== next.member;
        const left = 1 + named.filter(well).length;
        const known = 1 + named.filter((one) => !one.isolated && !one.early && one.name !== next.member).length;
        const needed = Math.floor(voters.length / 2) + 1;
        expect(left >= needed || (known < needed && !blocked)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('A3: for how long a member was not heard of', () => {
  const peers = (active: boolean) => ({ peers: [{ id: memberId('b'), active } as PeerStatus] });
  const b = memberId('b');

  it('adds up while the leader is awake, and ends with the first sign of life', () => {
    const contact = new ContactWatch();
    contact.observe(peers(false), 0);
    contact.observe(peers(false), 400);
    contact.observe(peers(false), 1_000);
    expect(contact.silentMs(b)).toBe(1_000);
    contact.observe(peers(true), 1_020);
    expect(contact.silentMs(b)).toBe(0);
    expect(contact.silentMs(memberId('c'))).toBe(0);
  });

  it('does not count a pause of the leader itself', () => {
    const contact = new ContactWatch();
    contact.observe(peers(false), 0);
    contact.observe(peers(false), 500);
    contact.observe(peers(false), 500 + 10 * AWAKE_GAP_MS);
    expect(contact.silentMs(b)).toBe(500);
  });

  it('forgets who is no peer any more', () => {
    const contact = new ContactWatch();
    contact.observe(peers(false), 0);
    contact.observe(peers(false), 900);
    contact.observe({ peers: [] }, 920);
    contact.observe(peers(false), 940);
    expect(contact.silentMs(b)).toBe(20);
  });
});
