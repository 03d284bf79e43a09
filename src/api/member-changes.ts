/**
 * Changes of members: what the state machine cannot see, checked by the leader before anything is put on record.
 *
 * MC1  A repeated request must not be refused for what its first try did: a wish that is on record already is left to the
 *      state machine, which repeats the first answer of a session. Hence the view is read after a ReadIndex.
 * MC2  A member is added only when it answers at its address, under its id, in this cluster, and has taken part in nothing:
 *      its incarnation goes into the command.
 *      No two members send clients to the same place.
 * MC3  A change leaves a voter, and a majority that was heard of lately among the voters that are left.
 */
import type { MachineView } from '../machine/api.ts';
import type { MemberRow } from '../machine/rows.ts';
import type { MemberChange } from '../machine/types.ts';
import type { MemberStatus } from '../node/types.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import { MEMBERS_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { ApiContext, IdentifiedMember } from './context.ts';
import { failure, refused } from './errors.ts';
import { isIn } from './members.ts';

type Add = Extract<MemberChange, { kind: 'add' }>;

/** How long a new member may take to say who it is, milliseconds. */
const IDENTIFY_MS = 3_000;
/** Of a first member, whose folder is in no row. */
const INCARNATION_NONE = '0'.repeat(32);

interface Situation {
  readonly status: MemberStatus;
  readonly rows: ReadonlyMap<MemberId, MemberRow>;
}

/** Completes the changes with the incarnations of new members, or says why they are not carried out. */
export async function prepareChanges(
  context: ApiContext,
  changes: readonly MemberChange[],
  force: boolean,
  deadlineMs: number,
): Promise<Result<readonly MemberChange[], StatusError>> {
  const { member } = context;
  const read = await member.read(DATA_STREAM, deadlineMs, { kind: 'linearizable' });
  if (read.kind === 'refused') return err(refused(read, context.addressOf));
  const status = member.status(DATA_STREAM);
  const notLeader = leaderOnly(context, status);
  if (notLeader !== null) return err(notLeader);
  const situation: Situation = { status, rows: rowsOf(read.view) };
  const unfit =
    checkEach(situation, changes) ??
    checkAddresses(context, situation, changes) ??
    checkCount(situation, changes) ??
    checkQuorum(situation, changes, force);
  if (unfit !== null) return err(unfit);
  return identifyAll(context, situation, changes, Math.min(IDENTIFY_MS, deadlineMs / 2));
}

/** What only the leader knows enough for; the refusal names it, so that clients go there. */
export function leaderOnly(context: ApiContext, { raft }: MemberStatus): StatusError | null {
  if (raft.role === 'leader') return null;
  const { leader } = raft;
  const message =
    leader === null
      ? `member ${context.memberId} knows no leader; try again when there is one`
      : `member ${context.memberId} does not lead; ask ${leader}`;
  const fields = { kind: 'refused', reason: leader === null ? 'NO_QUORUM' : 'NOT_LEADER', leader } as const;
  return refused({ ...fields, retryAfterMs: null, message }, context.addressOf);
}

function rowsOf(view: MachineView): Situation['rows'] {
  return new Map(view.members().map((row) => [row.member, row]));
}

/** On record already, so that the first try of this request may have put it there (MC1). */
function isOnRecord({ rows }: Situation, change: MemberChange): boolean {
  const wanted = rows.get(change.member)?.wanted;
  if (wanted === undefined) return false;
  return change.kind === 'remove' ? wanted === 'removed' : wanted !== 'removed';
}

function checkEach(situation: Situation, changes: readonly MemberChange[]): StatusError | null {
  const { configuration } = situation.status.raft;
  for (const change of changes) {
    const { member, kind } = change;
    if (isOnRecord(situation, change)) continue;
    const present = isIn(configuration, member);
    if (kind === 'add') {
      if (present) return alreadyThere(situation, member);
      const { replaces } = change;
      if (replaces === '') continue;
      if (!isMember(situation, replaces)) return notFound(replaces);
      // Of a successor's row it is concluded that whom it replaces was in once (node/membership.ts, MB5).
      if (!isIn(configuration, replaces)) return notIn(replaces);
    } else if (!present && !isMember(situation, member)) {
      return notFound(member);
    } else if (kind === 'promote') {
      const message = `${member} is a voter already; \`quorate member list\` shows what each member is`;
      return failure('MEMBER_NOT_LEARNER', message, { metadata: { member } });
    }
  }
  return null;
}

