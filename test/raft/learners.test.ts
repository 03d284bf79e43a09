/** What a learner gets of the log (I18): seed 885000000264 of the simulator. */
import { describe, expect, it } from 'vitest';
import { logIndex, term } from '../../src/types/ids.ts';
import { ELECTION_TICKS, Solo } from './solo.ts';

/** Elected in `inTerm` by b and c; its no-op is durable here. */
function elect(solo: Solo, inTerm: number): void {
  solo.tick(ELECTION_TICKS * 2);
  for (const id of 'bc') solo.receive(id, inTerm, { kind: 'preVoteResponse', granted: true });
  solo.persistAll();
  for (const id of 'bc') solo.receive(id, inTerm, { kind: 'voteResponse', granted: true });
  solo.persistAll();
  expect(solo.member.raft.role).toBe('leader');
}

/** A leader of a, b, c and the learner x, whose no-op is committed. */
function leader(): Solo {
  const solo = new Solo({ voters: [...'abc'], learners: ['x'] });
  elect(solo, 1);
  for (const id of 'bc') solo.ack(id, 1);
  solo.take();
  return solo;
}

describe('R2: what a learner gets of the log', () => {
  const sentTo = (solo: Solo, to: string) =>
    solo
      .sent('appendRequest')
      .filter((message) => message.to === to)
      .map(({ entries, leaderCommit }) => [...entries.map(({ index }) => Number(index)), `commit ${leaderCommit}`]);

  it('is what is committed, as soon as it is; a tail that may be overwritten it never holds', () => {
    const solo = leader();
    solo.take();
    solo.ack('x', 1);
    solo.take();
    solo.propose('x');
    solo.persistAll();
    expect(sentTo(solo, 'b')).toEqual([[2, 'commit 1']]);
    expect(sentTo(solo, 'x')).toEqual([]);
    solo.take();
    solo.ack('b', 2);
    expect(sentTo(solo, 'x')).toEqual([[2, 'commit 2']]);
    solo.take();
    solo.ack('x', 2);
    expect(solo.sent('appendRequest')).toEqual([]);
  });

  it('is no more than that either where the log is read back, after a restart', () => {
    const solo = leader();
    for (const note of ['x', 'y']) solo.propose(note);
    solo.persistAll();
    solo.member.crash();
    solo.member.start();
    elect(solo, 2);
    const { commitIndex, lastIndex } = solo.member.raft.status();
    expect([commitIndex, lastIndex]).toEqual([1, 4]);
    solo.take();
    // It has nothing: what it gets comes from the log.
    const rejected = {
      kind: 'rejected',
      prevLogIndex: logIndex(3),
      hintIndex: logIndex(0),
      hintTerm: term(0),
    } as const;
    solo.receive('x', 2, { kind: 'appendResponse', outcome: rejected });
    solo.receive('x', 2, { kind: 'appendResponse', outcome: { kind: 'accepted', matchIndex: logIndex(0) } });
    expect(solo.effects('readLog')).toMatchObject([{ to: 'x', from: 1, entriesMax: 1 }]);
  });
});
