/** What `MembershipService` is asked: requests in order, and what is refused of their fields. */
import { MEMBER_CHANGES_MAX } from '../../src/types/limits.ts';

/** One field of a request is replaced. */
export interface Row {
  readonly name: string;
  /** The field that the violation names. */
  readonly field: string;
  readonly set: Readonly<Record<string, unknown>>;
  /** In the violation's description: what is wrong and what to send. */
  readonly says: RegExp;
}

/** One of each kind, in the order in which rows name them. */
export function changesOfEachKind(): object[] {
  const addresses = { peerAddress: '127.0.0.1:1', clientAddress: '127.0.0.1:2' };
  const add = { memberId: 'new', ...addresses, learner: false, replaces: 'old' };
  return [
    { change: { case: 'add', value: add } },
    { change: { case: 'promote', value: { memberId: 'other' } } },
    { change: { case: 'remove', value: { memberId: 'another' } } },
  ];
}

/** Names of members are shorter, and narrower, than others. */
export function memberName(field: string, empty: 'allowed' | 'refused' = 'refused'): Row[] {
  const says = /send 1 to 64 characters of a-z, 0-9 and '-', with a letter or digit at both ends/;
  const wrong = [
    'x'.repeat(65),
    'x'.repeat(100_000),
    'A',
    'a b',
    'schlüssel',
    'a\u0000b',
    'a:b',
    '-a',
    'a-',
    'a/b',
    'a.b',
  ];
  return (empty === 'allowed' ? wrong : [...wrong, '']).map((value) => {
    return { name: `${field} ${JSON.stringify(value.slice(0, 70))}`, field, set: { [field]: value }, says };
  });
}

function address(field: string): Row[] {
  const wrong = ['', 'host', ':1', 'host:', 'host:0', 'host:65536', 'host:-1', 'host:1e3', 'a b:1', 'unix:/a', '::1:1'];
  return [...wrong, 'dns:///host:1', 'host:1\n', `${'x'.repeat(300)}:1`].map((value) => ({
    name: `${field} ${JSON.stringify(value.slice(0, 70))}`,
    field,
    set: { [field]: value },
    says: /is no address; send host:port/,
  }));
}

/** A change in the form that a request holds it in. */
export function changeTo(kind: 'promote' | 'remove', member: string): object {
  const type = kind === 'promote' ? 'PromoteMember' : 'RemoveMember';
  const value = { $typeName: `quorate.v1.${type}`, memberId: member };
  return { $typeName: 'quorate.v1.MemberChange', change: { case: kind, value } };
}

export function memberChanges(): Row[] {
  const field = 'changes';
  const many = Array.from({ length: MEMBER_CHANGES_MAX + 1 }, (_, i) => changeTo('remove', `m-${i}`));
  const count = { field, says: new RegExp(`send 1 to ${MEMBER_CHANGES_MAX}`) };
  const twice = { field, says: /send one change for each member/ };
  const unset = { $typeName: 'quorate.v1.MemberChange', change: { case: undefined } };
  const add = 'changes[0].add';
  return [
    { name: 'no change', set: { [field]: [] }, ...count },
    { name: 'too many changes', set: { [field]: many }, ...count },
    { name: 'a member twice', set: { [field]: [changeTo('remove', 'c'), changeTo('promote', 'c')] }, ...twice },
    { name: 'a member that is replaced and removed', set: { 'changes[2].remove.member_id': 'old' }, ...twice },
    {
      name: 'a change of no kind',
      field: 'changes[0]',
      set: { [field]: [unset] },
      says: /is empty; send add, promote or remove/,
    },
    ...memberName(`${add}.member_id`),
    ...address(`${add}.peer_address`),
    ...address(`${add}.client_address`),
    ...memberName(`${add}.replaces`, 'allowed'),
    {
      name: 'a learner that replaces',
      field: `${add}.replaces`,
      set: { [`${add}.learner`]: true },
      says: /only a voter replaces/,
    },
    {
      name: 'a member that replaces itself',
      field: `${add}.replaces`,
      set: { [`${add}.replaces`]: 'new' },
      says: /a new member has an id of its own/,
    },
    ...memberName('changes[1].promote.member_id'),
    ...memberName('changes[2].remove.member_id'),
  ];
}
