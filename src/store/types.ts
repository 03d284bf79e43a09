/** The mirror of the tables on disk. Implementations: `level-store.ts` here, a memory store in `test/`. One contract suite runs over both. */

import type { RowChange, StoredRow } from '../machine/types.ts';
import type { LogIndex, StreamId } from '../types/ids.ts';

export interface Store {
  /** Index whose changes the store holds; 0 for a new one. Rows and index are read from one consistent state. */
  load(stream: StreamId): Promise<{ readonly appliedIndex: LogIndex; readonly rows: readonly StoredRow[] }>;
  /**
   * Writes the changes and the applied index in one atomic batch. Need not be durable at once: the log is, and
   * replays what the store missed. `appliedIndex` never goes back (asserted).
   */
  write(stream: StreamId, appliedIndex: LogIndex, changes: readonly RowChange[]): Promise<void>;
  /** Waits for writes in flight. Idempotent. */
  close(): Promise<void>;
}
