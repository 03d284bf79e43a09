/** The audit log (O3): append-only and hash-chained over the mutating commands of the cluster. Feature level 3. */
import type { ClusterTimeMs, LogIndex } from '../../types/ids.ts';

/** One record; see `docs/audit.md` for the bytes that are hashed. */
export interface AuditRecord {
  readonly index: LogIndex;
  readonly timeMs: ClusterTimeMs;
  readonly caller: string;
  readonly traceId: string;
  readonly command: string;
  /** What it was about: loop, document, member …; '' for none. */
  readonly subject: string;
  /** OK, or the reason of the rejection. */
  readonly outcome: string;
  /** More for people and verifiers: signatures of an override, for instance, as JSON; '' for none. */
  readonly detail: string;
  /** SHA-256 over the hash before and this record, 64 hexadecimal digits. */
  readonly hash: string;
}

/** Records are stored in blocks; the newest is rewritten until it is full. */
export interface AuditBlockRow {
  /** Position of its first record, from 1. */
  readonly first: number;
  /** Hash before its first record. */
  readonly previousHash: string;
  readonly records: readonly AuditRecord[];
}
