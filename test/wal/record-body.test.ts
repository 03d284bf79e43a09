import { describe, expect, it } from 'vitest';
import { DATA_STREAM, logIndex, term } from '../../src/types/ids.ts';
import { decodeSnapshotMark, snapshotMarkDraft } from '../../src/wal/record-body.ts';
import { configuration } from '../raft/cluster.ts';

describe('the body of a snapshot mark', () => {
  it.each([0, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 7, 2 ** 53 - 2])(
    'keeps the index %i of its configuration (known bug E15)',
    (index) => {
      const placed = { index: logIndex(index), configuration: configuration(['a', 'b', 'c']) };
      const mark = { index: logIndex(2 ** 53 - 2), term: term(2 ** 33), configuration: placed };
      const draft = snapshotMarkDraft(DATA_STREAM, mark, true);
      expect(draft).toMatchObject({ term: mark.term, firstIndex: mark.index });
      const buffer = Buffer.from(draft.body);
      const record = { ...draft, buffer, bodyStart: 0, bodyEnd: buffer.length };
      expect(decodeSnapshotMark(record as unknown as Parameters<typeof decodeSnapshotMark>[0])).toEqual({
        mark,
        keepEntries: true,
      });
    },
  );
});
