/** R4: images in place of entries (Raft paper, section 7). */
import { describe, expect, it } from 'vitest';
import type { SnapshotMark } from '../../src/raft/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';
import { configuration, entriesOfTerms, type Image } from './cluster.ts';
import { HEARTBEAT_TICKS, Solo } from './solo.ts';

function imageOf(terms: readonly number[], voters = ['a', 'b', 'c'], at = 0): Image {
  const mark: SnapshotMark = {
    index: logIndex(terms.length),
    term: term(terms[terms.length - 1] ?? 0),
    configuration: { index: logIndex(at), configuration: configuration(voters) },
  };
  return { mark, entries: entriesOfTerms(terms) };
}
const install = (solo: Solo, image: Image, value: number): void => solo.member.install(memberId('b'), value, image);
const refusal = (solo: Solo): string | undefined => solo.effects('snapshotRefused')[0]?.reason;
/** Follows b in term 3 with a log of these terms, of which so many are committed. */
const follower = (log: readonly number[], commit: number, learners: readonly string[] = []): Solo => {
  const solo = new Solo({ log, term: 3, learners, applied: commit });
  solo.receive('b', 3, { kind: 'heartbeatRequest', leaderCommit: commit, readSequence: 0 });
  solo.take();
  return solo;
};

describe('R4: a follower takes over an image', () => {
  it('the whole log goes, the answer waits for the disk, and nothing is applied before the image is', () => {
    const solo = follower([1, 1], 1);
    install(solo, imageOf([1, 2, 2, 3]), 3);
    expect(solo.effects('restore')).toMatchObject([{ keepEntries: false, mark: { index: 4 } }]);
    expect(solo.sent('appendResponse')).toEqual([]);
    const { lastIndex, lastTerm, commitIndex, appliedIndex, durableIndex } = solo.member.raft.status();
    expect([lastIndex, lastTerm, commitIndex, appliedIndex, durableIndex]).toEqual([4, 3, 4, 1, 1]);
    solo.append('b', 3, [4, 3], [3], 5);
    expect(solo.marks).toContain('append_while_restoring');
    expect(solo.effects('commit')).toEqual([]);
    solo.persistAll();
    expect(solo.sent('appendResponse')).toMatchObject([{ outcome: { kind: 'accepted', matchIndex: 4 } }]);
    expect(solo.member.raft.status()).toMatchObject({ appliedIndex: 4, durableIndex: 4, firstIndex: 5 });
    solo.append('b', 3, [4, 3], [3], 5);
    solo.persistAll();
    expect(solo.member.applied).toHaveLength(5);
  });

  it('I16: what is committed behind the image is released only when the image is applied', () => {
    const solo = follower([1, 1, 2, 3, 3], 1);
    const image = imageOf([1, 1, 2]);
    // The core alone: the driver has not answered yet.
    const effects = solo.member.raft.step({
      kind: 'installSnapshot',
      from: memberId('b'),
      term: term(3),
      mark: image.mark,
    });
    expect(effects).toMatchObject([{ kind: 'restore', keepEntries: true, sequence: 1 }]);
    const heartbeat = { kind: 'heartbeatRequest', from: memberId('b'), to: memberId('a'), term: term(3) } as const;
    const commit = { ...heartbeat, leaderCommit: logIndex(5), readSequence: 0, sentMs: 0 };
    const kinds = (given: readonly { kind: string }[]): string[] => given.map(({ kind }) => kind);
    expect(kinds(solo.member.raft.step({ kind: 'receive', message: commit }))).not.toContain('commit');
    expect(kinds(solo.member.raft.step({ kind: 'persisted', sequence: 1 }))).not.toContain('commit');
    expect(solo.member.raft.step({ kind: 'applied', index: logIndex(3) })).toMatchObject([
      { kind: 'commit', index: 5 },
    ]);
  });

  it('a log that holds the mark’s entry keeps what comes after it (Raft paper, figure 13, step 6)', () => {
    const solo = follower([1, 1, 2, 3, 3], 1);
    install(solo, imageOf([1, 1, 2]), 3);
    expect(solo.effects('restore')).toMatchObject([{ keepEntries: true }]);
    solo.persistAll();
    expect(solo.terms).toEqual([1, 1, 2, 3, 3]);
    expect(solo.member.raft.status()).toMatchObject({ firstIndex: 4, lastIndex: 5, durableIndex: 5, appliedIndex: 3 });
  });

  it('a log that differs at the mark goes as a whole', () => {
    const solo = follower([1, 1, 1, 1, 1], 2);
    install(solo, imageOf([1, 1, 2]), 3);
    expect(solo.effects('restore')).toMatchObject([{ keepEntries: false }]);
    solo.persistAll();
    expect(solo.terms).toEqual([1, 1, 2]);
  });

  it('one that is not newer than what is committed is refused (known bug S1)', () => {
    const solo = follower([1, 1, 2], 3);
    install(solo, imageOf([1, 1, 2]), 3);
    expect(refusal(solo)).toBe('stale');
    expect(solo.member.raft.commitIndex).toBe(3);
  });

  it('one of a leader of an older term is refused; one of a newer term is followed', () => {
    const solo = follower([1], 1);
    install(solo, imageOf([1, 2, 2]), 2);
    expect(refusal(solo)).toBe('not_leader');
    install(solo, imageOf([1, 2, 2]), 4);
    expect(solo.member.raft.status()).toMatchObject({ term: 4, leader: 'b', commitIndex: 3 });
    expect(solo.effects('persist')).toMatchObject([{ sequence: 1, hardState: { term: 4 } }]);
    expect(solo.effects('restore')).toMatchObject([{ sequence: 2 }]);
  });

  it('a second one waits until the first is the state', () => {
    const solo = follower([1], 1);
    install(solo, imageOf([1, 2, 2]), 3);
    solo.take();
    install(solo, imageOf([1, 2, 2, 3]), 3);
    expect(refusal(solo)).toBe('busy');
  });

  it('the configuration of the image is in force at once', () => {
    const solo = follower([1], 1);
    install(solo, imageOf([1, 2, 2], ['b', 'c', 'd'], 2), 3);
    expect(solo.effects('configurationChanged')).toMatchObject([{ committed: true, placed: { index: 2 } }]);
    solo.persistAll();
    // No voter any more.
    solo.take();
    solo.tick(100);
    expect(solo.effects('send')).toEqual([]);
  });

  it('nobody campaigns without the state', () => {
    const solo = follower([1], 1);
    install(solo, imageOf([1, 2, 2]), 3);
    solo.take();
    solo.tick(100);
    solo.receive('b', 3, { kind: 'timeoutNow' });
    expect([solo.member.raft.role, solo.sent('preVoteRequest')]).toEqual(['follower', []]);
  });

  it('a crash between the image and its state starts from the image', () => {
    const solo = follower([1], 1);
    install(solo, imageOf([1, 2, 2]), 3);
    solo.member.writeSilently(1);
    solo.member.crash();
    solo.member.start();
    expect(solo.member.raft.status()).toMatchObject({ firstIndex: 4, lastIndex: 3, lastTerm: 2, appliedIndex: 3 });
  });
});

