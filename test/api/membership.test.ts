import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReadConsistency } from '../../src/gen/quorate/v1/common_pb.ts';
import { MembershipService } from '../../src/gen/quorate/v1/membership_pb.ts';
import type { MemberRow } from '../../src/machine/rows.ts';
import { type LogIndex, memberId, revision } from '../../src/types/ids.ts';
import { TestApi } from './support.ts';

const { method } = MembershipService;
const INCARNATION = 'ab'.repeat(16);
let api: TestApi;

beforeEach(async () => {
  api = await new TestApi().start();
  api.member.applies({ kind: 'membersChanged' });
  api.identities.set('d.test:7200', {
    clusterId: 'test',
    memberId: 'd',
    incarnation: INCARNATION,
    version: '1.2.3',
    featureLevel: 2,
    joining: true,
  });
});

afterEach(() => api.stop());

const row = (member: string, fields: Partial<MemberRow> = {}): MemberRow => ({
  member: memberId(member),
  peerAddress: `${member}.test:7200`,
  clientAddress: `${member}.test:7100`,
  incarnation: INCARNATION,
  wanted: 'voter',
  replaces: '',
  changedRevision: revision(5),
  ...fields,
});
const added = { memberId: 'd', peerAddress: 'd.test:7200', clientAddress: 'd.test:7100' };
const add = (fields: object = {}) => ({ change: { case: 'add' as const, value: { ...added, ...fields } } });
const remove = (id: string) => ({ change: { case: 'remove' as const, value: { memberId: id } } });
const promote = (id: string) => ({ change: { case: 'promote' as const, value: { memberId: id } } });
const change = (changes: object[], fields: object = {}) =>
  api.call(method.changeMembers, { changes, ...fields } as never);

async function refusal(changes: object[], fields: object = {}): Promise<[string, string, Code]> {
  const answer = await change(changes, fields);
  expect(api.member.mutations).toEqual([]);
  if (answer.ok) throw new Error('was carried out');
  return [answer.error.reason, answer.error.message, answer.error.code];
}

function voters(...ids: string[]): void {
  const configuration = { voters: ids.map(memberId), votersOutgoing: [], learners: [] };
  const peers = ids
    .filter((id) => id !== 'a')
    .map((id) => ({
      id: memberId(id),
      matchIndex: 40 as LogIndex,
      nextIndex: 41 as LogIndex,
      state: 'replicate' as const,
      inflightMessages: 0,
      active: !id.startsWith('dead'),
      recovering: false,
    }));
  api.member.raftFields = { configuration, peers };
}

describe('R2: ListMembers', () => {
  it('says what each member is, what is wanted of it, and how far it is', async () => {
    const transfer = { to: memberId('d'), index: 30 as LogIndex, chunksAcked: 2, bytesSent: 512, resumed: 1 };
    api.member.statusFields = { transfers: [transfer] };
    api.member.view.memberRows = [row('d'), row('e', { wanted: 'removed' })];
    const answer = await api.call(method.listMembers, {});
    expect(answer).toMatchObject({
      ok: true,
      value: {
        joint: false,
        settled: false,
        configurationIndex: 1n,
        members: [
          { memberId: 'a', role: 'voter', leader: true, lagEntries: 1n, wanted: '', clientAddress: 'a.test:7100' },
          { memberId: 'b', role: 'voter', lagEntries: 3n, active: true, featureLevel: 2 },
          { memberId: 'c', role: 'learner', active: false },
          { memberId: 'd', role: '', wanted: 'voter', incarnation: INCARNATION, transfer: { bytesSent: 512n } },
        ],
      },
    });
  });

  it('is settled when the configuration is what is wanted, committed and not joint', async () => {
    voters('a', 'b', 'd');
    api.member.view.memberRows = [row('d'), row('c', { wanted: 'removed' })];
    expect(await api.call(method.listMembers, {})).toMatchObject({ ok: true, value: { settled: true, joint: false } });
    api.member.raftFields = { ...api.member.raftFields, configurationIndex: 43 as LogIndex };
    expect(await api.call(method.listMembers, {})).toMatchObject({ ok: true, value: { settled: false } });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => memberId(id));
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('ids');
    api.member.raftFields = { configuration: { voters: [a, b, d], votersOutgoing: [a, b, c], learners: [] } };
    const joint = await api.call(method.listMembers, {});
    expect(joint).toMatchObject({ ok: true, value: { joint: true, settled: false } });
    expect(joint.ok && joint.value.members.map((one) => [one.memberId, one.role, one.voter])).toEqual([
      ['a', 'voter', true],
      ['b', 'voter', true],
      ['c', 'outgoing', true],
      ['d', 'voter', true],
    ]);
  });

  it('names the members of the settings while it waits to be added', async () => {
    api.member.raftFields = { configuration: { voters: [], votersOutgoing: [], learners: [] }, role: 'follower' };
    const answer = await api.call(method.listMembers, { consistency: ReadConsistency.STALE });
    expect(answer.ok && answer.value.members.map((one) => [one.memberId, one.role])).toEqual([
      ['a', ''],
      ['b', ''],
      ['c', ''],
    ]);
  });
});

