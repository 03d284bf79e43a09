/** What the member offers to the API (as types only), and what members say to each other. */
import type { MachineView } from '../machine/api.ts';
import type { CommandBody, CommandResult, MachineEvent, SessionRef } from '../machine/types.ts';
import type { Message, RaftStatus, SnapshotMark } from '../raft/types.ts';
import type { StoreImage } from '../store/types.ts';
import type { ClusterId, LogIndex, MemberId, Revision, StreamId, Term } from '../types/ids.ts';
import type { AckTimesReport } from './ack-times.ts';

/** A mutation as a client asked for it; the leader stamps the time. */
export interface MutationRequest {
  readonly session: SessionRef | null;
  readonly caller: string;
  readonly traceId: string;
  readonly body: CommandBody;
  /** Whose share of the member's room it takes (A5), such as a connection; left out: it shares with all others of whom nothing is known. */
  readonly client?: string;
}

/** Outcome of a mutation. `indeterminate` is an answer of its own (architecture, decision 9). */
export type MutationOutcome =
  | {
      readonly kind: 'applied';
      readonly index: LogIndex;
      readonly term: Term;
      readonly replayed: boolean;
      readonly result: CommandResult;
    }
  /** Certainly not carried out, and never will be. */
  | {
      readonly kind: 'refused';
      readonly reason:
        | 'NOT_LEADER'
        | 'OVERLOADED'
        | 'NO_QUORUM'
        | 'SHUTTING_DOWN'
        | 'TOO_LARGE'
        | 'NO_SPACE'
        /** Members that are older could not read it, or would carry out something else (R9). */
        | 'FEATURE_LEVEL_TOO_LOW'
        /** The member that was asked is PARTITIONED (D5); never of one that it was passed on to. */
        | 'PARTITION_ERROR';
      readonly leader: MemberId | null;
      /** When to try again, milliseconds; null: another member, or never. */
      readonly retryAfterMs: number | null;
      readonly message: string;
    }
  /** May or may not be carried out. A retry with the same session and sequence is safe. */
  | { readonly kind: 'indeterminate'; readonly message: string };

/** How fresh a read must be (R3). */
export type ReadConsistency =
  /** ReadIndex: everything committed before the call, whatever clocks do. */
  | { readonly kind: 'linearizable' }
  /**
   * As fresh, and without a round of messages when the leader is asked and holds its lease; rests on clocks that do not drift
   * apart by more than the settings raft.leaseTicks and raft.leaseMs allow for.
   */
  | { readonly kind: 'lease' }
  /** Everything committed up to `maxStalenessMs` before the call, from any member; measured by its own clock alone. */
  | { readonly kind: 'bounded'; readonly maxStalenessMs: number };

export type TransferOutcome = 'done' | 'refused' | 'timed_out';

/** Something that keeps the member from its full work, and that clears by itself. */
export type Alarm =
  /** No room on the disk: no client's entry is taken; reads and leadership transfer go on (W5). */
  | 'NO_SPACE'
  /** A part of the log was lost: the member fetches it back, and does not vote meanwhile (W4). */
  | 'RECOVERING'
  /** No contact with a majority for the whole window (D5). */
  | 'PARTITIONED'
  /** A member may acknowledge before its fsync (A2); said by all members. */
  | 'PERMIT_ASYNC'
  /** A member is slow, and a learner until it keeps up (A1); said by all members. */
  | 'LAGGING'
  /** A member is isolated, and is to be evicted after its grace (A3), or can not be: too few voters would be left. */
  | 'PENDING_EVICTION'
  | 'EVICTION_BLOCKED'
  /** The policy says so, as after a restore: nothing is interrupted or recovered by itself; said by all members. */
  | 'AUTOMATION_PAUSED';

/** An image on its way to a follower, as its leader sees it. */
export interface TransferStatus {
  readonly to: MemberId;
  readonly index: LogIndex;
  readonly chunksAcked: number;
  readonly bytesSent: number;
  /** Times that it went on after a broken stream. */
  readonly resumed: number;
}

export type ReadOutcome =
  | { readonly kind: 'ready'; readonly view: MachineView }
  | Extract<MutationOutcome, { kind: 'refused' }>;

/** A bounded, ordered feed of events. */
export interface WatchFeed {
  /**
   * Next batch: whole revisions, in order, no gap, no duplicate. Waits while there is none.
   * `compacted`: history before `firstRevision` is gone; `overflow`: the reader was too slow; `closed`: the member stops.
   */
  next(): Promise<
    | { readonly kind: 'events'; readonly events: readonly MachineEvent[] }
    | { readonly kind: 'compacted'; readonly firstRevision: Revision }
    | { readonly kind: 'overflow' }
    | { readonly kind: 'closed' }
  >;
  close(): void;
}

