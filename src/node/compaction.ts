/**
 * How far the log may be cut (R4): never past what the store holds durably, and with slack for followers.
 *
 * CP1  `upTo` ≤ the index of a mark that the store has synced: what is cut can be loaded again.
 * CP2  A follower that is active and lags keeps its entries, up to `keepSlowBytes`; one that is being sent an image keeps those
 *      after the image.
 */
import type { RaftStatus } from '../raft/types.ts';
import { type LogIndex, logIndex } from '../types/ids.ts';

export interface CompactionPolicy {
  /** Kept behind the store's mark, bytes. */
  readonly keepBytes: number;
  readonly keepSlowBytes: number;
}

export interface CompactionView {
  readonly status: RaftStatus;
  /** The store's mark; becomes durable before anything is cut. */
  readonly storedIndex: LogIndex;
  /** Marks of the images that are on their way. */
  readonly transfers: readonly LogIndex[];
  /** See `Wal.bytesAfter`. */
  readonly bytesAfter: (index: LogIndex) => number;
}

/** Entries up to here are not needed; null when cutting would free nothing. */
export function compactTo(policy: CompactionPolicy, view: CompactionView): LogIndex | null {
  const { status, bytesAfter } = view;
  let floor: number = Math.min(view.storedIndex, status.appliedIndex, ...view.transfers);
  for (const peer of status.peers) {
    if (!peer.active || peer.matchIndex >= floor) continue;
    // One that waits for an image needs what comes after the image: see `transfers`.
    if (peer.state === 'snapshot' || peer.matchIndex < status.firstIndex - 1) continue;
    if (bytesAfter(peer.matchIndex) <= policy.keepSlowBytes) floor = peer.matchIndex;
  }
  const base = status.firstIndex - 1;
  if (floor <= base) return null;
  const upTo = lastWithBytesAfter(base, floor, bytesAfter(logIndex(floor)) + policy.keepBytes, bytesAfter);
  if (upTo <= base) return null;
  return bytesAfter(logIndex(base)) > bytesAfter(upTo) ? upTo : null;
}

/** The highest index of [low, high] behind which at least `bytes` lie; `low` when there is none. `bytesAfter` falls. */
function lastWithBytesAfter(
  low: number,
  high: number,
  bytes: number,
  bytesAfter: (index: LogIndex) => number,
): LogIndex {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = Math.ceil((from + to) / 2);
    if (bytesAfter(logIndex(middle)) >= bytes) from = middle;
    else to = middle - 1;
  }
  return logIndex(from);
}