/** Wanted, or a first member that nobody asked to go. */
function isMember({ status, rows }: Situation, member: MemberId): boolean {
  const row = rows.get(member);
  return row === undefined ? isIn(status.raft.configuration, member) : row.wanted !== 'removed';
}

function alreadyThere({ rows }: Situation, member: MemberId): StatusError {
  const leaving = rows.get(member)?.wanted === 'removed';
  const message = leaving
    ? `${member} is still on its way out, and ids are given once; choose another id`
    : `${member} is a member already; choose another id`;
  return failure('MEMBER_EXISTS', message, { metadata: { member } });
}

function notFound(member: MemberId): StatusError {
  const message = `there is no member ${member}; \`quorate member list\` shows who is there`;
  return failure('MEMBER_NOT_FOUND', message, { metadata: { member } });
}

function notIn(member: MemberId): StatusError {
  const message = `${member} is not in the cluster yet, or not any more: \`quorate member list\` shows when it is; only then can it be replaced`;
  return failure('MEMBER_NOT_FOUND', message, { metadata: { member } });
}

/** The state counts those that it knows; the first members of a cluster count, too. One that replaces another does not. */
function checkCount({ status, rows }: Situation, changes: readonly MemberChange[]): StatusError | null {
  const { voters, votersOutgoing, learners } = status.raft.configuration;
  const wanted = new Set<MemberId>([...voters, ...votersOutgoing, ...learners]);
  for (const row of rows.values()) {
    if (row.wanted === 'removed') wanted.delete(row.member);
    else wanted.add(row.member);
  }
  const replaced = new Set<MemberId>();
  for (const row of rows.values()) if (row.wanted !== 'removed' && row.replaces !== '') replaced.add(row.replaces);
  for (const change of changes) {
    if (change.kind === 'remove') wanted.delete(change.member);
    if (change.kind !== 'add') continue;
    wanted.add(change.member);
    if (change.replaces !== '') replaced.add(change.replaces);
  }
  const count = [...wanted].filter((member) => !replaced.has(member)).length;
  if (count <= MEMBERS_MAX || !changes.some((change) => change.kind === 'add')) return null;
  const message = `that would make ${count} members; a cluster has at most ${MEMBERS_MAX}: remove some first`;
  return failure('LIMIT_EXCEEDED', message, { metadata: { limit: String(MEMBERS_MAX) } });
}

/**
 * A slip of the pen in a client address would send clients to another member whenever the new one leads. One on the machine of a
 * member that is gone may have that one's addresses: then its peer address, where it has just said who it is, is the same, too.
 */
function checkAddresses(context: ApiContext, { status, rows }: Situation, changes: readonly MemberChange[]) {
  const adds = changes.filter((change) => change.kind === 'add' && rows.get(change.member) === undefined) as Add[];
  const present = [
    ...context.members.filter(({ id }) => isIn(status.raft.configuration, id) && !rows.has(id)),
    ...[...rows.values()].filter((row) => row.wanted !== 'removed').map((row) => ({ ...row, id: row.member })),
    ...adds.map((add) => ({ ...add, id: add.member })),
  ];
  for (const { member, peerAddress, clientAddress, replaces } of adds) {
    const metadata = { member, client_address: clientAddress };
    const mismatch = (what: string) =>
      failure('MEMBER_MISMATCH', `${clientAddress} ${what}; correct the client address of ${member}`, { metadata });
    if (clientAddress === peerAddress) return mismatch('is given twice, and members and clients have a port each');
    for (const other of present) {
      if (other.id === member || other.id === replaces || other.peerAddress === peerAddress) continue;
      if (other.clientAddress === clientAddress) return mismatch(`is where clients reach ${other.id}`);
    }
  }
  return null;
}