describe('R2: ChangeMembers', () => {
  it('asks a new member who it is, and puts its data folder into the command', async () => {
    const answer = await change([add({ replaces: 'b' }), promote('c')]);
    expect(answer).toMatchObject({ ok: false, error: { reason: 'MEMBER_NOT_LEARNER' } });
    api.member.view.memberRows = [row('c', { wanted: 'learner' })];
    expect(await change([add({ replaces: 'b' }), promote('c')])).toMatchObject({ ok: true });
    expect(api.member.consistencies).toContainEqual({ kind: 'linearizable' });
    expect(api.member.mutations.at(-1)?.request.body).toEqual({
      kind: 'changeMembers',
      changes: [
        {
          kind: 'add',
          member: 'd',
          peerAddress: 'd.test:7200',
          clientAddress: 'd.test:7100',
          incarnation: INCARNATION,
          role: 'voter',
          replaces: 'b',
        },
        { kind: 'promote', member: 'c' },
      ],
    });
  });

  it('refuses a member that nobody reaches, and says what to do', async () => {
    const [reason, message] = await refusal([add({ peerAddress: 'nowhere.test:1' })]);
    expect(reason).toBe('MEMBER_UNREACHABLE');
    expect(message).toMatch(/no member answers at nowhere\.test:1 .*quorate server --join/);
  });

  it('refuses a client address that clients reach another member at, unless that one had the place before', async () => {
    for (const [fields, text] of [
      [{ clientAddress: 'b.test:7100' }, 'b.test:7100 is where clients reach b; correct the client address of d'],
      [{ clientAddress: 'd.test:7200' }, 'd.test:7200 is given twice'],
    ] as const) {
      const [reason, message] = await refusal([add(fields)]);
      expect([reason, message]).toEqual(['MEMBER_MISMATCH', expect.stringContaining(text)]);
    }
    const twice = [add(), add({ memberId: 'e', peerAddress: 'e.test:7200' })];
    expect((await refusal(twice))[1]).toContain('d.test:7100 is where clients reach');
    api.member.view.memberRows = [row('x', { clientAddress: 'x.test:1' })];
    expect((await refusal([add({ clientAddress: 'x.test:1' })]))[1]).toContain('clients reach x');
    // On the machine of the one that it replaces, or of one that is gone.
    expect(await change([add({ clientAddress: 'b.test:7100', replaces: 'b' })])).toMatchObject({ ok: true });
    api.member.view.memberRows = [row('x', { clientAddress: 'x.test:1', peerAddress: 'd.test:7200' })];
    expect(await change([add({ clientAddress: 'x.test:1' })])).toMatchObject({ ok: true });
  });

  it.each([
    ['another cluster', { clusterId: 'other' }, 'belongs to cluster other, this is test'],
    ['another id', { memberId: 'x' }, 'is member x, not d'],
    ['a log of its own', { joining: false }, 'empty data folder'],
    ['an old release', { featureLevel: 1 }, 'upgrade it'],
  ])('refuses a member of %s', async (_what, fields, text) => {
    const found = api.identities.get('d.test:7200');
    if (found === undefined) throw new Error('nobody there');
    api.identities.set('d.test:7200', { ...found, ...fields });
    const [reason, message, code] = await refusal([add()]);
    expect([reason, code]).toEqual(['MEMBER_MISMATCH', Code.FAILED_PRECONDITION]);
    expect(message).toContain(text);
  });

  it('refuses an id that is taken by a first member, and one that is still on its way out', async () => {
    expect((await refusal([add({ memberId: 'b' })]))[0]).toBe('MEMBER_EXISTS');
    api.member.view.memberRows = [row('b', { wanted: 'removed' })];
    expect(await refusal([add({ memberId: 'b' })])).toEqual([
      'MEMBER_EXISTS',
      expect.stringContaining('on its way out'),
      Code.ALREADY_EXISTS,
    ]);
  });

  it('asks nobody for an id that is gone for good: the state machine says so', async () => {
    for (const incarnation of [INCARNATION, '']) {
      api.member.view.memberRows = [row('e', { wanted: 'removed', incarnation })];
      await change([add({ memberId: 'e', peerAddress: 'nowhere.test:1' })]);
      expect(api.member.mutations.at(-1)?.request.body).toMatchObject({
        changes: [{ member: 'e', incarnation: incarnation === '' ? '0'.repeat(32) : INCARNATION }],
      });
    }
  });

  it('refuses who is not there, and one member too many', async () => {
    expect((await refusal([remove('x')]))[0]).toBe('MEMBER_NOT_FOUND');
    expect((await refusal([promote('x')]))[0]).toBe('MEMBER_NOT_FOUND');
    expect((await refusal([add({ replaces: 'x' })]))[0]).toBe('MEMBER_NOT_FOUND');
    // On its way in, or replaced already: were its successor removed then, it would be taken for one that was replaced (MB5).
    api.member.view.memberRows = [row('y')];
    expect((await refusal([add({ replaces: 'y' })])).slice(0, 2)).toEqual([
      'MEMBER_NOT_FOUND',
      expect.stringMatching(/^y is not in the cluster yet/),
    ]);
    api.member.view.memberRows = [];
    voters('a', 'b', 'c', 'e', 'f', 'g', 'h');
    expect((await refusal([add()]))[0]).toBe('LIMIT_EXCEEDED');
    expect((await change([add({ replaces: 'h' })])).ok).toBe(true);
  });

  it('refuses to lose the majority that was heard of lately, unless forced; never to leave no voter', async () => {
    voters('a', 'b', 'dead');
    const [reason, message] = await refusal([remove('b')]);
    expect(reason).toBe('QUORUM_AT_RISK');
    expect(message).toMatch(/a, dead, 1 was heard of lately, and 2 must be: bring dead back or remove it first/);
    expect((await refusal([remove('a'), remove('b'), remove('dead')], { force: true }))[0]).toBe('QUORUM_AT_RISK');
    expect((await change([remove('dead')])).ok).toBe(true);
    expect((await change([remove('b')], { force: true })).ok).toBe(true);
    // One that is to go already does not count as left.
    api.member.view.memberRows = [row('b', { wanted: 'removed' }), row('dead', { wanted: 'removed' })];
    expect(await change([remove('a')])).toMatchObject({ ok: false, error: { reason: 'QUORUM_AT_RISK' } });
  });

  it('R6: a repeated request is not refused for what its first try did', async () => {
    voters('a', 'b', 'd');
    api.identities.clear();
    api.member.view.memberRows = [row('d'), row('b', { wanted: 'removed' })];
    const header = { sessionId: 9n, sequence: 3n };
    expect((await change([add(), remove('b')], { header })).ok).toBe(true);
    expect(api.member.mutations.at(-1)?.request.body).toMatchObject({
      changes: [{ kind: 'add', incarnation: INCARNATION }, { kind: 'remove' }],
    });
  });

  it('is answered by the leader alone, and names it', async () => {
    api.member.raftFields = { role: 'follower', leader: memberId('b') };
    const answer = await change([remove('c')]);
    expect(answer).toMatchObject({
      ok: false,
      error: { reason: 'NOT_LEADER', metadata: { leader: 'b', leader_address: 'b.test:7100' } },
    });
    api.member.raftFields = { role: 'follower', leader: null };
    expect(await change([remove('c')])).toMatchObject({ ok: false, error: { reason: 'NO_QUORUM' } });
  });

  it.each([
    ['nothing', [], 'changes'],
    ['an empty change', [{}], 'changes[0]'],
    ['no id', [remove('Not An Id')], 'changes[0].remove.member_id'],
    ['no address', [add({ peerAddress: 'here' })], 'changes[0].add.peer_address'],
    ['a member that replaces itself', [add({ replaces: 'd' })], 'changes[0].add.replaces'],
    ['a learner that replaces', [add({ learner: true, replaces: 'b' })], 'changes[0].add.replaces'],
    ['a member twice', [remove('b'), add({ replaces: 'b' })], 'changes'],
    ['too many', Array.from({ length: 15 }, (_, i) => remove(`m${i}`)), 'changes'],
  ])('refuses %s', async (_what, changes, field) => {
    const answer = await change(changes);
    expect(answer).toMatchObject({ ok: false, error: { reason: 'INVALID_ARGUMENT' } });
    expect(answer.ok ? [] : answer.error.violations.map((one) => one.field)).toContain(field);
  });
});

