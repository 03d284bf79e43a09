/** Changes of the configuration by joint consensus (Raft thesis, section 4.3): into it, out of it, and a leader that is removed. */
import { logIndex, type MemberId } from '../types/ids.ts';
import { isJoint, isSortedUnique, isVoter } from './configuration.ts';
import { appendAsLeader } from './leader-log.ts';
import type { Progress } from './progress.ts';
import { hasCommittedInTerm } from './reads.ts';
import { sendHeartbeat } from './replication.ts';
import { becomeFollower } from './roles/follower.ts';
import { type LeaderRole, leaderOf, mark, type State } from './state.ts';
import type { Configuration, RefusalReason } from './types.ts';

/** `changeConfiguration` input. */
export function changeConfiguration(
  state: State,
  proposalId: number,
  voters: readonly MemberId[],
  learners: readonly MemberId[],
): void {
  const { role } = state;
  const wanted: Configuration = { voters: [...voters].sort(), votersOutgoing: [], learners: [...learners].sort() };
  const reason = refusal(state, wanted);
  if (reason !== null || role.kind !== 'leader') {
    const answer = { reason: reason ?? 'not_leader', leader: leaderOf(state) } as const;
    state.output.effect({ kind: 'proposalRefused', proposalId, ...answer });
    return;
  }
  const { configuration, term } = state;
  const votersChange = !sameIds(configuration.voters, wanted.voters);
  const next = votersChange ? { ...wanted, votersOutgoing: configuration.voters } : wanted;
  const index = logIndex(state.log.lastIndex + 1);
  state.output.effect({ kind: 'proposalAppended', proposalId, index, term });
  appendConfiguration(state, role, next);
}

function sameIds(left: readonly MemberId[], right: readonly MemberId[]): boolean {
  return left.length === right.length && left.every((id, at) => id === right[at]);
}

function refusal(state: State, wanted: Configuration): RefusalReason | null {
  const { role, configuration, membership } = state;
  if (role.kind !== 'leader') return 'not_leader';
  // The next leader would find a change half done, and the target of the transfer might not be in it.
  if (state.transfer !== null) return 'transferring';
  // Else a leader that was deposed before it committed anything could have left a change that competes with this one, each
  // with a majority of its own (Ongaro, 2015; known bug C2).
  if (!hasCommittedInTerm(state, role)) return 'not_ready';
  // Quorums of a change and of the one before the last need not intersect (known bug C3).
  if (membership.current.index > state.commitIndex || isJoint(configuration)) return 'configuration_pending';
  const { voters, learners } = wanted;
  const valid = voters.length > 0 && isSortedUnique(voters) && isSortedUnique(learners);
  if (!valid || learners.some((id) => voters.includes(id))) return 'configuration_invalid';
  const same = sameIds(configuration.voters, voters) && sameIds(configuration.learners, learners);
  return same ? 'configuration_invalid' : null;
}

function appendConfiguration(state: State, leader: LeaderRole, configuration: Configuration): void {
  const payload = state.encodeConfiguration(configuration);
  const index = logIndex(state.log.lastIndex + 1);
  appendAsLeader(state, leader, [{ index, term: state.term, kind: 'configuration', payload }]);
}

/**
 * Whoever leads ends a joint configuration once it is committed: only then does no quorum of the old one alone decide anything
 * any more. A new leader knows that it is committed when an entry of its own term is. Not during a transfer: the log of the
 * target would fall behind.
 */
export function leaveJoint(state: State, leader: LeaderRole): void {
  const { configuration, membership } = state;
  if (!isJoint(configuration) || membership.current.index > state.commitIndex) return;
  if (state.transfer !== null || !hasCommittedInTerm(state, leader)) return;
  mark(state, 'leave_joint');
  appendConfiguration(state, leader, { ...configuration, votersOutgoing: [] });
}

/**
 * A leader that is no voter any more leads on, without counting itself, until its removal is committed (thesis 4.2.2; known bug
 * C10): before that, the others may still need it. Then it says so, has the voter that is furthest campaign, and follows.
 */
export function resignIfRemoved(state: State, leader: LeaderRole): void {
  const { configuration, membership, id: from, term } = state;
  if (isVoter(configuration, from) || membership.current.index > state.commitIndex) return;
  mark(state, 'removed_leader_resigns');
  for (const progress of leader.peers) {
    const usable = Math.min(state.commitIndex, progress.matchIndex);
    if (usable > progress.commitSent) sendHeartbeat(state, leader, progress);
  }
  let furthest: Progress | null = null;
  for (const progress of leader.peers) {
    if (!configuration.voters.includes(progress.id)) continue;
    if (furthest === null || progress.matchIndex > furthest.matchIndex) furthest = progress;
  }
  if (furthest !== null) state.output.send({ kind: 'timeoutNow', from, to: furthest.id, term });
  becomeFollower(state, term, null);
}
