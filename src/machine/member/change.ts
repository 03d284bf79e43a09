/**
 * Wishes about members (R2). The state says what is wanted; the leader works towards it by changes of the configuration, which
 * is no part of this state. The first members of a cluster have no row until they are removed: that an id is free among them,
 * and that a voter is left, is checked before the command is proposed.
 *
 * MB1. All changes of a command are carried out, or none.
 * MB2. An id is given once, as far back as removed members are remembered (MB3): the last MEMBER_ROWS_MAX of them, less those that
 *      are wanted. A new data folder under the id of a member that is gone would find itself in the configurations of the
 *      log that it is sent, as a voter, before it comes to the entry that added it, and could elect itself there.
 * MB3. Rows are bounded: the longest removed ones are forgotten, never one that is wanted; and with one, that its removed successor
 *      names it: nobody is to be told of it again.
 */
import { isName, type MemberId, type Revision } from '../../types/ids.ts';
import { ADDRESS_LENGTH_MAX, MEMBER_CHANGES_MAX, MEMBERS_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, rejection } from '../context.ts';
import { KEY_END } from '../keys.ts';
import type { MemberRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { MemberChange, Rejection } from '../types.ts';
import { checkInteger, checkText, firstOf, invalid } from '../validate.ts';
import { checkFeatureLevel, useFeatureLevel } from './feature.ts';

const LEVEL = 2;
const INCARNATION = /^[0-9a-f]{32}$/;

/** Rows as the changes so far leave them; nothing of it is in the state yet (MB1). */
type Rows = Map<MemberId, MemberRow>;

export function changeMembers(context: ApplyContext, body: BodyOf<'changeMembers'>): Outcome {
  const { state, revision } = context;
  const { member } = state.tables;
  const bad = firstOf(checkFeatureLevel(state, LEVEL), checkChanges(body.changes));
  if (bad !== null) return err(bad);
  const rows: Rows = new Map(member.range('', KEY_END, member.size).map(([, row]) => [row.member, row]));
  const changed = new Set<MemberId>();
  for (const change of body.changes) {
    const before = rows.get(change.member);
    const refused = carryOut(rows, change, revision);
    if (refused !== null) return err(refused);
    if (rows.get(change.member) !== before) changed.add(change.member);
  }
  const tooMany = checkCount(rows);
  if (tooMany !== null) return err(tooMany);
  useFeatureLevel(state, LEVEL);
  for (const id of [...changed].sort()) {
    const row = rows.get(id);
    if (row !== undefined) member.put(id, row);
  }
  forget(state);
  return ok({ kind: 'membersChanged' });
}

function checkChanges(changes: readonly MemberChange[]): Rejection | null {
  const count = checkInteger('changes', changes.length, 1, MEMBER_CHANGES_MAX);
  if (count !== null) return count;
  const named = new Set<MemberId>();
  for (const change of changes) {
    const bad = checkChange(change);
    if (bad !== null) return bad;
    if (named.has(change.member)) return invalid('changes.member', `Name ${change.member} once: it is changed twice.`);
    named.add(change.member);
  }
  return null;
}

function checkChange(change: MemberChange): Rejection | null {
  const id = checkId('changes.member', change.member);
  if (id !== null || change.kind !== 'add') return id;
  const { replaces, role } = change;
  return firstOf(
    checkText('changes.peerAddress', change.peerAddress, 1, ADDRESS_LENGTH_MAX),
    checkText('changes.clientAddress', change.clientAddress, 1, ADDRESS_LENGTH_MAX),
    INCARNATION.test(change.incarnation)
      ? null
      : invalid('changes.incarnation', 'Give changes.incarnation as the new member says it: 32 hexadecimal digits.'),
    role === 'voter' || role === 'learner' ? null : invalid('changes.role', 'Give changes.role as voter or learner.'),
    replaces === '' ? null : checkId('changes.replaces', replaces),
    replaces === change.member
      ? invalid('changes.replaces', 'Give the new member another id than the one that it replaces.')
      : null,
  );
}

function checkId(field: string, id: MemberId): Rejection | null {
  if (isName(id)) return null;
  return invalid(
    field,
    `Give ${field} 1 to 64 characters of a-z, 0-9 and '-', with a letter or a digit at either end.`,
  );
}

function carryOut(rows: Rows, change: MemberChange, changedRevision: Revision): Rejection | null {
  switch (change.kind) {
    case 'add':
      return add(rows, change, changedRevision);
    case 'promote': {
      const row = rows.get(change.member);
      if (row === undefined || row.wanted === 'removed') return notFound(change.member);
      if (row.wanted === 'learner') rows.set(change.member, { ...row, wanted: 'voter', changedRevision });
      return null;
    }
    default: {
      const row = rows.get(change.member) ?? firstMember(change.member, changedRevision);
      if (row.wanted === 'removed') return null;
      // Whom it replaced stays on record: that one may be out, and have no row of its own yet (MB2).
      rows.set(change.member, { ...row, wanted: 'removed', changedRevision });
      return null;
    }
  }
}

function add(rows: Rows, change: Extract<MemberChange, { kind: 'add' }>, changedRevision: Revision): Rejection | null {
  const { member, incarnation, replaces } = change;
  const row = rows.get(member);
  if (row !== undefined && row.wanted !== 'removed') {
    return rejection('MEMBER_EXISTS', `Choose another id: ${member} is a member, or on its way to be one.`, {
      member,
      wanted: row.wanted,
    });
  }
  // One that was replaced gets its own row only when it is out.
  if (row !== undefined || [...rows.values()].some((other) => other.replaces === member)) {
    return rejection('MEMBER_EXISTS', `Choose another id: ${member} was a member once, and ids are given once.`, {
      member,
      wanted: 'removed',
    });
  }
  if (replaces !== '' && rows.get(replaces)?.wanted === 'removed') return notFound(replaces);
  // The fields are copied: nothing else that the caller's object may hold gets into the state.
  const { peerAddress, clientAddress, role: wanted } = change;
  rows.set(member, { member, peerAddress, clientAddress, incarnation, wanted, replaces, changedRevision });
  return null;
}

/** A first member as the state knows it: not at all. */
function firstMember(member: MemberId, changedRevision: Revision): MemberRow {
  const unknown = { peerAddress: '', clientAddress: '', incarnation: '', replaces: '' } as const;
  return { member, ...unknown, wanted: 'voter', changedRevision };
}

/** While one member replaces another, both are wanted; they count as one. */
function checkCount(rows: Rows): Rejection | null {
  const wanted = [...rows.values()].filter((row) => row.wanted !== 'removed');
  const replaced = new Set(wanted.map((row) => row.replaces));
  if (wanted.filter((row) => !replaced.has(row.member)).length <= MEMBERS_MAX && wanted.length <= 2 * MEMBERS_MAX) {
    return null;
  }
  return rejection('LIMIT_EXCEEDED', `Remove members first: a cluster has at most ${MEMBERS_MAX}.`, {
    limit: MEMBERS_MAX,
  });
}

/** MB3. */
function forget(state: MachineState): void {
  const { member } = state.tables;
  if (member.size <= state.limits.memberRowsMax) return;
  const removed = member
    .range('', KEY_END, member.size)
    .map(([, row]) => row)
    .filter(({ wanted }) => wanted === 'removed')
    .sort((x, y) => x.changedRevision - y.changedRevision || (x.member < y.member ? -1 : 1));
  for (const { member: id } of removed.slice(0, member.size - state.limits.memberRowsMax)) {
    member.delete(id);
    for (const row of removed) {
      if (row.replaces === id && member.has(row.member)) member.put(row.member, { ...row, replaces: '' });
    }
  }
}

function notFound(member: MemberId): Rejection {
  return rejection('MEMBER_NOT_FOUND', `Add ${member} first: no such member was added, or it was removed.`, { member });
}
