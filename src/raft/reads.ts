/** ReadIndex in motion: who asks, who confirms, who is refused. The bookkeeping is in `read-index.ts`. */
import type { LogIndex, MemberId } from '../types/ids.ts';
import { hasReadLease } from './lease.ts';
import { quorumIndex } from './quorum.ts';
import type { ForwardedReads, LeaderReads, ReadRequest } from './read-index.ts';
import { sendHeartbeats } from './replication.ts';
import { type FollowerRole, type LeaderRole, leaderOf, type State } from './state.ts';
import type { RefusalReason } from './types.ts';

function refuseLocal(state: State, requestId: number, reason: RefusalReason): void {
  state.output.effect({ kind: 'readRefused', requestId, reason, leader: leaderOf(state) });
}

/** Answers whoever asked: a client of this member, or a follower. null refuses. */
function answer(state: State, request: ReadRequest, index: LogIndex | null, reason: RefusalReason): void {
  const { from, requestId } = request;
  if (from !== null) {
    state.output.send({
      kind: 'readIndexResponse',
      from: state.id,
      to: from,
      term: state.term,
      requestId,
      readIndex: index,
    });
  } else if (index === null) refuseLocal(state, requestId, reason);
  else state.output.effect({ kind: 'readReady', requestId, index });
}

/** `readIndex` input; the clock was read just before. */
export function readLocal(state: State, requestId: number, lease: boolean): void {
  const { role } = state;
  if (role.kind === 'leader') {
    if (lease && hasCommittedInTerm(state, role) && hasReadLease(state, role)) {
      state.output.effect({ kind: 'readReady', requestId, index: state.commitIndex });
    } else readOnLeader(state, role, { from: null, requestId });
    return;
  }
  if (role.kind !== 'follower' || role.leader === null) {
    refuseLocal(state, requestId, 'not_leader');
    return;
  }
  if (role.reads.add(requestId)) forwardReads(state, role);
  else refuseLocal(state, requestId, 'overloaded');
}

/** A read reached the leader: it joins the next round. */
export function readOnLeader(state: State, leader: LeaderRole, request: ReadRequest): void {
  if (!leader.reads.add(request)) {
    answer(state, request, null, 'overloaded');
    return;
  }
  // While a round is out, later reads gather for the next one.
  if (!leader.reads.hasRounds) startReadRound(state, leader);
}

/** True once an entry of the own term is committed: only then is the commit index known to be current (thesis 6.4). */
export function hasCommittedInTerm(state: State, leader: LeaderRole): boolean {
  return state.commitIndex >= leader.termStartIndex;
}

/** Starts a round when reads wait and may be served, and sends the heartbeats that confirm it. */
export function startReadRound(state: State, leader: LeaderRole): void {
  if (!leader.reads.hasWaiting || !hasCommittedInTerm(state, leader)) return;
  leader.reads.startRound(state.commitIndex);
  sendHeartbeats(state, leader);
  confirmReads(state, leader);
}

/** Answers the rounds that a majority has confirmed; this member confirms its own at once. */
export function confirmReads(state: State, leader: LeaderRole): void {
  if (!leader.reads.hasRounds) return;
  const { sequence } = leader.reads;
  const confirmed = quorumIndex(state.configuration, (id) =>
    id === state.id ? sequence : (leader.peerById.get(id)?.readSequence ?? 0),
  );
  for (const round of leader.reads.confirm(confirmed)) {
    for (const request of round.requests) answer(state, request, round.index, 'not_leader');
  }
  if (!leader.reads.hasRounds) startReadRound(state, leader);
}

/** Leadership is lost: nothing that waits was confirmed. */
export function refuseLeaderReads(state: State, reads: LeaderReads): void {
  for (const request of reads.drain()) answer(state, request, null, 'not_leader');
}

/** The leader that was asked leads no more, or did not answer in time. */
export function refuseForwardedReads(state: State, reads: ForwardedReads): void {
  for (const requestId of reads.drain()) refuseLocal(state, requestId, 'not_leader');
}

function sendReadBatch(state: State, leader: MemberId, requestId: number): void {
  state.output.send({ kind: 'readIndexRequest', from: state.id, to: leader, term: state.term, requestId });
}

/** Passes queued reads on to the leader, unless a batch is out already. */
export function forwardReads(state: State, role: FollowerRole): void {
  if (role.leader === null || !role.reads.canSend) return;
  const wireId = state.nextReadBatchId++;
  role.reads.send(wireId, state.tick);
  sendReadBatch(state, role.leader, wireId);
}

/** Repeats a request that may be lost, and gives up after an election timeout. */
export function tickForwardedReads(state: State, role: FollowerRole): void {
  if (role.leader === null) return;
  if (role.reads.expired(state.tick, state.electionTicks)) {
    refuseForwardedReads(state, role.reads);
    return;
  }
  const wireId = role.reads.resend(state.tick, state.heartbeatTicks);
  if (wireId !== null) sendReadBatch(state, role.leader, wireId);
}
