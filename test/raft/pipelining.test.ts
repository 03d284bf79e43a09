/** What pipelining adds to the paper: windows, lost messages, and entries that are no longer in memory. */
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/raft/types.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';
import { entriesOfTerms } from './cluster.ts';
import { type Body, HEARTBEAT_TICKS, Solo, type SoloOptions } from './solo.ts';

const heartbeatResponse: Body = { kind: 'heartbeatResponse', readSequence: 0 };
/** Leads, its no-op committed, `b` in replicate, `c` silent. */
function leading(options: SoloOptions = {}): Solo {
  const solo = new Solo(options);
  solo.lead();
  solo.ack('b', solo.member.raft.status().lastIndex);
  solo.take();
  return solo;
}
const toB = (solo: Solo): readonly (readonly number[])[] =>
  solo
    .sent('appendRequest')
    .filter(({ to }) => to === 'b')
    .map(({ prevLogIndex, entries }) => [prevLogIndex, ...entries.map(({ index }) => index)]);
const peerB = (solo: Solo) => solo.member.raft.status().peers.find(({ id }) => id === 'b');

describe('pipelining', () => {
  it('sends ahead of acknowledgements, within the window in messages', () => {
    const solo = leading({ limits: { inflightMessagesMax: 2 } });
    for (const text of ['x', 'y', 'z']) solo.propose(text);
    expect(toB(solo)).toEqual([
      [1, 2],
      [2, 3],
    ]);
    solo.take();
    solo.ack('b', 2);
    expect(toB(solo)).toEqual([[3, 4]]);
  });

  it('and in bytes', () => {
    const solo = leading({ limits: { inflightBytesMax: 6 } });
    for (const text of ['four', 'more', 'last']) solo.propose(text);
    expect(toB(solo)).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  it('probes one at a time', () => {
    const solo = new Solo();
    solo.lead();
    solo.propose('x');
    solo.propose('y');
    expect(solo.sent('appendRequest')).toEqual([]);
    solo.ack('b', 1);
    expect(toB(solo)).toEqual([[1, 2, 3]]);
  });

  it('a full window is freed when all acknowledgements were lost (known bug R15)', () => {
    const solo = leading({ limits: { inflightMessagesMax: 1 } });
    solo.propose('x');
    solo.propose('y');
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    solo.receive('b', 1, heartbeatResponse);
    expect(toB(solo)).toEqual([[2]]);
    solo.ack('b', 2);
    expect(toB(solo)).toEqual([[2], [2, 3]]);
  });

  it('answers to heartbeats that come thick, from reads say, cause no flood of empty appends', () => {
    const solo = leading();
    solo.propose('x');
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    for (let turn = 0; turn < 10; turn++) solo.receive('b', 1, heartbeatResponse);
    expect(toB(solo)).toEqual([[2]]);
  });

  it('unreachable: probes again, once it is heard', () => {
    const solo = leading();
    solo.propose('x');
    solo.take();
    solo.step({ kind: 'unreachable', peer: memberId('b') });
    expect([peerB(solo)?.state, toB(solo)]).toEqual(['probe', []]);
    solo.tick(HEARTBEAT_TICKS);
    solo.receive('b', 1, heartbeatResponse);
    expect(toB(solo)).toEqual([[1, 2]]);
  });
});

describe('entries that are no longer in memory', () => {
  const behind = (): Solo => {
    const solo = leading({ limits: { cacheBytesMax: 0 } });
    solo.propose('x', 'y');
    solo.persistAll();
    solo.ack('b', 3);
    solo.take();
    return solo;
  };
  const entries = (terms: readonly number[], from: number): readonly Entry[] =>
    entriesOfTerms(terms).map((entry, at) => ({ ...entry, index: logIndex(from + at) }));
  const read = (solo: Solo, found: readonly Entry[]): void =>
    solo.step({ kind: 'logRead', to: memberId('c'), entries: found });

  it('stay in memory until they are durable and applied', () => {
    const solo = leading({ limits: { cacheBytesMax: 0 } });
    solo.propose('x', 'y');
    expect(solo.member.raft.entries(logIndex(2), logIndex(3), 99)).toHaveLength(2);
    solo.ack('b', 3);
    expect(solo.member.raft.entries(logIndex(2), logIndex(3), 99)).toHaveLength(2);
    solo.persistAll();
    expect(solo.member.raft.entries(logIndex(2), logIndex(3), 99)).toBeNull();
  });

  it('are read back, one read at a time, and an answer that does not fit the log is not sent', () => {
    const solo = behind();
    solo.tick(HEARTBEAT_TICKS);
    solo.receive('c', 1, heartbeatResponse);
    solo.ack('c', 0);
    expect(solo.effects('readLog')).toMatchObject([{ to: 'c', from: 1, entriesMax: 3 }]);
    solo.receive('c', 1, heartbeatResponse);
    expect(solo.effects('readLog')).toHaveLength(1);
    solo.take();
    read(solo, entries([9], 1));
    expect([solo.sent('appendRequest'), solo.effects('readLog').length]).toEqual([[], 1]);
    read(solo, entries([1, 1], 1));
    expect(solo.sent('appendRequest')).toMatchObject([
      { to: 'c', prevLogIndex: 0, entries: [{ index: 1 }, { index: 2 }] },
    ]);
  });

  it('nobody asked: the answer is dropped', () => {
    const solo = leading();
    read(solo, entries([1], 1));
    expect(solo.take()).toEqual([]);
    const follower = new Solo({ term: 1 });
    read(follower, entries([1], 1));
    expect(follower.take()).toEqual([]);
  });
});
