/**
 * Handlers of the availability commands (A1–A3). The state does not know the configuration: what depends on it is checked by the
 * leader, when it proposes and again when it acts (`node/membership.ts`). What must hold whoever proposes is here:
 *
 * AV1  At most one member is lagging, and at most one may acknowledge before its fsync.
 * AV2  A member is evicted only after its grace, and only where the voters left, without those that are isolated as well or
 *      acknowledge before their fsync, are at least floor(N/2)+1 of the N before.
 */
import { isName, type MemberId } from '../../types/ids.ts';
import { MEMBERS_MAX, NOTE_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Handler, type Outcome, rejection } from '../context.ts';
import { policyValue } from '../detection/policy.ts';
import { noteIssue, openIssue, raiseAlert } from '../issue/issue.ts';
import { changeMembers } from '../member/change.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import type { MachineState } from '../state.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, checkText, firstOf, invalid } from '../validate.ts';
import { emitAvailability, isRemoved, livingRows, putRow, rowOf } from './rows.ts';
import type { AvailabilityRow, AvailabilityValue } from './types.ts';

const LEVEL = 3;
/** Successors and predecessors may be there at the same time. */
const VOTERS_MAX = 2 * MEMBERS_MAX;

export const availabilityHandlers: {
  readonly [K in 'markLagging' | 'permitAsync' | 'markIsolated' | 'evictMember']: Handler<K>;
} = { markLagging, permitAsync, markIsolated, evictMember };

// ---------------------------------------------------------------------------------------------- A1

function markLagging(context: ApplyContext, { member, lagging, detail }: BodyOf<'markLagging'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkId(member),
    checkText('detail', detail, 0, NOTE_LENGTH_MAX),
  );
  if (bad !== null) return err(bad);
  const row = rowOf(state, member);
  if (row.lagging === lagging) return changed('');
  const unfit = lagging ? firstOf(checkPresent(state, member), checkMayLag(state, row)) : null;
  if (unfit !== null) return err(unfit);
  useFeatureLevel(state, LEVEL);
  putRow(state, { ...row, lagging });
  emitAvailability(context, lagging ? 'LAGGING' : 'KEEPS_UP', member);
  return changed('');
}

/** AV1. Nobody waits for the fsync of a member that may acknowledge before it. */
function checkMayLag(state: MachineState, { member, asyncUntilMs }: AvailabilityRow): Rejection | null {
  const other = livingRows(state).find((row) => row.lagging);
  if (other !== undefined) {
    const message = `Wait until ${other.member} keeps up again: one member at a time is made a learner for being slow.`;
    return rejection('AVAILABILITY_LIMIT', message, { lagging: other.member, member });
  }
  if (asyncUntilMs === 0) return null;
  const message = `End the permission of ${member} first: while it acknowledges before its fsync nobody waits for its disk.`;
  return rejection('AVAILABILITY_LIMIT', message, { async: member, member });
}

// ---------------------------------------------------------------------------------------------- A2

function permitAsync(context: ApplyContext, { member, on }: BodyOf<'permitAsync'>): Outcome {
  const { state, timeMs } = context;
  const bad = firstOf(checkFeatureLevel(state, LEVEL), checkId(member));
  if (bad !== null) return err(bad);
  const row = rowOf(state, member);
  if (!on && row.asyncUntilMs === 0) return changed('');
  const unfit = on ? firstOf(checkPresent(state, member), checkMayBeAsync(state, row)) : null;
  if (unfit !== null) return err(unfit);
  useFeatureLevel(state, LEVEL);
  const asyncUntilMs = on ? ((timeMs + policyValue(state, 'permitAsyncMs')) as AvailabilityRow['asyncUntilMs']) : 0;
  putRow(state, { ...row, asyncUntilMs });
  emitAvailability(context, on ? 'ASYNC_ON' : 'ASYNC_OFF', member);
  if (on) raiseAlert(context, 'permit_async', 0, `${member} may acknowledge writes before its fsync (permit-async).`);
  return changed('');
}

/** AV1. A member that is on its way to be a learner does not count: there is nothing to gain. */
function checkMayBeAsync(state: MachineState, { member, lagging, isolatedAtMs }: AvailabilityRow): Rejection | null {
  const other = livingRows(state).find((row) => row.asyncUntilMs !== 0 && row.member !== member);
  if (other !== undefined) {
    const message = `End the permission of ${other.member} first: one member at a time may acknowledge before its fsync.`;
    return rejection('AVAILABILITY_LIMIT', message, { async: other.member, member });
  }
  if (!lagging && isolatedAtMs === 0) return null;
  const message = `Wait until ${member} is a voter again and heard of: its acknowledgements do not count now.`;
  return rejection('AVAILABILITY_LIMIT', message, { member });
}

// ---------------------------------------------------------------------------------------------- A3

