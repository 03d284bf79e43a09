/** The inputs that are not messages: time, proposals, and what the driver has carried out. */
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type MemberId } from '../types/ids.ts';
import { isSoleVoter } from './configuration.ts';
import { appendAsLeader } from './leader-log.ts';
import { ENTRY_OVERHEAD_BYTES } from './log-view.ts';
import { tickForwardedReads } from './reads.ts';
import { tickRecovery } from './recovery.ts';
import { logRead } from './replication.ts';
import { countOwnVote } from './roles/candidate.ts';
import { advanceCommit, tickLeader } from './roles/leader.ts';
import { becomePreCandidate } from './roles/pre-candidate.ts';
import { restoreDurable } from './snapshot.ts';
import { leaderOf, mayCampaign, type State } from './state.ts';
import { suspectLeader, tickSuspicion } from './suspicion.ts';
import { tickTransfer } from './transfer.ts';
import type { Entry, Proposal, RefusalReason } from './types.ts';

/** A reading of the monotonic clock. Several sources may hand them in a little out of order. */
export function readClock(state: State, nowMs: number): void {
  if (nowMs > state.nowMs) state.nowMs = nowMs;
}

export function tick(state: State, nowMs: number): void {
  readClock(state, nowMs);
  state.tick++;
  tickTransfer(state);
  if (state.role.kind === 'leader') {
    tickLeader(state, state.role);
    return;
  }
  if (state.role.kind === 'follower') tickForwardedReads(state, state.role);
  state.electionElapsed++;
  tickRecovery(state);
  // Learners and members outside the configuration wait to be told (known bug E14).
  if (!mayCampaign(state)) return;
  // A sole voter has nobody to wait for; its campaign is under way once it is a candidate.
  const alone =
    state.role.kind === 'follower' && leaderOf(state) === null && isSoleVoter(state.configuration, state.id);
  if (alone || state.electionElapsed >= state.electionTimeout) becomePreCandidate(state);
  else tickSuspicion(state);
}

export function propose(state: State, proposals: readonly Proposal[]): void {
  const { role, output } = state;
  const refuse = (proposalId: number, reason: RefusalReason): void =>
    output.effect({ kind: 'proposalRefused', proposalId, reason, leader: leaderOf(state) });
  if (role.kind !== 'leader' || state.transfer !== null || state.storageFull) {
    const reason = role.kind !== 'leader' ? 'not_leader' : state.transfer !== null ? 'transferring' : 'storage_full';
    for (const { proposalId } of proposals) refuse(proposalId, reason);
    return;
  }
  const { term } = state;
  const entries: Entry[] = [];
  let uncommittedBytes = role.uncommittedBytes;
  for (const { proposalId, payload } of proposals) {
    const bytes = payload.length + ENTRY_OVERHEAD_BYTES;
    // One is always let through, however large, when nothing else is on its way.
    if (uncommittedBytes > 0 && uncommittedBytes + bytes > state.limits.uncommittedBytesMax) {
      refuse(proposalId, 'overloaded');
      continue;
    }
    uncommittedBytes += bytes;
    const index = logIndex(state.log.lastIndex + entries.length + 1);
    entries.push({ index, term, kind: 'command', payload });
    output.effect({ kind: 'proposalAppended', proposalId, index, term });
  }
  appendAsLeader(state, role, entries);
}

export function persisted(state: State, sequence: number): void {
  state.durability.persisted(sequence);
  state.trace?.({ kind: 'durable', sequence });
  restoreDurable(state);
  if (state.role.kind === 'candidate') countOwnVote(state, state.role);
  else if (state.role.kind === 'leader') advanceCommit(state, state.role);
  evict(state);
}

export function applied(state: State, index: LogIndex): void {
  assert(index >= state.appliedIndex, 'I7: the applied index does not go back');
  assert(index <= state.releasedIndex, 'I5: only what was released is applied');
  state.appliedIndex = index;
  if (state.restoring?.durable === true && index >= state.restoring.mark.index) state.restoring = null;
  evict(state);
}

function evict(state: State): void {
  const index = Math.min(state.appliedIndex, state.durability.durableIndex);
  state.log.evict(logIndex(index), state.limits.cacheBytesMax);
}

export function logReadBack(state: State, to: MemberId, entries: readonly Entry[]): void {
  const { role } = state;
  if (role.kind !== 'leader') return;
  const progress = role.peerById.get(to);
  if (progress !== undefined) logRead(state, progress, entries);
}

export function unreachablePeer(state: State, peer: MemberId): void {
  if (state.role.kind === 'leader') state.role.peerById.get(peer)?.unreachable();
  else if (leaderOf(state) === peer) suspectLeader(state);
}