describe('R1: TransferLeadership', () => {
  it('hands over, to the named voter or to the one that is furthest', async () => {
    api.member.raftFields = { leader: memberId('b') };
    expect(await api.call(method.transferLeadership, { to: 'b' })).toMatchObject({
      ok: true,
      value: { leaderId: 'b' },
    });
    expect((await api.call(method.transferLeadership, {})).ok).toBe(true);
    expect(api.member.transfers).toEqual(['b', null]);
  });

  it('has nothing to do where the named one leads: a second try is as good as the first', async () => {
    expect(await api.call(method.transferLeadership, { to: 'a' })).toMatchObject({
      ok: true,
      value: { leaderId: 'a' },
    });
    expect(api.member.transfers).toEqual([]);
  });

  it.each([
    ['a learner', { to: 'c' }, 'done', 'MEMBER_NOT_VOTER'],
    ['one that does not take over', { to: 'b' }, 'timed_out', 'TRANSFER_FAILED'],
    ['nobody else', {}, 'refused', 'TRANSFER_FAILED'],
    ['no id', { to: '?' }, 'done', 'INVALID_ARGUMENT'],
  ] as const)('says why it did not: %s', async (_what, request, outcome, reason) => {
    api.member.transferOutcome = outcome;
    expect(await api.call(method.transferLeadership, request)).toMatchObject({ ok: false, error: { reason } });
  });

  it('is answered by the leader alone', async () => {
    api.member.raftFields = { role: 'follower', leader: memberId('b') };
    const answer = await api.call(method.transferLeadership, {});
    expect(answer).toMatchObject({ ok: false, error: { reason: 'NOT_LEADER', metadata: { leader: 'b' } } });
  });
});

describe('R2: addresses', () => {
  it('of a leader that was added later come from the replicated state', async () => {
    api.member.view.memberRows = [row('d', { clientAddress: 'elsewhere.test:9' })];
    api.member.raftFields = { role: 'follower', leader: memberId('d') };
    const answer = await api.call(method.transferLeadership, {});
    expect(answer).toMatchObject({ ok: false, error: { metadata: { leader_address: 'elsewhere.test:9' } } });
  });
});
