/**
 * The vocabulary of the consensus core: entries, configurations, messages, inputs and effects.
 *
 * The core is a function of state and input to effects (R5). Invariants that these types carry:
 * I1  Persist before send: what may leave the member only after it is durable hangs off the persist effect.
 * I2  Persist effects are carried out in the order given; `persisted` answers come in that order.
 * I3  A message released by a persist effect is dropped by the driver if the core's term has moved on meanwhile.
 * I4  A configuration is joint from the start: a decision needs a majority of `voters` and, if there are any,
 *     of `votersOutgoing` (Raft thesis, section 4.3). It takes effect when its entry is appended, on every member, and
 *     goes back when the entry is truncated.
 */
import type { LogIndex, MemberId, Term } from '../types/ids.ts';

export type EntryKind = 'noop' | 'command' | 'configuration';

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Opaque to the core. Empty for `noop`. Never modified after it was handed over. */
  readonly payload: Uint8Array;
}

/** What must survive a crash besides the log (Raft paper, figure 2). */
export interface HardState {
  readonly term: Term;
  readonly votedFor: MemberId | null;
}

/**
 * Sorted, without duplicates. `votersOutgoing` is empty unless the configuration is joint (I4). `voters` is empty only on a
 * member that waits to be added to a cluster. `learners` and `voters` have nobody in common; while joint, a learner may
 * still be an outgoing voter (it is being demoted).
 */
