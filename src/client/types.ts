/** What callers give and get: plain objects. Numbers are safe integers; times are milliseconds since the Unix epoch. */
import type { WatchEventKind } from './event-kinds.ts';

/** Sparse: nodes that never counted are left out. */
export type VectorClock = Readonly<Record<string, number>>;

/** One phase of one round of a loop; `g` is the round number, from 1. */
export interface PhaseRef {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
}

export interface PlanPhase {
  readonly name: string;
  /** Expected duration before there is history. */
  readonly priorMs: number;
  /** Longest time without progress; 0: none. */
  readonly slaMs: number;
}

export interface Plan {
  readonly name: string;
  readonly phases: readonly PlanPhase[];
}

/** FAILED_PARTIAL: interrupted; a recovery decides what becomes of it, and nobody may begin the run meanwhile. */
export type PhaseState =
  | 'PENDING'
  | 'RUNNING'
  | 'ABORTED'
  | 'FAILED_PARTIAL'
  | 'CLEAN_EXIT'
  | 'HARD_FAILED'
  | 'UNKNOWN';
export type AttemptState =
  | 'RUNNING'
  | 'SUPERSEDED'
  | 'ABORTED'
  | 'FAILED_PARTIAL'
  | 'CLEAN_EXIT'
  | 'HARD_FAILED'
  | 'UNKNOWN';

export interface PhaseRun {
  readonly ref: PhaseRef;
  readonly state: PhaseState;
  /** The newest attempt, from 1; 0 before the first. */
  readonly attempt: number;
  readonly caller: string;
  readonly traceId: string;
  readonly completed: number;
  readonly total: number;
  readonly note: string;
  readonly checkpoint: string;
  readonly subStepsDone: number;
  readonly result: string;
  readonly abortReason: string;
  /** null: not yet. */
  readonly startedAtMs: number | null;
  readonly progressAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly changedRevision: number;
  readonly vectorClock: VectorClock;
}

export interface Attempt {
  readonly attempt: number;
  readonly state: AttemptState;
  readonly caller: string;
  readonly traceId: string;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
}

export interface Loop {
  readonly name: string;
  readonly plan: string;
  /** The open round. */
  readonly g: number;
  /** Runs of the open round, in plan order. */
  readonly runs: readonly PhaseRun[];
  readonly createdRevision: number;
  readonly changedRevision: number;
  readonly createdAtMs: number;
  readonly vectorClock: VectorClock;
}

export interface SubStep {
  readonly id: string;
  readonly result: string;
  /** The attempt that finished it. */
  readonly attempt: number;
  readonly recordedRevision: number;
}

/** Comes with every answer to a mutation. */
export interface MutationAnswer {
  /** Log index of the entry that carried it out; a watch from here sees its events. */
  readonly revision: number;
  /** Of the leader that carried it out. */
  readonly term: number;
  /** The answer was given before and is repeated. */
  readonly replayed: boolean;
}

export interface LoopCreated extends MutationAnswer {
  readonly g: number;
}

export interface PhaseBegun extends MutationAnswer {
  readonly attempt: number;
  /** Goes with every later call of this attempt, and to every system that the work touches. */
  readonly token: number;
  /** Sub-steps that earlier attempts finished; `listSubSteps` names them. */
  readonly subStepsDone: number;
  /** Last checkpoint of the earlier attempts; '' if none. */
  readonly checkpoint: string;
  readonly vectorClock: VectorClock;
}

export interface ProgressReported extends MutationAnswer {
  readonly subStepsRecorded: number;
  /**
   * On record already; their first result stands. Cut when their text is long: all of the report that were not recorded
   * are known.
   */
  readonly subStepsKnown: readonly string[];
}

export interface PhaseEnded extends MutationAnswer {
  /** The loop's open round after this. */
  readonly nextG: number;
  readonly vectorClock: VectorClock;
}

export interface PhaseAborted extends PhaseEnded {
  /** The attempt leaves effects behind (given up for good: or documents): a recovery undoes them, and only then is the run what was asked for. */
  readonly rollingBack: boolean;
}

export interface CallOptions {
  /** Overall time for the call with all its tries; default: the client's. */
  readonly deadlineMs?: number;
  /** Gives the call up. A mutation that is under way then ends as `IndeterminateError`. */
  readonly signal?: AbortSignal;
}

