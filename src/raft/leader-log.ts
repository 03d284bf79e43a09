/** What a leader adds to its log, and whom it sends the log to. */
import { logIndex, type MemberId, type Term } from '../types/ids.ts';
import { peersOf } from './configuration.ts';
import { entryBytes } from './log-view.ts';
import { Progress } from './progress.ts';
import { replicateToAll } from './replication.ts';
import type { LeaderRole, State } from './state.ts';
import { spansOf } from './trace.ts';
import type { Entry } from './types.ts';

/** Adds entries of the own term to the log and sends them out; they are persisted at the same time (thesis 10.2.1). */
export function appendAsLeader(state: State, leader: LeaderRole, entries: readonly Entry[]): void {
  const first = entries[0];
  const last = entries[entries.length - 1];
  if (first === undefined || last === undefined) return;
  state.log.append(entries);
  state.output.appended(entries);
  for (const entry of entries) leader.uncommittedBytes += entryBytes(entry);
  state.trace?.({
    kind: 'append',
    term: state.term,
    from: first.index,
    to: last.index,
    prevTerm: state.log.termAt(logIndex(first.index - 1)) as Term,
    spans: spansOf(entries),
  });
  if (state.membership.append(entries)) {
    // A lease is given by a quorum of the configuration in force: what was confirmed before does not count.
    leader.leaseFloorMs = state.nowMs;
    syncPeers(
      state,
      leader,
      leader.peers.map(({ id }) => id),
    );
  }
  replicateToAll(state, leader);
}

/**
 * Sends the log to everybody in the configuration, and goes on for a while with those of `before` who left it: they count in
 * nothing, but are told, so that they do not go on campaigning (thesis 4.2.3).
 */
export function syncPeers(state: State, leader: LeaderRole, before: readonly MemberId[]): void {
  const members = peersOf(state.configuration, state.id);
  const next = logIndex(state.log.lastIndex + 1);
  const peers = [...new Set([...members, ...before])].sort().map((id) => {
    const known = leader.peerById.get(id);
    const progress = known ?? new Progress(id, next, state.tick, state.limits);
    if (members.includes(id)) progress.rejoin();
    else progress.depart(state.membership.current.index, state.tick);
    return progress;
  });
  setPeers(leader, peers);
}

/** The log is not sent to `progress` any more. */
export function forgetPeer(leader: LeaderRole, progress: Progress): void {
  setPeers(
    leader,
    leader.peers.filter((other) => other !== progress),
  );
}

function setPeers(leader: LeaderRole, peers: readonly Progress[]): void {
  leader.peers = peers;
  leader.peerById = new Map(peers.map((progress) => [progress.id, progress]));
}
