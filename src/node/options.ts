/** What a member is made of; everything that touches the world is handed in, so that the simulator can stand in for it. */
import type { MachineView } from '../machine/api.ts';
import type { Clock } from '../ports/clock.ts';
import type { Network } from '../ports/network.ts';
import type { Random } from '../ports/random.ts';
import type { Configuration, Entry, TraceEvent } from '../raft/types.ts';
import type { Store } from '../store/types.ts';
import type { ClusterId, MemberId, StreamId } from '../types/ids.ts';
import { LOG_CACHE_BYTES_MAX, PROPOSAL_BYTES_MAX, PROPOSALS_MAX, UNCOMMITTED_BYTES_MAX } from '../types/limits.ts';
import type { Wal } from '../wal/types.ts';
import type { Envelope } from './types.ts';

export interface MemberSettings {
  /** Length of a Raft tick, milliseconds. */
  readonly tickMs: number;
  /** Base election timeout; the real one is drawn from [n, 2n) ticks. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Mutations that may wait for their commit in this member, in count and bytes (A5). */
  readonly proposalsMax: number;
  readonly proposalBytesMax: number;
  /** What the raft core may append and not commit, bytes. */
  readonly uncommittedBytesMax: number;
  /** Applied entries kept in memory, bytes. */
  readonly logCacheBytesMax: number;
  /** Rows are written to the store after this time at the latest, milliseconds (write-behind). */
  readonly storeFlushMs: number;
}

export const DEFAULT_MEMBER_SETTINGS: MemberSettings = {
  tickMs: 20,
  electionTicks: 20,
  heartbeatTicks: 3,
  proposalsMax: PROPOSALS_MAX,
  proposalBytesMax: PROPOSAL_BYTES_MAX,
  uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
  logCacheBytesMax: LOG_CACHE_BYTES_MAX,
  storeFlushMs: 50,
};

export interface MemberDeps {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Used only when the log is new; afterwards the log knows (known-bugs C6). */
  readonly initialConfiguration: Configuration;
  readonly streams: readonly StreamId[];
  readonly clock: Clock;
  readonly random: Random;
  /** Open already. */
  readonly wal: Wal;
  readonly store: Store;
  readonly network: Network<Envelope>;
  readonly settings: MemberSettings;
  /** The member can not go on (failed fsync, broken invariant). Called once; nothing is acknowledged after it. */
  readonly onFatal: (error: Error) => void;
  /** An entry was applied; `view` is the state after it. For oracles and metrics; must not call back into the member. */
  readonly onApplied?: (stream: StreamId, entry: Entry, view: MachineView) => void;
  readonly onTrace?: (stream: StreamId, event: TraceEvent) => void;
  readonly onRole?: (
    stream: StreamId,
    event: { readonly role: string; readonly term: number; readonly leader: MemberId | null },
  ) => void;
}