export interface MutationOptions extends CallOptions {
  /** Correlates everything that belongs to one piece of work. */
  readonly traceId?: string;
  /** Who asks; default: the client's caller. */
  readonly caller?: string;
}

export interface ReadOptions extends CallOptions {
  /** How fresh the answer must be; default: `linearizable`. */
  readonly consistency?: Consistency;
  /** true: the same as `consistency: 'stale'`. */
  readonly stale?: boolean;
}

/**
 * `linearizable`: everything that was committed before the call, whatever clocks do. `lease`: as fresh, and quicker where the
 * leader is asked; rests on clocks that drift apart no further than the members' settings allow for. `stale`: what the asked
 * member has applied. `maxStalenessMs`: everything that was committed so long before the call, from any member.
 */
export type Consistency = 'linearizable' | 'lease' | 'stale' | { readonly maxStalenessMs: number };

/** A change of members. All of a call are carried out, or none. */
export type MemberChange =
  | {
      readonly add: string;
      /** host:port, as the other members reach it, and as clients do. */
      readonly peerAddress: string;
      readonly clientAddress: string;
      /** Stays a learner; default: it becomes a voter once it has caught up. */
      readonly learner?: boolean;
      /** Member that goes in the same change in which this one becomes a voter. */
      readonly replaces?: string;
    }
  | { readonly promote: string }
  | { readonly remove: string };

export interface ChangeMembersOptions extends MutationOptions {
  /** Also where the members left would have no majority that was heard of lately. */
  readonly force?: boolean;
}

export interface MemberList {
  /** Sorted by id. */
  readonly members: readonly MemberInfo[];
  /** Two configurations are in force until the change under way is complete. */
  readonly joint: boolean;
  /** The configuration is what is wanted, and complete. */
  readonly settled: boolean;
  readonly configurationIndex: number;
}

/** What the members of a cluster may rely on of each other. */
export interface FeatureLevel {
  readonly level: number;
  /** Highest level of which something was used: the level cannot go below it. */
  readonly used: number;
  /** It is not raised by itself. */
  readonly pinned: boolean;
  /** Highest level that all members support; 0: not all were heard of. */
  readonly supported: number;
}

/** What a backup stands for: everything up to `index`, nothing after it. */
export interface BackupInfo {
  readonly clusterId: string;
  /** Member that was asked. */
  readonly memberId: string;
  readonly index: number;
  readonly term: number;
  readonly featureLevel: number;
  readonly version: string;
  readonly createdAtMs: number;
  /** Rough size of the file; null: not known. */
  readonly estimatedBytes: number | null;
}

export interface BackupOptions {
  /** Time until the first piece; the whole may take as long as it needs. Default: the client's. */
  readonly deadlineMs?: number;
  /** Gives the backup up. */
  readonly signal?: AbortSignal;
}

/** A piece of a backup file, in order. The first one has no data. */
export interface BackupPiece {
  readonly info: BackupInfo;
  readonly data: Uint8Array;
  /** In the file so far, with this piece. */
  readonly bytes: number;
}

export interface BeginPhaseOptions extends MutationOptions {
  /** Take the run over from this attempt, which loses its token. */
  readonly supersedeAttempt?: number;
  readonly vectorClock?: VectorClock;
  /** Who has to report `finished` besides the commit, at most 64; default: nobody. Feature level 3. */
  readonly participants?: readonly string[];
}

export interface ProgressReport {
  /** Units done and planned; leave both out to keep what was reported. */
  readonly completed?: number;
  readonly total?: number;
  readonly note?: string;
  /** Finished sub-steps, at most 1,000. */
  readonly subSteps?: readonly { readonly id: string; readonly result: string }[];
  readonly checkpoint?: string;
  /** CRC-32 over the UTF-8 bytes of `checkpoint`: a recovery trusts no checkpoint that does not match it. Feature level 3. */
  readonly checkpointCrc?: number;
  /** Of the history that is told: decides between reports that contradict each other. Feature level 3. */
  readonly vectorClock?: VectorClock;
  /** Who of the participants tells it; default: the caller. Feature level 3. */
  readonly participant?: string;
}