/** MC3. New voters come in by themselves only when they have caught up, so they need no check here. */
function checkQuorum(situation: Situation, changes: readonly MemberChange[], force: boolean): StatusError | null {
  const { raft } = situation.status;
  const going = changes.filter((change) => change.kind === 'remove' && !isOnRecord(situation, change));
  if (going.length === 0) return null;
  const gone = new Set([
    ...going.map((change) => change.member),
    ...[...situation.rows.values()].filter((row) => row.wanted === 'removed').map((row) => row.member),
  ]);
  const left = raft.configuration.voters.filter((id) => !gone.has(id));
  if (left.length === 0) {
    const message = 'that would leave no voter; add members first, and remove these when the new ones are voters';
    return failure('QUORUM_AT_RISK', message, { metadata: { voters_left: '0' } });
  }
  const active = left.filter((id) => id === raft.id || raft.peers.some((peer) => peer.id === id && peer.active));
  const majority = Math.floor(left.length / 2) + 1;
  if (force || active.length >= majority) return null;
  const silent = left.filter((id) => !active.includes(id)).join(', ');
  const message =
    `of the voters left, ${left.join(', ')}, ${active.length} ${active.length === 1 ? 'was' : 'were'} heard of lately, and ` +
    `${majority} must be: bring ${silent} back or remove it first; --force removes all the same`;
  const metadata = { voters_left: String(left.length), active: String(active.length), majority: String(majority) };
  return failure('QUORUM_AT_RISK', message, { metadata });
}

async function identifyAll(
  context: ApiContext,
  situation: Situation,
  changes: readonly MemberChange[],
  deadlineMs: number,
): Promise<Result<readonly MemberChange[], StatusError>> {
  const results = await Promise.all(
    changes.map(async (change): Promise<Result<MemberChange, StatusError>> => {
      if (change.kind !== 'add') return ok(change);
      // MC1: what was met then counts; the state machine answers, also for an id that was given once and is gone.
      const known = situation.rows.get(change.member)?.incarnation;
      if (known !== undefined) return ok({ ...change, incarnation: known === '' ? INCARNATION_NONE : known });
      return identifyOne(context, situation.status, change, deadlineMs);
    }),
  );
  const complete: MemberChange[] = [];
  for (const result of results) {
    if (!result.ok) return result;
    complete.push(result.value);
  }
  return ok(complete);
}

async function identifyOne(
  context: ApiContext,
  status: MemberStatus,
  change: Add,
  deadlineMs: number,
): Promise<Result<MemberChange, StatusError>> {
  const { member, peerAddress } = change;
  const metadata = { member, peer_address: peerAddress };
  const answer = await context.identify(peerAddress, deadlineMs);
  if (!answer.ok) {
    const message =
      `${answer.error}; start ${member} there with \`quorate server --join\`, and check that member ${context.memberId} ` +
      `reaches ${peerAddress}`;
    return err(failure('MEMBER_UNREACHABLE', message, { metadata }));
  }
  const mismatch = mismatchOf(context, status, member, answer.value);
  if (mismatch === null) return ok({ ...change, incarnation: answer.value.incarnation });
  return err(failure('MEMBER_MISMATCH', `${peerAddress} ${mismatch}`, { metadata }));
}

function mismatchOf(
  { clusterId }: ApiContext,
  { featureLevel }: MemberStatus,
  member: MemberId,
  found: IdentifiedMember,
): string | null {
  if (found.clusterId !== clusterId) {
    return `belongs to cluster ${found.clusterId}, this is ${clusterId}; correct clusterId of the new member`;
  }
  if (found.memberId !== member) return `is member ${found.memberId}, not ${member}; check the address and the id`;
  if (!found.joining) {
    return 'does not wait to be added: it has a log of its own; start it on an empty data folder with `quorate server --join`';
  }
  if (found.featureLevel < featureLevel) {
    return `runs version ${found.version} with feature level ${found.featureLevel}, the cluster is at ${featureLevel}; upgrade it`;
  }
  return null;
}
