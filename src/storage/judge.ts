/** Do log and store belong together? Pure. */

import type { SnapshotMark } from '../raft/types.ts';
import type { StoredState } from '../store/types.ts';
import { logIndex, type Term, term } from '../types/ids.ts';
import type { RecoveredStream } from '../wal/types.ts';

/** Nothing was written yet: before the first entry. */
export const BEGINNING: SnapshotMark = {
  index: logIndex(0),
  term: term(0),
  configuration: { index: logIndex(0), configuration: { voters: [], votersOutgoing: [], learners: [] } },
};

/** Release 0.1 kept the index alone: no log can be started behind such a mark. */
export function lacksTerm({ index, term: known }: SnapshotMark): boolean {
  return index > 0 && known === 0;
}

/** Term of the entry `index`, or of the one before the log; null when the log does not know it. */
export function termAt(log: RecoveredStream, index: number): Term | null {
  if (index === log.firstIndex - 1) return log.baseTerm;
  if (index < log.firstIndex || index > log.lastIndex) return null;
  return log.spans.findLast(({ firstIndex }) => firstIndex <= index)?.term ?? null;
}

/** Why the store and the log of one stream do not belong together, or null. `log` is null when it does not hold the stream. */
export function misfit(log: RecoveredStream | null, { mark, installing }: StoredState): string | null {
  const { index, term: markTerm } = mark ?? BEGINNING;
  if (log === null) return index === 0 ? null : `it is empty, but the store stands after entry ${index}`;
  // An image was installed, and perhaps the log was not told yet: it may end before, or hold other entries.
  if (installing) {
    if (markTerm > log.hardState.term) return `it ends in term ${log.hardState.term}`;
    // But it does not begin later: its oldest segments are lost then, and entries with them that this member may have acknowledged. To
    // tell it of the image would throw the rest away (simulator, seed 881000000462).
    return index < log.firstIndex - 1 ? beginsLate(log, index) : null;
  }
  if (index > log.lastIndex) return `it ends at entry ${log.lastIndex}, but the store stands after entry ${index}`;
  if (index < log.firstIndex - 1) return beginsLate(log, index);
  const known = termAt(log, index);
  if (mark === null || lacksTerm(mark) || known === markTerm) return null;
  return `its entry ${index} is of term ${known}, but the store's is of term ${markTerm}`;
}

function beginsLate({ firstIndex }: RecoveredStream, index: number): string {
  return `it begins at entry ${firstIndex}, but the store stands after entry ${index}`;
}
