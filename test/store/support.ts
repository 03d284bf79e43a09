/** What the tests of stores and images share. */

import type { ReplicatedMachine } from '../../src/machine/api.ts';
import { startLoading } from '../../src/machine/machine.ts';
import type { RowChange, StoredRow } from '../../src/machine/types.ts';
import type { SnapshotMark } from '../../src/raft/types.ts';
import type { RowPosition, Store, StoreImage } from '../../src/store/types.ts';
import { logIndex, memberId, type StreamId, streamId, term } from '../../src/types/ids.ts';

export const ONE = streamId(1);
export const TWO = streamId(2);

const CONFIGURATION = {
  index: logIndex(0),
  configuration: { voters: [memberId('a'), memberId('b')], votersOutgoing: [], learners: [memberId('c')] },
};

export const mark = (index: number, inTerm = 1): SnapshotMark => ({
  index: logIndex(index),
  term: term(inTerm),
  configuration: CONFIGURATION,
});

export const put = (table: string, key: string, value: string): RowChange => ({ table, key, value });
export const row = (table: string, key: string, value: string): StoredRow => ({ table, key, value });
export const del = (table: string, key: string): RowChange => ({ table, key, value: null });

export interface Stored {
  readonly index: number;
  readonly rows: readonly StoredRow[];
}

/** All rows that `source` gives, in pages of `bytesMax`. */
export async function allRows(source: Pick<StoreImage, 'read'>, bytesMax = 1_000): Promise<readonly StoredRow[]> {
  const rows: StoredRow[] = [];
  let after: RowPosition | null = null;
  do {
    const page = await source.read(after, bytesMax);
    rows.push(...page.rows);
    after = page.next;
  } while (after !== null);
  return rows;
}

/** What is written now; index 0 and no rows when nothing was. */
export async function stored(store: Store, stream: StreamId = ONE): Promise<Stored> {
  const image = await store.image(stream);
  if (image === null) return { index: 0, rows: [] };
  try {
    return { index: image.mark.index, rows: await allRows(image) };
  } finally {
    await image.close();
  }
}

export function machineOf({ index, rows }: Stored): ReplicatedMachine {
  const loader = startLoading();
  loader.add(rows);
  return loader.finish(logIndex(index));
}
