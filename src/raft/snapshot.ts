/**
 * Images of the state in place of entries (Raft paper, section 7): the log is cut behind one, a follower that needs what was cut
 * gets one, and takes it over.
 */
import { assert } from '../types/assert.ts';
import { logIndex, type MemberId, type Term } from '../types/ids.ts';
import { replicate } from './replication.ts';
import { becomeFollower, heardLeader } from './roles/follower.ts';
import { mark, type State } from './state.ts';
import type { SnapshotMark } from './types.ts';

/** `compacted` input. A late one, for what an image has covered meanwhile, changes nothing. */
export function compacted(state: State, index: SnapshotMark['index']): void {
  if (index <= state.log.baseIndex) return;
  assert(index <= state.appliedIndex, 'only what is applied is compacted');
  assert(index <= state.durability.durableIndex, 'only what is durable is compacted');
  state.log.compactTo(index);
  state.membership.compactTo(index);
  state.trace?.({ kind: 'compact', index });
}

/** `installSnapshot` input. */
export function installSnapshot(state: State, from: MemberId, term: Term, snapshot: SnapshotMark): void {
  const refuse = (reason: 'stale' | 'not_leader' | 'busy'): void =>
    state.output.effect({ kind: 'snapshotRefused', mark: snapshot, reason });
  if (term < state.term || (term === state.term && state.role.kind === 'leader')) {
    refuse('not_leader');
    return;
  }
  if (term > state.term) becomeFollower(state, term, from);
  heardLeader(state, from);
  if (state.restoring !== null) {
    refuse('busy');
    return;
  }
  // It would take back what is committed here, and with it what was acknowledged (known bug S1).
  if (snapshot.index <= state.commitIndex) {
    refuse('stale');
    return;
  }
  restore(state, from, snapshot);
}

function restore(state: State, from: MemberId, snapshot: SnapshotMark): void {
  const { log, membership, durability, output } = state;
  const { index, term } = snapshot;
  assert(term <= state.term, 'an image holds nothing newer than its term');
  // Log matching: where index and term agree, all before does, and what comes after may stay (Raft paper, section 7).
  const keepEntries = log.termAt(index) === term;
  if (keepEntries) {
    log.compactTo(index);
    membership.compactToImage(snapshot);
  } else {
    // What is after the commit index goes, and is not in the log of this leader: it was not acknowledged to it.
    durability.truncatedFrom(logIndex(state.commitIndex + 1));
    if (log.lastIndex > state.commitIndex) {
      state.trace?.({ kind: 'truncate', term: state.term, from: logIndex(state.commitIndex + 1), to: log.lastIndex });
    }
    log.reset(index, term);
    membership.reset(snapshot.configuration);
  }
  state.restoring = { mark: snapshot, sequence: 0, durable: false };
  state.commitIndex = index;
  state.trace?.({ kind: 'commit', term: state.term, index, entryTerm: term });
  mark(state, keepEntries ? 'restore_keeps_entries' : 'restore');
  output.restore(snapshot, keepEntries);
  output.sendDurable({
    kind: 'appendResponse',
    from: state.id,
    to: from,
    term: state.term,
    outcome: { kind: 'accepted', matchIndex: index },
  });
}

/** Persist effects became durable: the image, maybe, with them. The driver loads the state now. */
export function restoreDurable(state: State): void {
  const { restoring } = state;
  if (restoring === null || restoring.durable || state.durability.durableSequence < restoring.sequence) return;
  restoring.durable = true;
  state.releasedIndex = logIndex(Math.max(state.releasedIndex, restoring.mark.index));
}

/** `snapshotEnded` input. One that comes late, for a transfer that nobody waits for, is dropped. */
export function snapshotEnded(state: State, to: MemberId, installed: boolean): void {
  if (state.role.kind !== 'leader') return;
  const progress = state.role.peerById.get(to);
  if (progress?.state !== 'snapshot') return;
  progress.snapshotEnded(installed, state.log.firstIndex, state.tick);
  replicate(state, progress);
}