export interface Configuration {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** A configuration and the entry that brought it; index 0: the operator gave it when the log was started. */
export interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/** What an image of the state stands for: the state after the entry `index`, and the configuration in force there. */
export interface SnapshotMark {
  readonly index: LogIndex;
  /** Term of the entry `index`. */
  readonly term: Term;
  readonly configuration: PlacedConfiguration;
}

/** A run of entries of one term, from `firstIndex` up to the next span. */
export interface TermSpan {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

interface Header {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; for a pre-vote request and its grant, the term that would be campaigned for. */
  readonly term: Term;
}

export interface PreVoteRequest extends Header {
  readonly kind: 'preVoteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
}
export interface PreVoteResponse extends Header {
  readonly kind: 'preVoteResponse';
  readonly granted: boolean;
  readonly blank?: true;
}
export interface VoteRequest extends Header {
  readonly kind: 'voteRequest';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  /** Set when the leader asked for it (TimeoutNow): the vote is given although a leader is alive (thesis 4.2.3). */
  readonly leadershipTransfer: boolean;
}
export interface VoteResponse extends Header {
  readonly kind: 'voteResponse';
  readonly granted: boolean;
  /** Not granted, but given to nobody else in this term: see `Vote`. An older candidate takes it for a refusal. */
  readonly blank?: true;
}
export interface AppendRequest extends Header {
  readonly kind: 'appendRequest';
  readonly prevLogIndex: LogIndex;
  readonly prevLogTerm: Term;
  /** Consecutive, from prevLogIndex + 1. */
  readonly entries: readonly Entry[];
  readonly leaderCommit: LogIndex;
}
export interface AppendResponse extends Header {
  readonly kind: 'appendResponse';
  readonly outcome:
    | {
        readonly kind: 'accepted' /** Durable here and equal to the leader's log up to this index. */;
        readonly matchIndex: LogIndex;
      }
    | {
        readonly kind: 'rejected';
        /** prevLogIndex of the request that did not fit; tells the leader whether the answer is stale. */
        readonly prevLogIndex: LogIndex;
        /** The follower's guess of the last index at which the logs may agree, and its term there. */
        readonly hintIndex: LogIndex;
        readonly hintTerm: Term;
      };
}
export interface HeartbeatRequest extends Header {
  readonly kind: 'heartbeatRequest';
  /** At most the receiver's matchIndex, so that it never commits what it was not verified to hold. */
  readonly leaderCommit: LogIndex;
  /** Rises with every batch of reads; echoed, so that one round of heartbeats confirms the batch (thesis 6.4). */
  readonly readSequence: number;
  /** The sender's monotonic clock, milliseconds: at or before the moment of sending. Only echoed (lease reads). */
  readonly sentMs: number;
}
export interface HeartbeatResponse extends Header {
  readonly kind: 'heartbeatResponse';
  readonly readSequence: number;
  /** From the request. 0 from a member of an older version: no lease. */
  readonly sentMs: number;
}
/** A follower asks the leader for a read index on behalf of its own clients (thesis 6.4). */
export interface ReadIndexRequest extends Header {
  readonly kind: 'readIndexRequest';
  readonly requestId: number;
}
export interface ReadIndexResponse extends Header {
  readonly kind: 'readIndexResponse';
  readonly requestId: number;
  /** null: refused (not the leader any more); ask again. */
  readonly readIndex: LogIndex | null;
}
/** The leader tells an up-to-date follower to campaign at once (thesis 3.10). */
export interface TimeoutNow extends Header {
  readonly kind: 'timeoutNow';
}

/** A member that lost a part of its log asks the leader, or all voters while none is known, where its log ends (README.md). */
export interface RecoverRequest extends Header {
  readonly kind: 'recoverRequest';
  /** Drawn at random when the process started: an answer to an earlier life fits nothing. */
  readonly nonce: number;
}
export interface RecoverResponse extends Header {
  readonly kind: 'recoverResponse';
  readonly nonce: number;
  /** Of the leader of this term; null: not the leader. */
  readonly lastIndex: LogIndex | null;
  /** The sender has itself lost a part of its log. */
  readonly recovering: boolean;
}

export type Message =
  | RecoverRequest
  | RecoverResponse
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse
  | ReadIndexRequest
  | ReadIndexResponse
  | TimeoutNow;

export type Input =
  /** One tick of the member's clock passed. `nowMs`: monotonic, milliseconds. */
  | { readonly kind: 'tick'; readonly nowMs: number }
  | { readonly kind: 'receive'; readonly message: Message }
  /** Append these to the log, in order, if leading. Each is answered by `proposalAppended` or `proposalRefused`. */
  | { readonly kind: 'propose'; readonly proposals: readonly Proposal[] }
  /** Every persist effect up to and including `sequence` is durable. */
  | { readonly kind: 'persisted'; readonly sequence: number }
  /** The state machine has applied everything up to `index`. */
  | { readonly kind: 'applied'; readonly index: LogIndex }
  /** Answer to a `readLog` effect; `entries` start at the index asked for. */
  | { readonly kind: 'logRead'; readonly to: MemberId; readonly entries: readonly Entry[] }
  /**
   * A local client wants a linearizable read. Answered by `readReady` or `readRefused`. `lease`: the leader may answer by
   * its lease, without a round of heartbeats; anybody else, and a leader without a lease, goes the usual way.
   * `nowMs`: monotonic, read when the request was made or later.
   */
  | { readonly kind: 'readIndex'; readonly requestId: number; readonly lease: boolean; readonly nowMs: number }
  /**
   * Make these the voters and learners, by joint consensus where voters change. Answered by `proposalAppended` or
   * `proposalRefused`; a joint configuration is left by itself.
   */
  | {
      readonly kind: 'changeConfiguration';
      readonly proposalId: number;
      readonly voters: readonly MemberId[];
      readonly learners: readonly MemberId[];
    }
  /** The driver has cut its log: it begins after `index` now, which is applied and covered by a durable image. */
  | { readonly kind: 'compacted'; readonly index: LogIndex }
  /** A whole image from the leader `from` of `term` lies ready. Answered by a `restore` effect or by `snapshotRefused`. */
  | { readonly kind: 'installSnapshot'; readonly from: MemberId; readonly term: Term; readonly mark: SnapshotMark }
  /** Answer to `sendSnapshot`: the transfer is over; `installed`: the follower said so. */
  | { readonly kind: 'snapshotEnded'; readonly to: MemberId; readonly installed: boolean }
  /** The disk has no room for entries of clients, or has it again (W5). */
  | { readonly kind: 'storageFull'; readonly full: boolean }
  /** Hand leadership to a voter. Answered by `transferEnded`. */
  | { readonly kind: 'transferLeadership'; readonly to: MemberId }
  /** Messages to `peer` may have been lost: its connection broke. A follower of it starts a pre-vote at once (A4). */
  | { readonly kind: 'unreachable'; readonly peer: MemberId };

export interface Proposal {
  /** Chosen by the driver, unique in its process. */
  readonly proposalId: number;
  readonly payload: Uint8Array;
}

export type RefusalReason =
  /** `leader` of the effect says who to ask, if known. */
  | 'not_leader'
  /** Leadership is being handed over; ask again soon. */
  | 'transferring'
  /** Too much is appended and not committed (UNCOMMITTED_BYTES_MAX). */
  | 'overloaded'
  /** Leading, but nothing of the own term is committed yet (reads and changes of the configuration; thesis 6.4 step 1). */
  | 'not_ready'
  /** The disk of the leader is full (W5). */
  | 'storage_full'
  /** Another change of the configuration is not complete yet (thesis 4.1). */
  | 'configuration_pending'
  /** Nobody would vote, lists overlap, or nothing would change. */
  | 'configuration_invalid';

export type Effect =
  | {
      readonly kind: 'persist';
      /** Rises by one with every persist effect. */
      readonly sequence: number;
      /** Written together with `entries`, atomically. null: unchanged. */
      readonly hardState: HardState | null;
      /** Consecutive. The first one replaces whatever the log holds from its index on. May be empty. */
      readonly entries: readonly Entry[];
      /** I1: sent only after this effect is durable, and only while the term still holds (I3). */
      readonly afterDurable: readonly Message[];
    }
  /**
   * Take over the image that `installSnapshot` named: make it the state, durably and atomically, and let the log begin after
   * it. Counts among the persist effects: carried out in their order and answered by `persisted`. `applied` with the
   * mark's index follows when the state is loaded; nothing is applied in between.
   */
  | {
      readonly kind: 'restore';
      readonly sequence: number;
      readonly mark: SnapshotMark;
      /** The log holds the mark's entry with its term: what comes after it stays. Else all entries go. */
      readonly keepEntries: boolean;
      readonly afterDurable: readonly Message[];
    }
  /** The image is of no use here: it is not newer than what is committed, or its leader leads no more. Throw it away. */
  | { readonly kind: 'snapshotRefused'; readonly mark: SnapshotMark; readonly reason: 'stale' | 'not_leader' | 'busy' }
  /** `to` needs entries that the log does not hold any more: send it an image. Answered by `snapshotEnded`. */
  | { readonly kind: 'sendSnapshot'; readonly to: MemberId }
  /** The configuration in force changed (by append, truncation, image), or became committed. */
  | { readonly kind: 'configurationChanged'; readonly placed: PlacedConfiguration; readonly committed: boolean }
  /** Recovery is complete: everything that this member may ever have acknowledged is durable here again. It votes again. */
  | { readonly kind: 'recovered'; readonly index: LogIndex }
  /** So many voters lost parts of their logs that nobody can tell what was committed. The member must stop. */
  | { readonly kind: 'recoveryImpossible'; readonly members: readonly MemberId[] }
  /** May be sent at once, also before earlier persist effects are durable. */
  | { readonly kind: 'send'; readonly message: Message }
  /** Entries up to `index` are committed, and durable here (invariant I6); apply them in order. */
  | { readonly kind: 'commit'; readonly index: LogIndex }
  /** Entries for `to` are no longer in memory: read them from the log and answer with `logRead`. */
  | {
      readonly kind: 'readLog';
      readonly to: MemberId;
      readonly from: LogIndex;
      readonly entriesMax: number;
      readonly bytesMax: number;
    }
  | { readonly kind: 'proposalAppended'; readonly proposalId: number; readonly index: LogIndex; readonly term: Term }
  | {
      readonly kind: 'proposalRefused';
      readonly proposalId: number;
      readonly reason: RefusalReason;
      readonly leader: MemberId | null;
    }
  /** The read may be answered from a state that has applied at least `index`. */
  | { readonly kind: 'readReady'; readonly requestId: number; readonly index: LogIndex }
  | {
      readonly kind: 'readRefused';
      readonly requestId: number;
      readonly reason: RefusalReason;
      readonly leader: MemberId | null;
    }
  | { readonly kind: 'roleChanged'; readonly role: Role; readonly term: Term; readonly leader: MemberId | null }
  | { readonly kind: 'transferEnded'; readonly to: MemberId; readonly outcome: 'done' | 'refused' | 'timed_out' };

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

// ---------------------------------------------------------------------------------------------- set-up and views

export interface RaftOptions {
  readonly id: MemberId;
  /** Configurations of the recovered log, oldest first; the first is in force at the log's base, the last at its end. */
  readonly configurations: readonly PlacedConfiguration[];
  readonly encodeConfiguration: (configuration: Configuration) => Uint8Array;
  /** Throws for what this version cannot read: an entry that would be skipped stops the member instead. */
  readonly decodeConfiguration: (payload: Uint8Array) => Configuration;
  /** This member lost a part of its log: its vote is blank, and it does not campaign, until it has everything back (W4). */
  readonly recovering: boolean;
  /** What was durable when the member started; for a new member term 0 and no vote. */
  readonly hardState: HardState;
  /** Shape of the recovered log. `spans` covers [firstIndex, lastIndex]; both ends are 1 and 0 for an empty log. */
  readonly log: {
    readonly firstIndex: LogIndex;
    readonly lastIndex: LogIndex;
    /** Index and term just before firstIndex: 0 and 0 until the log is compacted. */
    readonly baseIndex: LogIndex;
    readonly baseTerm: Term;
    readonly spans: readonly TermSpan[];
  };
  /** What the state machine has applied; the commit index starts here. */
  readonly appliedIndex: LogIndex;
  /** Base election timeout in ticks; the real one is drawn from [n, 2n) at each reset. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /**
   * Ticks for which a follower that heard the leader refuses votes even if the connection to it broke; a leader's lease is
   * `leaseMs`, which must be shorter in real time by the drift that clocks may have.
   */
  readonly leaseTicks: number;
  readonly leaseMs: number;
  readonly limits: RaftLimits;
}

export interface RaftLimits {
  readonly appendBytesMax: number;
  readonly appendEntriesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly cacheBytesMax: number;
  readonly readsMax: number;
}

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export interface PeerStatus {
  readonly id: MemberId;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly state: ProgressState;
  readonly inflightMessages: number;
  /** Heard from within the last election timeout. */
  readonly active: boolean;
  readonly recovering: boolean;
}

export interface RaftStatus {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: Term;
  readonly votedFor: MemberId | null;
  readonly leader: MemberId | null;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Last index that is durable here. */
  readonly durableIndex: LogIndex;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly configuration: Configuration;
  /** Entry that brought it. */
  readonly configurationIndex: LogIndex;
  /** First entry that the log holds. */
  readonly firstIndex: LogIndex;
  readonly recovering: boolean;
  /** Sorted by id; empty unless leading. Members that were removed lately may be among them, until they know. */
  readonly peers: readonly PeerStatus[];
}
