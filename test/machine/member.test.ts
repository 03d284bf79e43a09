import { describe, expect, it } from 'vitest';
import { FEATURE_LEVEL_MAX } from '../../src/machine/member/feature.ts';
import type { CommandBody, MemberChange } from '../../src/machine/types.ts';
import type { MemberId } from '../../src/types/ids.ts';
import { ADDRESS_LENGTH_MAX, MEMBER_CHANGES_MAX, MEMBERS_MAX } from '../../src/types/limits.ts';
import { Bench, Mirror, session } from './kit.ts';

const id = (name: string): MemberId => name as MemberId;
const incarnation = (n: number): string => n.toString(16).padStart(32, '0');
type Add = Extract<MemberChange, { kind: 'add' }>;

const add = (member: string, more: Partial<Add> = {}): MemberChange => ({
  kind: 'add',
  member: id(member),
  peerAddress: `${member}:7001`,
  clientAddress: `${member}:7000`,
  incarnation: incarnation(1),
  role: 'voter',
  replaces: '',
  ...more,
});
const promote = (member: string): MemberChange => ({ kind: 'promote', member: id(member) });
const remove = (member: string): MemberChange => ({ kind: 'remove', member: id(member) });
const change = (...changes: readonly MemberChange[]): CommandBody => ({ kind: 'changeMembers', changes });
const level = (value: number, pinned = false): CommandBody => ({ kind: 'setFeatureLevel', level: value, pinned });

function atLevelTwo(memberRowsMax = 256): Bench {
  const bench = new Bench({ memberRowsMax });
  bench.done('featureLevelSet', level(2));
  return bench;
}

const wanted = (bench: Bench): Record<string, string> =>
  Object.fromEntries(bench.machine.members().map((row) => [row.member, row.wanted]));

describe('R9: the feature level', () => {
  it('is 1 and leaves no row, so that the state hash of a cluster that never used it is the one of release 0.1', () => {
    const [bench, plain] = [new Bench(), new Bench()];
    expect(bench.machine.featureLevel()).toEqual({ level: 1, used: 1, pinned: false });
    bench.done('featureLevelSet', level(1));
    plain.apply({ kind: 'advanceTime' });
    bench.rejected(change(add('d')));
    plain.apply({ kind: 'advanceTime' });
    expect(bench.machine.stateHash()).toBe(plain.machine.stateHash());
    expect(bench.machine.takeChanges().map(({ table }) => table)).not.toContain('feature');
  });

  it('rises, goes back as long as nothing used it, and stays pinned', () => {
    const bench = new Bench();
    expect(bench.done('featureLevelSet', level(2)).level).toBe(2);
    bench.done('featureLevelSet', level(1, true));
    expect(bench.machine.featureLevel()).toEqual({ level: 1, used: 1, pinned: true });
    expect(bench.rejected(change(add('d'))).reason).toBe('FEATURE_LEVEL_TOO_LOW');
    bench.done('featureLevelSet', level(2));
    bench.done('membersChanged', change(add('d')));
    expect(bench.machine.featureLevel()).toEqual({ level: 2, used: 2, pinned: false });
    const refused = bench.rejected(level(1, true));
    expect(refused).toMatchObject({ reason: 'FEATURE_LEVEL_IN_USE', details: { level: '1', used: '2' } });
    bench.done('featureLevelSet', level(2, true));
    expect(bench.machine.featureLevel()).toEqual({ level: 2, used: 2, pinned: true });
  });

  it.each([0, -1, 1.5, Number.NaN, 1_001])(
    'refuses %s; a level that only a newer version knows stops the member',
    (n) => {
      const bench = new Bench();
      expect(bench.rejected(level(n))).toMatchObject({ reason: 'INVALID_ARGUMENT', details: { field: 'level' } });
      expect(() => bench.apply(level(FEATURE_LEVEL_MAX + 1))).toThrow('older than the entry');
    },
  );
});

