/** R4: what the driver of a core does while an image takes the place of the log. */
import { describe, expect, it } from 'vitest';
import { CoreDriver } from '../../src/node/core-driver.ts';
import type { Raft } from '../../src/raft/raft.ts';
import type { Effect, Entry, Input, SnapshotMark } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import { logIndex, memberId, streamId, term } from '../../src/types/ids.ts';
import type { Wal } from '../../src/wal/types.ts';
import { ManualClock } from '../wal/support.ts';

const TERM = term(1);

function entries(from: number, to: number): readonly Entry[] {
  const payload = new Uint8Array(0);
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    index: logIndex(from + i),
    term: TERM,
    kind: 'noop' as const,
    payload,
  }));
}

function markAt(index: number): SnapshotMark {
  const configuration = { voters: [memberId('a')], votersOutgoing: [], learners: [] };
  return { index: logIndex(index), term: TERM, configuration: { index: logIndex(0), configuration } };
}

/** A driver whose core gives the effects that the test wants, with nothing in memory, and a log that answers when it is told. */
function setUp() {
  const inputs: Input[] = [];
  const committed: number[] = [];
  const fatal: Error[] = [];
  const reads: ((entries: readonly Entry[]) => void)[] = [];
  let effects: readonly Effect[] = [];
  const raft = {
    term: TERM,
    entries: () => null,
    step: (input: Input) => {
      inputs.push(input);
      return input.kind === 'tick' ? effects : [];
    },
  };
  const wal = { read: () => new Promise<readonly Entry[]>((resolve) => reads.push(resolve)) };
  const driver = new CoreDriver(
    {
      stream: streamId(1),
      raft: raft as unknown as Raft,
      wal: wal as unknown as Wal,
      clock: new ManualClock(),
      send: () => undefined,
      onCommitted: (applied) => committed.push(...applied.map(({ index }) => index)),
      onEffect: () => undefined,
      restore: async () => undefined,
      onRestored: () => undefined,
      onFatal: (error) => fatal.push(error),
    },
    logIndex(0),
  );
  const cause = async (...wanted: readonly Effect[]): Promise<void> => {
    effects = wanted;
    driver.input({ kind: 'tick', nowMs: 0 });
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { cause, inputs, committed, fatal, reads };
}

describe('R4: an image takes the place of the log', () => {
  it('what was being read of the old log is not applied to it, however late it comes', async () => {
    const { cause, inputs, committed, fatal, reads } = setUp();
    await cause({ kind: 'commit', index: logIndex(3) });
    expect(reads).toHaveLength(1);
    await cause({ kind: 'restore', sequence: 1, mark: markAt(9), keepEntries: false, afterDurable: [] });
    expect(inputs.at(-1)).toEqual({ kind: 'applied', index: 9 });
    await cause({ kind: 'commit', index: logIndex(10) });
    expect(reads).toHaveLength(2);
    must(reads[0], 'the first reading')(entries(1, 3));
    must(reads[1], 'the second reading')(entries(10, 10));
    await new Promise((resolve) => setImmediate(resolve));
    expect(fatal).toEqual([]);
    expect(committed).toEqual([10]);
  });
});
