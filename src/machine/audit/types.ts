/** The audit log (O3): append-only and hash-chained over the mutating commands of the cluster. Feature level 3. */
import type { ClusterTimeMs, LogIndex } from '../../types/ids.ts';

/** One record; `docs/audit.md` has the bytes that are hashed. Its hash is worked out where it is wanted: it follows from the block. */
export interface AuditRecord {
  readonly index: LogIndex;
  readonly timeMs: ClusterTimeMs;
  readonly caller: string;
  readonly traceId: string;
  /** Kind of the command. */
  readonly command: string;
  /** What it was about: loop, document, member …; '' for none. */
  readonly subject: string;
  /** OK, or the reason of the rejection. */
  readonly outcome: string;
  /** More for people and verifiers: signatures of an override, for instance, as JSON; '' for none. */
  readonly detail: string;
}

/** Records are stored in blocks; the newest is written again until it is full. Key: `first`. */
export interface AuditBlockRow {
  /** Position of its first record, from 1. */
  readonly first: number;
  /** Hash of the record before its first: of position `first` − 1. */
  readonly previousHash: string;
  readonly records: readonly AuditRecord[];
}