describe('R4: a leader cuts its log and sends images', () => {
  const leader = (): Solo => {
    const solo = new Solo({ log: [1, 1, 1, 1, 1], applied: 5 });
    solo.lead();
    solo.ack('b', 6);
    solo.take();
    return solo;
  };
  const reject = (solo: Solo, prev: number, hint: number): void => {
    const outcome = { kind: 'rejected', prevLogIndex: prev, hintIndex: hint, hintTerm: hint === 0 ? 0 : 1 } as const;
    solo.receive('c', 2, { kind: 'appendResponse', outcome });
  };
  const progress = (solo: Solo) => solo.member.raft.status().peers.find(({ id }) => id === 'c');

  it('a follower that needs what is gone gets an image, heartbeats and no appends meanwhile (known bug R16)', () => {
    const solo = leader();
    solo.member.compact(4);
    reject(solo, 5, 1);
    reject(solo, 4, 1);
    expect(solo.effects('sendSnapshot')).toMatchObject([{ to: 'c' }]);
    expect(progress(solo)?.state).toBe('snapshot');
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    solo.receive('c', 2, { kind: 'heartbeatResponse', readSequence: 0 });
    solo.propose('x');
    expect(solo.sent('appendRequest').map(({ to }) => to)).toEqual(['b']);
    expect(solo.sent('heartbeatRequest').map(({ to }) => to)).toContain('c');
    expect(solo.effects('sendSnapshot')).toEqual([]);
  });

  it('an image that arrived is followed by the entries behind it', () => {
    const solo = leader();
    solo.member.compact(4);
    reject(solo, 5, 1);
    reject(solo, 4, 1);
    solo.ack('c', 6);
    solo.take();
    solo.propose('x');
    solo.step({ kind: 'snapshotEnded', to: memberId('c'), installed: true });
    expect(solo.sent('appendRequest').filter(({ to }) => to === 'c')).toMatchObject([{ prevLogIndex: 6 }]);
  });

  it('one that did not is tried again with the next heartbeat, not in a tight loop', () => {
    const solo = leader();
    solo.member.compact(4);
    reject(solo, 5, 1);
    reject(solo, 4, 1);
    solo.take();
    solo.step({ kind: 'snapshotEnded', to: memberId('c'), installed: false });
    expect(solo.effects('send')).toEqual([]);
    solo.tick(HEARTBEAT_TICKS);
    solo.receive('c', 2, { kind: 'heartbeatResponse', readSequence: 0 });
    reject(solo, 4, 1);
    expect(solo.effects('sendSnapshot')).toMatchObject([{ to: 'c' }]);
  });

  it('appends that were lost and are compacted since do not stall the follower', () => {
    const solo = leader();
    solo.ack('c', 1);
    const [read] = solo.effects('readLog');
    expect(read).toMatchObject({ to: 'c', from: 2 });
    const entries = solo.member.readDisk(logIndex(2), 4, 1000);
    solo.step({ kind: 'logRead', to: memberId('c'), entries });
    expect(progress(solo)?.inflightMessages).toBe(2);
    solo.propose('x');
    solo.persistAll();
    solo.ack('b', 7);
    solo.member.compact(7);
    for (let turn = 0; turn < 3 && solo.effects('sendSnapshot').length === 0; turn++) {
      solo.tick(HEARTBEAT_TICKS);
      solo.receive('c', 2, { kind: 'heartbeatResponse', readSequence: 0 });
      reject(solo, 7, 1);
    }
    expect(solo.effects('sendSnapshot')).toMatchObject([{ to: 'c' }]);
  });

  it('only what is applied and durable is compacted; a late answer changes nothing', () => {
    const solo = leader();
    solo.member.compact(4);
    expect(solo.step({ kind: 'compacted', index: logIndex(3) })).toBeUndefined();
    expect(solo.member.raft.status().firstIndex).toBe(5);
    expect(() => solo.step({ kind: 'compacted', index: logIndex(7) })).toThrow('only what is applied');
  });

  it('R10: an append from before the base is checked against what is committed, never taken blindly', () => {
    const solo = new Solo({ log: [1, 1, 1, 1], applied: 4, base: 3 });
    solo.append('b', 1, [1, 1], [1, 1, 1, 1], 5);
    solo.persistAll();
    expect(solo.terms).toEqual([1, 1, 1, 1, 1]);
    expect(() => solo.append('b', 2, [1, 1], [1, 2, 2])).toThrow('I11');
  });
});
