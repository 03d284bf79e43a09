/**
 * The write-ahead log: one physical log per member, the records of every stream in it (architecture, decision 7).
 * Format: `FORMAT.md`.
 */
import type { Configuration, Entry, HardState, PlacedConfiguration, SnapshotMark, TermSpan } from '../raft/types.ts';
import type { ClusterId, LogIndex, MemberId, StreamId, Term } from '../types/ids.ts';

export interface WalIdentity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

export interface WalOptions extends WalIdentity {
  /** Preallocated size of a segment, bytes. */
  readonly segmentBytes: number;
  /** Batches larger than this are tried with lz4, and kept compressed when that saves an eighth. */
  readonly compressBytesMin: number;
  /**
   * Decodes the payload of a configuration entry. Without it such entries are refused: as a bug on append, as
   * written by a newer version on open.
   */
  readonly decodeConfiguration?: (payload: Uint8Array) => Configuration;
  /**
   * Second copy of every hard state, on the same disk but apart from the log: each one is durable in both before `append`
   * resolves. What a member voted survives damage to its log by it (W4).
   */
  readonly hardStateCopy?: HardStateCopy;
  /** Told about what open found and cut; and, later, about each fsync. */
  readonly observe?: (event: WalEvent) => void;
}

/** Implementation: `hard-state-copy.ts`. */
export interface HardStateCopy {
  /** What the copy says, by stream; empty when it was never written. `problem`: it is damaged, and says nothing. */
  readonly recovered:
    | {
        readonly kind: 'sound';
        readonly states: ReadonlyMap<StreamId, HardState>;
        /** Sequence number of the newest segment that the log had entered; 0: not known. Without it a lost end shows nowhere. */
        readonly segment: number;
      }
    | { readonly kind: 'damaged'; readonly file: string; readonly offset: number; readonly problem: string };
  /** Resolves when it is durable. Calls are carried out in order. */
  write(stream: StreamId, hardState: HardState): Promise<void>;
  /** The log goes on in this segment. Resolves when that is durable. In order with `write`. */
  noteSegment(sequence: number): Promise<void>;
  close(): Promise<void>;
}

export type WalEvent =
  /** The disk has no room for another segment (true), or has it again. Entries are still taken while `Wal.spaceLow`
   *  is true, but only what keeps the cluster together should be handed over: the reserve is small. */
  | { readonly kind: 'space'; readonly low: boolean }
  /** Segments that are not needed any more were kept for reuse or removed. */
  | { readonly kind: 'compacted'; readonly segments: number; readonly firstSequence: number }
  /** `copy`: the file that what was cut was copied to before. */
  | {
      readonly kind: 'tornTail';
      readonly file: string;
      readonly offset: number;
      readonly bytes: number;
      readonly copy: string;
    }
  /**
   * A segment is shorter than it was made, so something other than the log cut it. What its records say is whole (else
   * the log does not open), but what stood at its very end may be missing, as after a torn write.
   */
  | { readonly kind: 'shortFile'; readonly file: string; readonly bytes: number; readonly preparedBytes: number }
  | { readonly kind: 'synced'; readonly records: number; readonly bytes: number; readonly durationMs: number };

/** One persist effect of one stream: durable as a whole or not at all. */
export interface WalAppend {
  readonly stream: StreamId;
  readonly hardState: HardState | null;
  /** Consecutive; the first one replaces whatever the stream holds from its index on. */
  readonly entries: readonly Entry[];
}

/** What the log holds of one stream. */
export interface RecoveredStream {
  readonly stream: StreamId;
  readonly hardState: HardState;
  /** Oldest first: the one in force at the base, and those that entries of the log brought. */
  readonly configurations: readonly PlacedConfiguration[];
  /** Term of the entry before `firstIndex`; 0 when there is none. */
  readonly baseTerm: Term;
  readonly firstIndex: LogIndex;
  /** firstIndex − 1 when the log is empty. */
  readonly lastIndex: LogIndex;
  readonly spans: readonly TermSpan[];
}

export interface Wal {
  /** What is durable now, sorted by stream id; empty for a new folder. Not cheap. */
  readonly streams: readonly RecoveredStream[];
  /** Sequence number of the segment in use; what `HardStateCopy.noteSegment` is told. */
  readonly newestSegment: number;
  /**
   * Starts a stream in a new log with the configuration that the operator gave. Resolves when it is durable.
   * After that the log is the only source of the configuration (known-bugs C6).
   */
  bootstrap(stream: StreamId, configuration: Configuration): Promise<void>;
  /**
   * Starts a stream in a new log whose first entry will be `mark.index` + 1: after a restore from a backup, or to rebuild a
   * damaged log. Resolves when it is durable.
   */
  start(stream: StreamId, hardState: HardState, mark: SnapshotMark): Promise<void>;
  /**
   * A durable image covers everything up to `mark.index`. Without `keepEntries` all entries of the stream are gone and the
   * next is `mark.index` + 1; with it the entries after the mark stay. In order with `append`; resolves when it is durable.
   */
  reset(stream: StreamId, mark: SnapshotMark, keepEntries: boolean): Promise<void>;
  /**
   * Entries up to `upTo` of each stream are not needed any more. Frees whole segments, oldest first, and keeps some of them to
   * be written again (W6). Returns the first index that each stream still holds. Never frees the segment in use.
   */
  compact(upTo: ReadonlyMap<StreamId, LogIndex>): Promise<ReadonlyMap<StreamId, LogIndex>>;
  /** Bytes of the segments that hold entries of `stream` after `index`, about; for the policy of compaction. */
  bytesAfter(stream: StreamId, index: LogIndex): number;
  /** True while there is no room for another segment and what is left of this one is kept for what must go on (W5). */
  readonly spaceLow: boolean;
  /** Tries again to find room. Resolves with `spaceLow`. Never rejects for want of space. */
  probeSpace(): Promise<boolean>;
  /**
   * Appends; calls come in order and are durable in order, never partly. Resolves after fsync. What is appended
   * while an fsync runs shares the next one (W3). After a rejection every later call rejects with the same
   * error (W5): the caller stops the member.
   */
  append(append: WalAppend): Promise<void>;
  /**
   * Entries of [from, to], fewer when `bytesMax` payload bytes are reached (but at least one). Only what `append`
   * has resolved for may be asked for, and it must not have been replaced meanwhile (else an empty list).
   */
  read(stream: StreamId, from: LogIndex, to: LogIndex, bytesMax: number): Promise<readonly Entry[]>;
  /**
   * Whether what finds no room on the disk waits until `probeSpace` or time finds some, or is rejected, and the log with it, as at the end
   * of `close`. To be false while nobody looks for room: a log that was just opened rejects, and so does that of a member that stops.
   */
  waitForRoom(wait: boolean): void;
  /** Waits for what is in flight, then closes the files. Idempotent. */
  close(): Promise<void>;
}

export type WalProblem =
  /** The folder belongs to another cluster or member. */
  | 'foreign'
  /** Not a torn tail: damage before or between good records. The member must not start on it (W4). */
  | 'corrupt'
  /** Written by a newer version. */
  | 'version'
  /** Another process holds the folder. */
  | 'locked'
  /** The device failed: EIO, ENOSPC, EROFS, … */
  | 'device'
  | 'closed';

/** `file` is as `Disk.locate` gives it. Says which file and offset, and what to do. */
export class WalError extends Error {
  override readonly name = 'WalError';
  readonly problem: WalProblem;
  readonly file: string;
  readonly offset: number;
  constructor(problem: WalProblem, file: string, offset: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : ({ cause } as never));
    this.problem = problem;
    this.file = file;
    this.offset = offset;
  }
}
