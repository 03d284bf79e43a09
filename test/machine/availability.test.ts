/** A1–A3 in the state: who is lagging, who may acknowledge early, who is isolated, and who is evicted. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AvailabilityRow } from '../../src/machine/availability/types.ts';
import { availabilityRows, sidelined } from '../../src/machine/availability/view.ts';
import { POLICY } from '../../src/machine/detection/types.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { type MemberId, memberId } from '../../src/types/ids.ts';
import { Bench } from './kit.ts';

const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((id) => memberId(id)) as [
  MemberId,
  MemberId,
  MemberId,
  MemberId,
  MemberId,
];
const PERMIT_MS = POLICY.permitAsyncMs.normal;
const GRACE_MS = POLICY.evictionGraceMs.normal;

const lagging = (member: MemberId, on = true): CommandBody => ({
  kind: 'markLagging',
  member,
  lagging: on,
  detail: 'x',
});
const permit = (member: MemberId, on = true): CommandBody => ({ kind: 'permitAsync', member, on });
const isolated = (member: MemberId, on = true): CommandBody => ({ kind: 'markIsolated', member, isolated: on });
const evict = (member: MemberId, ...voters: MemberId[]): CommandBody => ({ kind: 'evictMember', member, voters });
const remove = (member: MemberId): CommandBody => ({ kind: 'changeMembers', changes: [{ kind: 'remove', member }] });

function bench(level = 3): Bench {
  const made = new Bench();
  made.done('featureLevelSet', { kind: 'setFeatureLevel', level, pinned: false });
  return made;
}

function change(on: Bench, body: CommandBody): string {
  return on.done('availabilityChanged', body).eviction;
}

function row(on: Bench, member: MemberId): AvailabilityRow | null {
  return on.machine.rows.availability.get(member);
}

function outcomes(on: Bench): readonly string[] {
  return on.events.filter(({ kind }) => kind === 'member.availability').map(({ outcome }) => outcome);
}

function alerts(on: Bench): readonly string[] {
  return on.machine.rows.alert.range('', '\u007f', 1_000).map(([, { name }]) => name);
}

describe('feature level 3', () => {
  it.each([lagging(b), permit(b), isolated(b), evict(b, a, b, c)])('is what $kind needs', (body) => {
    const on = bench(2);
    on.changedRows();
    expect(on.rejected(body).reason).toBe('FEATURE_LEVEL_TOO_LOW');
    expect(on.changedRows()).toEqual([]);
  });

  it('does not help against bad fields: they change nothing', () => {
    const on = bench();
    const bad = 'not a name' as MemberId;
    for (const body of [lagging(bad), permit(bad), isolated(bad), evict(bad, a), evict(b), evict(b, b, b)]) {
      expect(on.rejected(body).reason).toBe('INVALID_ARGUMENT');
    }
    expect(availabilityRows(on.machine)).toEqual([]);
  });
});

describe('A1: a lagging member', () => {
  it('is marked until it keeps up, and leaves no row', () => {
    const on = bench();
    change(on, lagging(b));
    expect(row(on, b)).toMatchObject({ lagging: true });
    expect(sidelined(on.machine).lagging).toEqual(new Set([b]));
    change(on, lagging(b, false));
    expect(row(on, b)).toBeNull();
    expect(outcomes(on)).toEqual(['LAGGING b', 'KEEPS_UP b']);
  });

  it('is one at a time; saying it again changes nothing', () => {
    const on = bench();
    change(on, lagging(b));
    on.changedRows();
    change(on, lagging(b));
    expect(on.changedRows().filter(({ table }) => table !== 'audit')).toEqual([]);
    expect(on.rejected(lagging(c)).reason).toBe('AVAILABILITY_LIMIT');
    change(on, lagging(b, false));
    change(on, lagging(c));
  });

  it('that was removed does not stand in the way of another, and its row goes', () => {
    const on = bench();
    change(on, lagging(b));
    on.done('membersChanged', remove(b));
    expect(sidelined(on.machine).lagging).toEqual(new Set());
    change(on, lagging(c));
    expect(row(on, b)).toBeNull();
    expect(on.rejected(lagging(b)).reason).toBe('MEMBER_NOT_FOUND');
  });
});

describe('A2: permit-async', () => {
  it('clears itself after its time, with an event, and leaves neither row nor timer', () => {
    const on = bench();
    change(on, permit(b));
    expect(row(on, b)?.asyncUntilMs).toBe(on.timeMs + PERMIT_MS);
    expect(on.machine.nextTimerMs()).toBe(on.timeMs + PERMIT_MS);
    on.apply({ kind: 'advanceTime' }, { timeMs: on.timeMs + PERMIT_MS - 1 });
    expect(row(on, b)).not.toBeNull();
    on.apply({ kind: 'advanceTime' }, { timeMs: on.timeMs + 1 });
    expect(row(on, b)).toBeNull();
    expect(on.machine.nextTimerMs()).toBeNull();
    expect(outcomes(on)).toEqual(['ASYNC_ON b', 'ASYNC_OFF b']);
    expect(alerts(on)).toEqual(['permit_async']);
  });

  it('is for one member; for the same one again it begins anew', () => {
    const on = bench();
    change(on, permit(b));
    expect(on.rejected(permit(c)).reason).toBe('AVAILABILITY_LIMIT');
    on.timeMs += 1_000;
    change(on, permit(b));
    expect(on.machine.nextTimerMs()).toBe(on.timeMs + PERMIT_MS);
    change(on, permit(b, false));
    expect(on.machine.nextTimerMs()).toBeNull();
    change(on, permit(c));
    expect(sidelined(on.machine).doubtful).toEqual(new Set([c]));
  });

  it('is not for a lagging or isolated member, and a member that has it does not lag', () => {
    const on = bench();
    change(on, lagging(b));
    expect(on.rejected(permit(b)).reason).toBe('AVAILABILITY_LIMIT');
    change(on, isolated(c));
    expect(on.rejected(permit(c)).reason).toBe('AVAILABILITY_LIMIT');
    change(on, permit(d));
    change(on, lagging(b, false));
    expect(on.rejected(lagging(d)).reason).toBe('AVAILABILITY_LIMIT');
  });

  it('of a removed member does not stand in the way of another, and its timer finds nothing amiss', () => {
    const on = bench();
    change(on, permit(b));
    on.done('membersChanged', remove(b));
    change(on, permit(c));
    on.apply({ kind: 'advanceTime' }, { timeMs: on.timeMs + 2 * PERMIT_MS });
    expect(availabilityRows(on.machine)).toEqual([]);
    const other = bench();
    change(other, permit(b));
    other.done('membersChanged', remove(b));
    other.apply({ kind: 'advanceTime' }, { timeMs: other.timeMs + 2 * PERMIT_MS });
    expect(other.machine.rows.availability.size).toBe(0);
  });
});

describe('A3: an isolated member', () => {
  it('waits out its grace, with an issue and an alert, and is evicted where enough voters are left', () => {
    const on = bench();
    expect(change(on, isolated(b))).toBe('PENDING');
    expect(row(on, b)).toMatchObject({ isolatedAtMs: on.timeMs, evictAtMs: on.timeMs + GRACE_MS });
    on.timeMs += GRACE_MS - 1;
    expect(on.rejected(evict(b, a, b, c)).reason).toBe('AVAILABILITY_LIMIT');
    on.timeMs += 1;
    expect(change(on, evict(b, a, b, c))).toBe('EVICTED');
    expect(row(on, b)).toBeNull();
    expect(on.machine.members()).toMatchObject([{ member: b, wanted: 'removed' }]);
    expect(alerts(on)).toEqual(['pending_eviction']);
    expect(outcomes(on)).toEqual(['PENDING_EVICTION b', 'EVICTED b']);
    expect(on.machine.rows.issue.range('', '\u007f', 10)).toMatchObject([[expect.anything(), { state: 'CLOSED' }]]);
    expect(on.rejected(evict(b, a, c)).reason).toBe('MEMBER_NOT_FOUND');
  });

  it('that comes back in time stays, and its issue is closed', () => {
    const on = bench();
    change(on, isolated(b));
    expect(change(on, isolated(b))).toBe('PENDING');
    change(on, isolated(b, false));
    on.timeMs += 2 * GRACE_MS;
    expect(on.rejected(evict(b, a, b, c)).reason).toBe('AVAILABILITY_LIMIT');
    expect(on.machine.members()).toEqual([]);
    expect(outcomes(on)).toEqual(['PENDING_EVICTION b', 'BACK b']);
  });

  it('stays, and people are paged once, where too few voters would be left', () => {
    const on = bench();
    change(on, isolated(b));
    change(on, permit(c));
    on.timeMs += GRACE_MS;
    expect(change(on, evict(b, a, b, c))).toBe('BLOCKED');
    expect(change(on, evict(b, a, b, c))).toBe('BLOCKED');
    expect(alerts(on)).toEqual(['pending_eviction', 'permit_async', 'eviction_blocked']);
    expect(on.machine.members()).toEqual([]);
    change(on, permit(c, false));
    expect(change(on, evict(b, a, b, c))).toBe('EVICTED');
  });

  it.each([
    [[a, b], [b], 'BLOCKED'],
    [[a, b, c], [b], 'EVICTED'],
    [[a, b, c], [b, c], 'BLOCKED'],
    [[a, b, c, d], [b], 'EVICTED'],
    [[a, b, c, d], [b, c], 'BLOCKED'],
    [[a, b, c, d, e], [b, c], 'EVICTED'],
    [[a, b, c, d, e], [b, c, d], 'BLOCKED'],
    // A learner that is away takes no voter along, and the others count all the same.
    [[a, c], [b], 'EVICTED'],
  ])('of %j voters, with %j isolated: %s', (voters, away, verdict) => {
    const on = bench();
    for (const member of away) change(on, isolated(member));
    on.timeMs += GRACE_MS;
    expect(change(on, evict(b, ...voters))).toBe(verdict);
  });
});

describe('over random histories', () => {
  const members = [a, b, c, d, e];
  const command = fc.record({
    kind: fc.constantFrom('markLagging', 'permitAsync', 'markIsolated', 'evictMember'),
    member: fc.constantFrom(...members),
    on: fc.boolean(),
    waitMs: fc.constantFrom(0, 1_000, GRACE_MS, PERMIT_MS),
  });

  it('one lags at most, one is early at most, and no eviction leaves fewer voters than a majority of those before', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (history) => {
        const on = bench();
        let voters = [...members];
        for (const { kind, member, on: flag, waitMs } of history) {
          on.timeMs += waitMs;
          const before = new Map(availabilityRows(on.machine).map((one) => [one.member, one]));
          const bodies = { markLagging: lagging, permitAsync: permit, markIsolated: isolated } as const;
          const body =
            kind === 'evictMember' ? evict(member, ...voters) : bodies[kind as keyof typeof bodies](member, flag);
          const { result } = on.apply(body);
          const rows = availabilityRows(on.machine);
          expect(rows.filter((one) => one.lagging).length).toBeLessThanOrEqual(1);
          expect(rows.filter((one) => one.asyncUntilMs !== 0).length).toBeLessThanOrEqual(1);
          if (result?.ok !== true || result.value.kind !== 'availabilityChanged' || result.value.eviction !== 'EVICTED')
            continue;
          if (kind !== 'evictMember') continue;
          const left = voters.filter((id) => id !== member && (before.get(id)?.isolatedAtMs ?? 0) === 0);
          expect(left.length).toBeGreaterThanOrEqual(Math.floor(voters.length / 2) + 1);
          voters = voters.filter((id) => id !== member);
        }
      }),
      { numRuns: 200 },
    );
  });
});
