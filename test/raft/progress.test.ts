import { describe, expect, it } from 'vitest';
import { Durability } from '../../src/raft/durability.ts';
import { Inflight } from '../../src/raft/inflight.ts';
import { Progress } from '../../src/raft/progress.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';
import { LIMITS } from './cluster.ts';

const at = logIndex;
const limits = { ...LIMITS, inflightMessagesMax: 3, inflightBytesMax: 100 };

function replicating(match: number): Progress {
  const progress = new Progress(memberId('b'), at(match + 1), 0, limits);
  progress.accepted(at(match), 0);
  return progress;
}

describe('in-flight window', () => {
  it('is bounded in messages and bytes, and freed from the front', () => {
    const window = new Inflight(3, 100);
    window.add(at(2), 10);
    window.add(at(4), 10);
    window.add(at(6), 10);
    expect(window.full).toBe(true);
    window.freeTo(at(3));
    expect([window.count, window.bytes, window.full]).toEqual([2, 20, false]);
    window.add(at(7), 200);
    expect(window.full).toBe(true);
    window.freeTo(at(6));
    expect([window.count, window.full]).toEqual([1, true]);
    window.freeTo(at(7));
    expect([window.count, window.bytes, window.full]).toEqual([0, 0, false]);
    expect(() => {
      for (let turn = 0; turn < 4; turn++) window.add(at(8 + turn), 1);
    }).toThrow('full window');
  });
});

describe('progress', () => {
  it('probe: one append at a time, next stays', () => {
    const progress = new Progress(memberId('b'), at(6), 0, limits);
    expect(progress.ready).toBe(true);
    progress.sent(at(8), 10, 1);
    expect([progress.ready, progress.nextIndex, progress.inflightMessages]).toEqual([false, 6, 0]);
  });

  it('replicate: next moves with every append until the window is full', () => {
    const progress = replicating(5);
    expect(progress.state).toBe('replicate');
    for (const last of [6, 7, 8]) progress.sent(at(last), 10, 1);
    expect([progress.nextIndex, progress.ready, progress.inflightMessages]).toEqual([9, false, 3]);
    progress.accepted(at(7), 2);
    expect([progress.matchIndex, progress.nextIndex, progress.ready, progress.inflightMessages]).toEqual([
      7,
      9,
      true,
      1,
    ]);
  });

  it.each([
    // state, match, next, rejected prev, agree → taken, next
    ['replicate: before the match is stale', 5, 9, 5, 3, false, 9],
    ['replicate: never sent is stale', 5, 9, 9, 6, false, 9],
    ['replicate: the hint says where to go on', 5, 9, 8, 6, true, 7],
    ['replicate: never below the match', 5, 9, 8, 2, true, 6],
    ['replicate: never above what was rejected', 5, 9, 6, 8, true, 6],
  ] as const)('rejection in %s', (_, match, next, prev, agree, taken, expected) => {
    const progress = replicating(match);
    progress.sent(at(next - 1), 10, 1);
    expect(progress.rejected(at(prev), at(agree))).toBe(taken);
    expect(progress.nextIndex).toBe(expected);
    expect(progress.state).toBe(taken ? 'probe' : 'replicate');
  });

  it('a rejection in probe counts once, and always goes back', () => {
    const progress = new Progress(memberId('b'), at(9), 0, limits);
    progress.sent(at(8), 0, 1);
    expect(progress.rejected(at(8), at(8))).toBe(true);
    expect([progress.nextIndex, progress.ready]).toEqual([8, true]);
    expect(progress.rejected(at(8), at(3))).toBe(false);
    expect(progress.nextIndex).toBe(8);
  });

  it('a late acknowledgement neither takes the match back nor ends a probe', () => {
    const progress = replicating(5);
    progress.sent(at(8), 10, 1);
    progress.accepted(at(8), 2);
    expect(progress.accepted(at(6), 3)).toBe(false);
    expect(progress.matchIndex).toBe(8);
    progress.sent(at(9), 10, 3);
    progress.unreachable();
    expect([progress.state, progress.nextIndex, progress.ready]).toEqual(['probe', 9, false]);
    progress.accepted(at(7), 4);
    expect(progress.state).toBe('probe');
    progress.accepted(at(8), 4);
    expect(progress.state).toBe('replicate');
  });

  it('is stalled when something is out and nothing came back for the given time', () => {
    const progress = replicating(5);
    expect(progress.isStalled(50, 3)).toBe(false);
    progress.sent(at(6), 10, 10);
    progress.sent(at(7), 10, 12);
    expect([progress.isStalled(12, 3), progress.isStalled(13, 3)]).toEqual([false, true]);
    progress.retry(13);
    expect([progress.isStalled(15, 3), progress.isStalled(16, 3)]).toEqual([false, true]);
    progress.accepted(at(7), 16);
    expect(progress.isStalled(99, 3)).toBe(false);
  });

  it('is active for as long as it was heard', () => {
    const progress = replicating(5);
    progress.heard(7);
    expect([progress.isActive(16, 10), progress.isActive(17, 10)]).toEqual([true, false]);
  });

  it('sends nothing while entries are read back', () => {
    const progress = replicating(5);
    progress.readStarted(at(6));
    expect(progress.ready).toBe(false);
    progress.readEnded();
    expect(progress.ready).toBe(true);
  });
});

describe('durability', () => {
  it('follows the persist effects in order', () => {
    const durability = new Durability(at(3));
    expect([durability.begin(at(5)), durability.begin(at(5)), durability.begin(at(8))]).toEqual([1, 2, 3]);
    durability.persisted(2);
    expect([durability.durableIndex, durability.durableSequence, durability.idle]).toEqual([5, 2, false]);
    durability.persisted(3);
    expect([durability.durableIndex, durability.idle]).toEqual([8, true]);
    expect(() => durability.persisted(3)).toThrow('in order');
    expect(() => durability.persisted(4)).toThrow('handed out');
  });

  it('a truncation takes back what was durable, and what is still being written', () => {
    const durability = new Durability(at(3));
    durability.begin(at(9));
    durability.truncatedFrom(at(3));
    expect(durability.durableIndex).toBe(2);
    durability.begin(at(4));
    durability.persisted(1);
    expect(durability.durableIndex).toBe(2);
    durability.persisted(2);
    expect(durability.durableIndex).toBe(4);
  });
});