export interface WatchEvent {
  readonly revision: number;
  /** Position among the events of one revision, from 0. */
  readonly ordinal: number;
  readonly timeMs: number;
  readonly kind: WatchEventKind | (string & {});
  readonly loop: string;
  readonly g: number;
  /** '' where the event is not about one phase. */
  readonly phase: string;
  readonly attempt: number;
  readonly caller: string;
  readonly traceId: string;
  /**
   * Of `phase_transition.finished`: CLEAN_EXIT, ABORTED, FAILED_PARTIAL, HARD_FAILED or SUPERSEDED. Of `phase_recovery.*`: the
   * arc, as in `INTERRUPTED>RECONCILE`, and cause or step behind a space. Of `agent.*`: the agent. Of others: what it is about.
   */
  readonly outcome: string;
  readonly vectorClock: VectorClock;
}

export interface WatchOptions {
  /** First revision wanted; to resume, the last one seen plus one. Default: from now on. */
  readonly fromRevision?: number;
  /** Only events of this loop. */
  readonly loop?: string;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal;
  /** Told how far the watch has come, also where no event was: everything up to the revision has been delivered. */
  readonly onRevision?: (revision: number) => void;
}

export interface StreamStatus {
  readonly streamId: number;
  readonly role: string;
  readonly term: number;
  /** null: unknown. */
  readonly leaderId: string | null;
  readonly leaderClientAddress: string | null;
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly stateHash: string;
  readonly sessions: number;
  readonly waitingProposals: number;
  readonly watches: number;
  readonly firstEventRevision: number;
  /** First entry that the log still holds. */
  readonly firstLogIndex: number;
  /** Entry after which the tables are on disk. */
  readonly storedIndex: number;
  readonly configurationIndex: number;
  /** Two configurations are in force until the change under way is complete. */
  readonly joint: boolean;
  readonly recovering: boolean;
}

export interface MemberInfo {
  readonly memberId: string;
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly voter: boolean;
  readonly leader: boolean;
  /** Known to the leader only. */
  readonly matchIndex: number;
  readonly active: boolean;
  /** What it counts for now; null: the configuration does not have it yet, or any more. */
  readonly role: 'voter' | 'learner' | 'outgoing' | null;
  /** null: nothing was ever asked of a first member. */
  readonly wanted: 'voter' | 'learner' | 'removed' | null;
  /** Member that goes when this one becomes a voter. */
  readonly replaces: string | null;
  /** Entries that it lacks. Known to the leader only. */
  readonly lagEntries: number;
  /** Highest feature level that it supports; null: not known to the asked member. */
  readonly featureLevel: number | null;
  /** It fetches back a lost part of its log. Known to itself only. */
  readonly recovering: boolean;
  /** An image of the state on its way to it. Known to the leader only. */
  readonly transfer: TransferProgress | null;
}

export interface TransferProgress {
  readonly index: number;
  readonly chunksAcked: number;
  readonly bytesSent: number;
  /** Times that it went on after a broken connection. */
  readonly resumed: number;
}

/** What the process of a member has written to its disk, since it was started. */
export interface IoStatus {
  /** Payload of the commands that were applied, bytes. */
  readonly bytesProposed: number;
  /** Everything that the process wrote, bytes, as the kernel counts it; meaningful on Linux only. */
  readonly bytesWritten: number;
  /** bytesWritten / bytesProposed; null: nothing was proposed yet. */
  readonly maxIoOverheadRatio: number | null;
  /** Of the newest 1,024 fsyncs of the log, milliseconds; 0: there was none. */
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
  readonly fsyncs: number;
}

/** What one member says about itself and the others. */
export interface MemberStatus {
  readonly clusterId: string;
  readonly memberId: string;
  readonly version: string;
  readonly members: readonly MemberInfo[];
  readonly streams: readonly StreamStatus[];
  /** Why the member refuses work; null when it is well. */
  readonly fault: string | null;
  /** Of the cluster. */
  readonly featureLevel: number;
  /**
   * What keeps the member from its full work, and clears by itself: NO_SPACE, RECOVERING, PARTITIONED. About any member, and said by
   * all: LAGGING, PERMIT_ASYNC, PENDING_EVICTION, EVICTION_BLOCKED.
   */
  readonly alarms: readonly string[];
  /** The member was removed from the cluster. */
  readonly removed: boolean;
  /** The member waits to be added to a cluster. */
  readonly waitsToJoin: boolean;
  /** null: a member of an older release. */
  readonly io: IoStatus | null;
}

/** What asking one endpoint gave. */
export type EndpointStatus =
  | { readonly endpoint: string; readonly status: MemberStatus }
  | { readonly endpoint: string; readonly error: string };