describe('R2: what is wanted of members', () => {
  it('adds, promotes and removes; the first members have no row until they go', () => {
    const bench = atLevelTwo();
    expect(bench.machine.members()).toEqual([]);
    bench.done('membersChanged', change(add('d', { role: 'learner' }), add('c', { incarnation: incarnation(2) })));
    const d = { member: 'd', peerAddress: 'd:7001', clientAddress: 'd:7000', incarnation: incarnation(1) };
    expect(bench.machine.members()).toEqual([
      {
        ...d,
        member: 'c',
        peerAddress: 'c:7001',
        clientAddress: 'c:7000',
        incarnation: incarnation(2),
        wanted: 'voter',
        replaces: '',
        changedRevision: 2,
      },
      { ...d, wanted: 'learner', replaces: '', changedRevision: 2 },
    ]);
    bench.done('membersChanged', change(promote('d'), remove('a')));
    expect(wanted(bench)).toEqual({ a: 'removed', c: 'voter', d: 'voter' });
    expect(bench.machine.members()[0]).toMatchObject({
      member: 'a',
      incarnation: '',
      peerAddress: '',
      changedRevision: 3,
    });
    bench.done('membersChanged', change(remove('d')));
    expect(bench.machine.members().at(-1)).toEqual({ ...d, wanted: 'removed', replaces: '', changedRevision: 4 });
  });

  it('a change that is there already changes nothing', () => {
    const bench = atLevelTwo();
    bench.done('membersChanged', change(add('d'), remove('a')));
    const rows = bench.machine.members();
    bench.done('membersChanged', change(promote('d'), remove('a')));
    expect(bench.machine.members()).toEqual(rows);
  });

  it('refuses an id that is taken, and one that nobody has', () => {
    const bench = atLevelTwo();
    bench.done('membersChanged', change(add('d'), add('e'), remove('a')));
    bench.done('membersChanged', change(remove('e')));
    const reason = (body: CommandBody): string => bench.rejected(body).reason;
    expect(reason(change(add('d', { incarnation: incarnation(9) })))).toBe('MEMBER_EXISTS');
    expect(reason(change(promote('x')))).toBe('MEMBER_NOT_FOUND');
    expect(reason(change(promote('e')))).toBe('MEMBER_NOT_FOUND');
    expect(reason(change(add('f', { replaces: id('e') })))).toBe('MEMBER_NOT_FOUND');
  });

  it('gives an id once: in the log that a new folder is sent it would take itself for the member that is gone (MB2)', () => {
    const bench = atLevelTwo();
    bench.done('membersChanged', change(add('d'), remove('a')));
    bench.done('membersChanged', change(remove('d')));
    const reason = (body: CommandBody): string => bench.rejected(body).reason;
    expect(reason(change(add('d')))).toBe('MEMBER_EXISTS');
    expect(reason(change(add('d', { incarnation: incarnation(2) })))).toBe('MEMBER_EXISTS');
    // A first member, whose folder nobody wrote down.
    expect(reason(change(add('a')))).toBe('MEMBER_EXISTS');
    // One that is being replaced has no row of its own yet.
    bench.done('membersChanged', change(add('e', { replaces: id('b') })));
    expect(reason(change(add('b')))).toBe('MEMBER_EXISTS');
    expect(wanted(bench)).toEqual({ a: 'removed', d: 'removed', e: 'voter' });
    // Nor when its successor is removed before that row is there.
    bench.done('membersChanged', change(remove('e')));
    expect(reason(change(add('b', { incarnation: incarnation(3) })))).toBe('MEMBER_EXISTS');
  });

  it('carries out all changes of a command, or none', () => {
    const bench = atLevelTwo();
    const before = bench.machine.stateHash();
    expect(bench.rejected(change(add('d'), remove('a'), promote('x'))).reason).toBe('MEMBER_NOT_FOUND');
    expect(bench.machine.stateHash()).toBe(before);
  });

  const bad: readonly (readonly [field: string, changes: readonly MemberChange[]])[] = [
    ['changes', []],
    ['changes', Array.from({ length: MEMBER_CHANGES_MAX + 1 }, (_, i) => remove(`m${i}`))],
    ['changes.member', [add('d'), remove('d')]],
    ...['', 'A', 'a b', '-a', 'a-', 'x'.repeat(65), 'ä', 'a\n', '__proto__'].flatMap((name) => [
      ['changes.member', [remove(name)]] as const,
      ...(name === '' ? [] : [['changes.replaces', [add('d', { replaces: id(name) })]] as const]),
    ]),
    ['changes.replaces', [add('d', { replaces: id('d') })]],
    ['changes.peerAddress', [add('d', { peerAddress: '' })]],
    ['changes.peerAddress', [add('d', { peerAddress: 'x'.repeat(ADDRESS_LENGTH_MAX + 1) })]],
    ['changes.clientAddress', [add('d', { clientAddress: '' })]],
    ['changes.clientAddress', [add('d', { clientAddress: 'x'.repeat(ADDRESS_LENGTH_MAX + 1) })]],
    ['changes.incarnation', [add('d', { incarnation: '' })]],
    ['changes.incarnation', [add('d', { incarnation: 'G'.repeat(32) })]],
    ['changes.role', [add('d', { role: 'king' as 'voter' })]],
  ];
  it.each(bad)('refuses %s %#', (field, changes) => {
    const refused = atLevelTwo().rejected(change(...changes));
    expect(refused).toMatchObject({ reason: 'INVALID_ARGUMENT', details: { field } });
  });

  it('takes as many as a cluster may have, counting one that replaces another with it', () => {
    const bench = atLevelTwo();
    const names = Array.from({ length: MEMBERS_MAX }, (_, i) => `m${i}`);
    bench.done('membersChanged', change(...names.map((name) => add(name))));
    expect(bench.rejected(change(add('x'))).reason).toBe('LIMIT_EXCEEDED');
    bench.done('membersChanged', change(...names.map((name, i) => add(`new${i}`, { replaces: id(name) }))));
    expect(bench.rejected(change(add('x', { replaces: id('new0') }))).reason).toBe('LIMIT_EXCEEDED');
    bench.done('membersChanged', change(...names.map((name) => remove(name))));
    expect(Object.values(wanted(bench)).filter((state) => state === 'voter')).toHaveLength(MEMBERS_MAX);
  });

  it('forgets the longest removed ones, never one that is wanted', () => {
    const bench = atLevelTwo(4);
    bench.done('membersChanged', change(add('z'), add('y')));
    bench.done('membersChanged', change(remove('b')));
    bench.done('membersChanged', change(remove('a')));
    expect(wanted(bench)).toEqual({ a: 'removed', b: 'removed', y: 'voter', z: 'voter' });
    bench.done('membersChanged', change(remove('c')));
    expect(wanted(bench)).toEqual({ a: 'removed', c: 'removed', y: 'voter', z: 'voter' });
    const mirror = new Mirror();
    mirror.take(bench.machine);
    expect([...mirror.rows.values()].filter(({ table }) => table === 'member')).toHaveLength(4);
  });

  it('R6: a retry gets the first answer', () => {
    const bench = atLevelTwo();
    const opened = bench.openSession();
    const body = change(add('d'));
    const first = bench.apply(body, { session: session(opened, 1) });
    const again = bench.apply(body, { session: session(opened, 1) });
    expect(again).toEqual({ result: first.result, replayed: true, events: [] });
  });
});