export interface MemberStatus {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly stream: StreamId;
  readonly raft: RaftStatus;
  readonly appliedIndex: LogIndex;
  /** Worked out when it is read, which costs as much as what changed since the last time: of the moment, not of the call. */
  readonly stateHash: string;
  readonly sessions: number;
  readonly waitingProposals: number;
  readonly watches: number;
  readonly alarms: readonly Alarm[];
  /** Since when there is no contact with a majority while PARTITIONED, else how long the last partition lasted; 0: none (D5). */
  readonly partitionMs: number;
  /** Images being sent, sorted by member; empty unless leading. */
  readonly transfers: readonly TransferStatus[];
  /** Index after which the store has the tables on disk. */
  readonly storedIndex: LogIndex;
  /** Feature level of the cluster, and of each member that was heard of, this one included (R9). */
  readonly featureLevel: number;
  readonly featureLevels: ReadonlyMap<MemberId, number>;
  /** This member is not in the configuration, and was before. */
  readonly removed: boolean;
  /** Why the member refuses work, or null when it is well. */
  readonly fault: string | null;
}

/** The API's view of a member. All methods may be called at any time, also while there is no leader. */
export interface MemberPort {
  /**
   * Carries the mutation out through the log. On a follower it is forwarded to the leader, once.
   * Resolves by `deadlineMs` (milliseconds from now) at the latest.
   */
  mutate(stream: StreamId, request: MutationRequest, deadlineMs: number): Promise<MutationOutcome>;
  /** A read point, on any member: the view has applied what `consistency` asks for. */
  read(stream: StreamId, deadlineMs: number, consistency: ReadConsistency): Promise<ReadOutcome>;
  /** What this member has applied, without asking anyone: may be stale. */
  local(stream: StreamId): MachineView;
  /** Events from `from` on (inclusive); 0 means from now on. null when there are too many watches. */
  watch(stream: StreamId, from: Revision): WatchFeed | null;
  status(stream: StreamId): MemberStatus;
  /** Asks the leader role to move to `to`; null: to the voter that is furthest. `refused` when this member does not lead or `to` is no voter. */
  transferLeadership(stream: StreamId, to: MemberId | null): Promise<TransferOutcome>;
  /** An image of everything applied here at the call or later; null when the member is stopping. The caller closes it. */
  openImage(stream: StreamId): Promise<StoreImage | null>;
}

/** One piece of an image on its way to a follower. */
export interface SnapshotChunk {
  /** Drawn by the sender for each transfer; chunks of two transfers never mix. */
  readonly transferId: number;
  /** The sender's term as leader. */
  readonly term: Term;
  readonly mark: SnapshotMark;
  /** From 0. */
  readonly sequence: number;
  readonly last: boolean;
  /** Rows, encoded and checksummed by `snapshot/chunk.ts`. */
  readonly data: Uint8Array;
}

/** The follower wants chunk `next` (everything before it is staged), or the transfer is over. */
export interface SnapshotAck {
  readonly transferId: number;
  readonly next: number;
  readonly outcome: 'continue' | 'installed' | 'refused';
}

/** What travels between members. */
export type Envelope =
  | ({ readonly kind: 'snapshotChunk'; readonly stream: StreamId } & SnapshotChunk)
  | ({ readonly kind: 'snapshotAck'; readonly stream: StreamId } & SnapshotAck)
  /** R7. `hash` null: the sender asks for the state hash after entry `index`; else it says its own. */
  | { readonly kind: 'stateHash'; readonly stream: StreamId; readonly index: LogIndex; readonly hash: string | null }
  /** A1, feature level 3: how long the sender's log takes; sent to the leader. */
  | ({ readonly kind: 'ackTimes'; readonly stream: StreamId } & AckTimesReport)
  | { readonly kind: 'raft'; readonly stream: StreamId; readonly message: Message }
  | {
      readonly kind: 'forwardRequest';
      readonly stream: StreamId;
      readonly requestId: number;
      readonly deadlineMs: number;
      readonly request: MutationRequest;
    }
  | {
      readonly kind: 'forwardResponse';
      readonly stream: StreamId;
      readonly requestId: number;
      readonly outcome: MutationOutcome;
    };
