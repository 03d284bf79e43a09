/** Leader (Raft paper, sections 5.2–5.4 and 8). */

import { assert } from '../../types/assert.ts';
import { logIndex, type MemberId } from '../../types/ids.ts';
import { peersOf } from '../configuration.ts';
import { appendAsLeader, forgetPeer, syncPeers } from '../leader-log.ts';
import type { Progress } from '../progress.ts';
import { quorumIndex, type Vote, voteResult } from '../quorum.ts';
import { LeaderReads } from '../read-index.ts';
import { startReadRound } from '../reads.ts';
import { leaveJoint, resignIfRemoved } from '../reconfigure.ts';
import { announceCommit, sendHeartbeats } from '../replication.ts';
import { commitTo, type LeaderRole, mark, mayCampaign, type State } from '../state.ts';
import type { TraceEvent } from '../trace.ts';
import { continueTransfer, settleTransfer } from '../transfer.ts';

import { becomeFollower } from './follower.ts';

const NO_PAYLOAD = new Uint8Array(0);

/** Starts a leadership: nothing is known of the followers yet; a no-op opens the term (section 8). */
export function becomeLeader(state: State): void {
  assert(state.role.kind === 'candidate', 'only a candidate becomes leader');
  assert(mayCampaign(state), 'I9: only voters lead');
  const firstNew = logIndex(state.log.lastIndex + 1);
  if (state.trace !== null) traceElected(state, state.trace, state.role.votes);
  const leader: LeaderRole = {
    kind: 'leader',
    peers: [],
    peerById: new Map<MemberId, Progress>(),
    termStartIndex: firstNew,
    reads: new LeaderReads(state.limits.readsMax),
    uncommittedBytes: 0,
    heartbeatElapsed: 0,
    transferBegun: false,
    leaseFloorMs: Number.NEGATIVE_INFINITY,
  };
  state.role = leader;
  // Whoever left with the newest change may not have been told by the leader that made it.
  const { previous } = state.membership;
  syncPeers(state, leader, previous === null ? [] : peersOf(previous.configuration, state.id));
  settleTransfer(state, state.id);
  appendAsLeader(state, leader, [{ index: firstNew, term: state.term, kind: 'noop', payload: NO_PAYLOAD }]);
}

function traceElected(state: State, trace: (event: TraceEvent) => void, votes: ReadonlyMap<MemberId, Vote>): void {
  const { lastIndex, lastTerm } = state.log;
  const said = (vote: Vote): MemberId[] => [...votes.keys()].filter((id) => votes.get(id) === vote).sort();
  trace({ kind: 'elected', term: state.term, lastIndex, lastTerm, granted: said('granted'), blank: said('blank') });
}

/**
 * Commits what a majority holds durably, this member included only as far as its own disk is (known bug R3), and
 * only once that reaches an entry of the current term: older ones are committed by it (section 5.4.2, figure 8).
 */
export function advanceCommit(state: State, leader: LeaderRole): void {
  const { durableIndex } = state.durability;
  const index = logIndex(
    quorumIndex(state.configuration, (id) =>
      id === state.id ? durableIndex : (leader.peerById.get(id)?.matchIndex ?? 0),
    ),
  );
  const previous = state.commitIndex;
  if (index <= previous || state.log.termAt(index) !== state.term) return;
  assert(index >= leader.termStartIndex, 'I10: a leader commits by counting only in its own term');
  commitTo(state, index);
  const firstCounted = Math.max(previous + 1, leader.termStartIndex);
  leader.uncommittedBytes -= state.log.bytesOf(logIndex(firstCounted), index);
  // The heartbeats of a round of reads announce the commit as well.
  if (previous < leader.termStartIndex) startReadRound(state, leader);
  announceCommit(state, leader);
  leaveJoint(state, leader);
  resignIfRemoved(state, leader);
}

/** True while a majority was heard from within an election timeout; the leader itself counts. */
function hasActiveQuorum(state: State, leader: LeaderRole): boolean {
  const result = voteResult(
    state.configuration,
    (id) => id === state.id || leader.peerById.get(id)?.isActive(state.tick, state.electionTicks) === true,
  );
  return result === 'won';
}

/** Those who left the configuration are told for ten election timeouts, or until they know. */
const DEPARTURE_TIMEOUTS = 10;

export function tickLeader(state: State, leader: LeaderRole): void {
  if (!hasActiveQuorum(state, leader)) {
    mark(state, 'check_quorum_step_down');
    becomeFollower(state, state.term, null);
    return;
  }
  for (const progress of leader.peers) {
    if (progress.departedFor(state.tick) >= DEPARTURE_TIMEOUTS * state.electionTicks) forgetPeer(leader, progress);
  }
  // A transfer may have held it back.
  leaveJoint(state, leader);
  leader.heartbeatElapsed++;
  if (leader.heartbeatElapsed < state.heartbeatTicks) return;
  leader.heartbeatElapsed = 0;
  // Reads that wait behind a round whose heartbeats were lost get a round of their own.
  if (leader.reads.hasWaiting && state.commitIndex >= leader.termStartIndex) startReadRound(state, leader);
  else sendHeartbeats(state, leader);
  continueTransfer(state, leader);
}
