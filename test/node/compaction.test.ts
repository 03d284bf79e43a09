import { describe, expect, it } from 'vitest';
import { type CompactionView, compactTo } from '../../src/node/compaction.ts';
import type { PeerStatus, RaftStatus } from '../../src/raft/types.ts';
import { type LogIndex, logIndex, memberId } from '../../src/types/ids.ts';

/** A log of 1,000 entries, ten in each segment of 100 bytes. */
const LAST = 1_000;
function bytesAfter(index: LogIndex): number {
  return Math.ceil((LAST - index) / 10) * 100;
}

function peer(matchIndex: number, some: Partial<PeerStatus> = {}): PeerStatus {
  return {
    id: memberId('b'),
    matchIndex: logIndex(matchIndex),
    nextIndex: logIndex(matchIndex + 1),
    state: 'replicate',
    inflightMessages: 0,
    active: true,
    recovering: false,
    ...some,
  };
}

function view(some: Partial<CompactionView> & { peers?: readonly PeerStatus[]; firstIndex?: number }): CompactionView {
  const { peers = [], firstIndex = 1, ...rest } = some;
  const status = { firstIndex: logIndex(firstIndex), appliedIndex: logIndex(LAST), peers } as unknown as RaftStatus;
  return { status, storedIndex: logIndex(900), transfers: [], bytesAfter, ...rest };
}

const POLICY = { keepBytes: 2_000, keepSlowBytes: 5_000 };

describe('R4: the log is cut', () => {
  it('behind the store’s mark, with slack', () => {
    // 900 is stored; 2,000 bytes are 200 entries.
    expect(compactTo(POLICY, view({}))).toBe(709);
    expect(compactTo({ keepBytes: 0, keepSlowBytes: 0 }, view({}))).toBe(900);
  });

  it('never past what is stored, applied, or the mark of an image on its way', () => {
    expect(compactTo({ keepBytes: 0, keepSlowBytes: 0 }, view({ storedIndex: logIndex(5) }))).toBeNull();
    expect(compactTo({ keepBytes: 0, keepSlowBytes: 0 }, view({ transfers: [logIndex(300)] }))).toBe(300);
  });

  it('not where nothing would be freed', () => {
    expect(compactTo(POLICY, view({ firstIndex: 710 }))).toBeNull();
    expect(compactTo({ keepBytes: 100_000, keepSlowBytes: 100_000 }, view({}))).toBeNull();
  });

  it('behind an active follower that lags, up to a bound', () => {
    const free = { keepBytes: 0, keepSlowBytes: 5_000 };
    expect(compactTo(free, view({ peers: [peer(600)] }))).toBe(600);
    expect(compactTo(free, view({ peers: [peer(100)] }))).toBe(900);
    expect(compactTo(free, view({ peers: [peer(600, { active: false })] }))).toBe(900);
    expect(compactTo(free, view({ peers: [peer(0, { state: 'snapshot' })] }))).toBe(900);
  });
});