function markIsolated(context: ApplyContext, { member, isolated }: BodyOf<'markIsolated'>): Outcome {
  const { state, timeMs } = context;
  const bad = firstOf(checkFeatureLevel(state, LEVEL), checkId(member));
  if (bad !== null) return err(bad);
  const row = rowOf(state, member);
  if ((row.isolatedAtMs !== 0) === isolated) return changed(pendingOf(row));
  const unfit = isolated ? firstOf(checkPresent(state, member), checkRoom(state)) : null;
  if (unfit !== null) return err(unfit);
  useFeatureLevel(state, LEVEL);
  if (!isolated) {
    putRow(state, { ...row, isolatedAtMs: 0, evictAtMs: 0, evictionBlocked: false, issue: 0 });
    noteIssue(context, row.issue, { remediated: `${member} is heard of again`, close: true });
    emitAvailability(context, 'BACK', member);
    return changed('');
  }
  const graceMs = policyValue(state, 'evictionGraceMs');
  const seen = [`${member} was not heard of for ${policyValue(state, 'isolationMs')} ms`];
  const issue = openIssue(context, { kind: 'EVICTION', loop: '', g: 0, phase: '', traceId: context.traceId, seen });
  const evictAtMs = (timeMs + graceMs) as AvailabilityRow['evictAtMs'];
  putRow(state, { ...row, isolatedAtMs: timeMs, evictAtMs, evictionBlocked: false, issue });
  raiseAlert(context, 'pending_eviction', issue, `${seen[0]}; it is evicted in ${graceMs} ms unless it comes back.`);
  emitAvailability(context, 'PENDING_EVICTION', member);
  return changed('PENDING');
}

function evictMember(context: ApplyContext, { member, voters }: BodyOf<'evictMember'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkId(member),
    checkVoters(voters),
    checkPresent(state, member),
  );
  if (bad !== null) return err(bad);
  const row = rowOf(state, member);
  const early = checkGrace(context, row);
  if (early !== null) return err(early);
  const left = votersLeft(state, member, voters);
  const needed = Math.floor(voters.length / 2) + 1;
  if (left.length < needed)
    return block(context, row, `${left.length} of ${voters.length} voters would be left, of ${needed} needed`);
  const removed = changeMembers(context, { kind: 'changeMembers', changes: [{ kind: 'remove', member }] });
  if (!removed.ok) return removed;
  useFeatureLevel(state, LEVEL);
  noteIssue(context, row.issue, { isolated: `${member} was removed; voters left: ${left.join(', ')}`, close: true });
  putRow(state, {
    ...row,
    lagging: false,
    asyncUntilMs: 0,
    isolatedAtMs: 0,
    evictAtMs: 0,
    evictionBlocked: false,
    issue: 0,
  });
  emitAvailability(context, 'EVICTED', member);
  return changed('EVICTED');
}

/** AV2. Those that are isolated too are as good as gone; one that acknowledges before its fsync is no full voter. */
export function votersLeft(state: MachineState, member: MemberId, voters: readonly MemberId[]): readonly MemberId[] {
  return voters.filter((id) => {
    const { isolatedAtMs, asyncUntilMs } = rowOf(state, id);
    return id !== member && isolatedAtMs === 0 && asyncUntilMs === 0 && !isRemoved(state, id);
  });
}

/** Pages once; the leader tries again when more voters are there. */
function block(context: ApplyContext, row: AvailabilityRow, why: string): Outcome {
  if (row.evictionBlocked) return changed('BLOCKED');
  const { state } = context;
  useFeatureLevel(state, LEVEL);
  putRow(state, { ...row, evictionBlocked: true });
  noteIssue(context, row.issue, { seen: `the eviction is blocked: ${why}` });
  raiseAlert(context, 'eviction_blocked', row.issue, `${row.member} is isolated and can not be evicted: ${why}.`);
  emitAvailability(context, 'EVICTION_BLOCKED', row.member);
  return changed('BLOCKED');
}

function checkGrace({ timeMs }: ApplyContext, { member, isolatedAtMs, evictAtMs }: AvailabilityRow): Rejection | null {
  if (isolatedAtMs === 0) {
    return rejection('AVAILABILITY_LIMIT', `Leave ${member} in: it is not marked as isolated.`, { member });
  }
  if (timeMs >= evictAtMs) return null;
  const details = { evictAtMs, member };
  return rejection('AVAILABILITY_LIMIT', `Wait until the grace of ${member} is over: it may still come back.`, details);
}

// ---------------------------------------------------------------------------------------------- checks

function changed(eviction: AvailabilityValue['eviction']): Outcome {
  return ok({ kind: 'availabilityChanged', eviction });
}

function pendingOf({ isolatedAtMs, evictionBlocked }: AvailabilityRow): AvailabilityValue['eviction'] {
  if (isolatedAtMs === 0) return '';
  return evictionBlocked ? 'BLOCKED' : 'PENDING';
}

function checkId(member: MemberId): Rejection | null {
  return isName(member) ? null : invalid('member', 'Give member as the id of a member of the cluster.');
}

function checkPresent(state: MachineState, member: MemberId): Rejection | null {
  if (!isRemoved(state, member)) return null;
  return rejection('MEMBER_NOT_FOUND', `Leave ${member} out: it was removed from the cluster.`, { member });
}

/** Members are no more than these; the bound is for proposals that name others. */
function checkRoom(state: MachineState): Rejection | null {
  if (livingRows(state).length < VOTERS_MAX) return null;
  return rejection('LIMIT_EXCEEDED', `Remove members first: at most ${VOTERS_MAX} are kept account of.`, {
    limit: VOTERS_MAX,
  });
}

function checkVoters(voters: readonly MemberId[]): Rejection | null {
  const count = checkInteger('voters', voters.length, 1, VOTERS_MAX);
  if (count !== null) return count;
  const sound = voters.every(isName) && new Set(voters).size === voters.length;
  return sound ? null : invalid('voters', 'Give voters as the ids of the voters in force, each once.');
}
