/** What a member is made of; everything that touches the world is handed in, so that the simulator can stand in for it. */

import type { Applied, MachineView } from '../machine/api.ts';
import type { MemberRow } from '../machine/rows.ts';
import type { Clock } from '../ports/clock.ts';
import type { Network } from '../ports/network.ts';
import type { Random } from '../ports/random.ts';
import type { TraceEvent } from '../raft/trace.ts';
import type { Configuration, Entry, PlacedConfiguration, SnapshotMark } from '../raft/types.ts';
import type { Store } from '../store/types.ts';
import type { ClusterId, LogIndex, MemberId, StreamId } from '../types/ids.ts';
import {
  LOG_CACHE_BYTES_MAX,
  LOG_KEEP_BYTES,
  LOG_KEEP_SLOW_BYTES,
  PROMOTE_LAG_ENTRIES,
  PROPOSAL_BYTES_MAX,
  PROPOSALS_MAX,
  SNAPSHOT_CHUNK_BYTES,
  SNAPSHOT_CHUNKS_IN_FLIGHT,
  STORE_FLUSH_BYTES,
  UNCOMMITTED_BYTES_MAX,
} from '../types/limits.ts';
import type { Wal } from '../wal/types.ts';
import type { AckTimes } from './ack-times.ts';
import type { AsyncMark } from './early-acks.ts';
import type { LeaderWork } from './leader-work.ts';
import type { Envelope } from './types.ts';

export interface MemberSettings {
  /** Length of a Raft tick, milliseconds. */
  readonly tickMs: number;
  /** Base election timeout; the real one is drawn from [n, 2n) ticks. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** How long a follower that heard the leader refuses votes in any case, ticks (R3). */
  readonly leaseTicks: number;
  /** A leader's lease from the moment it sent what a quorum echoed, milliseconds; shorter than leaseTicks by the clocks' drift. */
  readonly leaseMs: number;
  /** Mutations that may wait for their commit in this member, in count and bytes (A5). */
  readonly proposalsMax: number;
  readonly proposalBytesMax: number;
  /** What the raft core may append and not commit, bytes. */
  readonly uncommittedBytesMax: number;
  /** Applied entries kept in memory, bytes. */
  readonly logCacheBytesMax: number;
  /** Rows are written to the store after this time at the latest, milliseconds (write-behind). */
  readonly storeFlushMs: number;
  /** And as soon as entries of so many payload bytes were applied. What is not written is replayed from the log. */
  readonly storeFlushBytes: number;
  /** The log keeps about this much behind what the store has, bytes, for followers that lag a little (R4). */
  readonly logKeepBytes: number;
  /** And up to this much for a follower that is active and lags further. */
  readonly logKeepSlowBytes: number;
  /** Rows in one piece of an image on its way to a follower, bytes before compression; and pieces in flight. */
  readonly snapshotChunkBytes: number;
  readonly snapshotChunksInFlight: number;
  /** A learner that is this many entries behind or less, for an election timeout, may become a voter (R2). */
  readonly promoteLagEntries: number;
  /** State hashes are compared, and levels, disk space and the length of the log looked at, this often, milliseconds. */
  readonly dutyPeriodMs: number;
  /** Without contact with a majority for so long a member is PARTITIONED, milliseconds (D5). */
  readonly partitionMs: number;
}

export const DEFAULT_MEMBER_SETTINGS: MemberSettings = {
  tickMs: 20,
  electionTicks: 20,
  heartbeatTicks: 3,
  proposalsMax: PROPOSALS_MAX,
  proposalBytesMax: PROPOSAL_BYTES_MAX,
  uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
  logCacheBytesMax: LOG_CACHE_BYTES_MAX,
  leaseTicks: 10,
  leaseMs: 160,
  storeFlushMs: 5_000,
  storeFlushBytes: STORE_FLUSH_BYTES,
  logKeepBytes: LOG_KEEP_BYTES,
  logKeepSlowBytes: LOG_KEEP_SLOW_BYTES,
  snapshotChunkBytes: SNAPSHOT_CHUNK_BYTES,
  snapshotChunksInFlight: SNAPSHOT_CHUNKS_IN_FLIGHT,
  promoteLagEntries: PROMOTE_LAG_ENTRIES,
  dutyPeriodMs: 1_000,
  partitionMs: 45_000,
};

/** What an operator should know of; nothing depends on it. */
export type Notice =
  | { readonly kind: 'snapshotSent'; readonly to: MemberId; readonly index: LogIndex; readonly bytes: number }
  | { readonly kind: 'snapshotFailed'; readonly to: MemberId; readonly why: string }
  | { readonly kind: 'snapshotInstalled'; readonly index: LogIndex }
  | { readonly kind: 'snapshotBad'; readonly from: MemberId; readonly why: string }
  | { readonly kind: 'compacted'; readonly firstIndex: LogIndex }
  | { readonly kind: 'noSpace'; readonly since: 'log' | 'store' }
  | { readonly kind: 'spaceBack' }
  /** This member is cut off; `silentMs`: without contact with a majority. And: it is not any more. */
  | { readonly kind: 'partitioned'; readonly silentMs: number }
  | { readonly kind: 'partitionOver'; readonly silentMs: number }
  | { readonly kind: 'recovered'; readonly index: LogIndex }
  | { readonly kind: 'configuration'; readonly placed: PlacedConfiguration; readonly committed: boolean }
  | {
      readonly kind: 'diverged';
      readonly member: MemberId;
      readonly index: LogIndex;
      readonly hash: string;
      readonly majorityHash: string;
    }
  | { readonly kind: 'featureLevel'; readonly level: number };

export interface MemberDeps {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Used only when the log is new; afterwards the log knows (known-bugs C6). Without voters: waits to be added to a cluster. */
  readonly initialConfiguration: Configuration;
  /** A part of the log was lost (see storage/open-storage.ts): no vote before all of it is back. */
  readonly recovering: boolean;
  /** Feature level that this member supports, at most the release's (R9). */
  readonly featureLevelMax: number;
  /** Levels that peers announced, as far as they are connected or were lately. */
  readonly peerFeatureLevels: () => ReadonlyMap<MemberId, number>;
  readonly streams: readonly StreamId[];
  readonly clock: Clock;
  readonly random: Random;
  /** Open already. */
  readonly wal: Wal;
  readonly store: Store;
  readonly network: Network<Envelope>;
  readonly settings: MemberSettings;
  /** What this member does for a stream while it leads it; made anew for each start of the member. */
  readonly leaderWorks?: (stream: StreamId) => readonly LeaderWork[];
  /** Measures how long the log takes, and keeps what others report of theirs (A1). Left out: nobody is told. */
  readonly ackTimes?: AckTimes;
  /** Marks the data folder before anything is acknowledged that is not fsync'd (A2). Left out: that never happens. */
  readonly asyncMark?: AsyncMark;
  /** The member can not go on (failed fsync, broken invariant). Called once; nothing is acknowledged after it. */
  readonly onFatal: (error: Error) => void;
  /** Everything that was lost is back: the marker of the recovery may go. Resolves when it is durable. */
  readonly onRecovered?: () => Promise<void>;
  /** Who belongs to the cluster, or where they are, may have changed; also called once after the start. */
  readonly onMembers?: (members: readonly MemberRow[], configuration: PlacedConfiguration) => void;
  /** This member was in the configuration and, committed, is not any more. */
  readonly onRemoved?: () => void;
  /** For the operator's log. */
  readonly onNotice?: (notice: Notice) => void;
  /** The state was replaced by an image. For oracles; must not call back into the member. */
  readonly onRestored?: (stream: StreamId, mark: SnapshotMark, view: MachineView) => void;
  /** An entry was applied; `view` is the state after it. For oracles and metrics; must not call back into the member. */
  readonly onApplied?: (stream: StreamId, entry: Entry, view: MachineView, applied: Applied) => void;
  readonly onTrace?: (stream: StreamId, event: TraceEvent) => void;
  readonly onRole?: (
    stream: StreamId,
    event: { readonly role: string; readonly term: number; readonly leader: MemberId | null },
  ) => void;
}
