/** One test for each rule that keeps leadership stable, or moves it: Raft thesis, sections 3.10, 4.2.3, 6.2, 9.6. */
import { describe, expect, it } from 'vitest';
import { memberId } from '../../src/types/ids.ts';
import { type Body, ELECTION_TICKS, HEARTBEAT_TICKS, Solo } from './solo.ts';

const heartbeat = (commit = 0, readSequence = 0): Body => ({
  kind: 'heartbeatRequest',
  leaderCommit: commit,
  readSequence,
});
const voteRequest = (lastLogIndex: number, lastLogTerm: number, leadershipTransfer = false): Body => ({
  kind: 'voteRequest',
  lastLogIndex,
  lastLogTerm,
  leadershipTransfer,
});
const follower = (): Solo => {
  const solo = new Solo({ term: 1 });
  solo.receive('b', 1, heartbeat());
  solo.persistAll();
  solo.take();
  return solo;
};
const leader = (): Solo => {
  const solo = new Solo();
  solo.lead();
  return solo;
};
const candidate = (): Solo => {
  const solo = new Solo();
  solo.campaign();
  solo.take();
  return solo;
};
const preCandidate = (): Solo => {
  const solo = new Solo({ term: 1 });
  solo.tick(ELECTION_TICKS);
  solo.take();
  return solo;
};
describe('thesis 9.6 pre-vote', () => {
  it('a granted pre-vote changes neither term nor vote (known bug E9)', () => {
    const solo = new Solo({ term: 3, votedFor: 'c' });
    solo.receive('b', 9, { kind: 'preVoteRequest', lastLogIndex: 0, lastLogTerm: 0 });
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: true, term: 9 }]);
    expect(solo.effects('persist')).toEqual([]);
    expect(solo.member.raft.status()).toMatchObject({ term: 3, votedFor: 'c', role: 'follower' });
  });

  it('a pre-candidate keeps its term until it has a majority', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c', 'd', 'e'], term: 3 });
    solo.tick(ELECTION_TICKS * 3);
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['preCandidate', 3]);
    solo.receive('b', 4, { kind: 'preVoteResponse', granted: true });
    solo.receive('b', 4, { kind: 'preVoteResponse', granted: true });
    expect(solo.member.raft.role).toBe('preCandidate');
    solo.receive('c', 4, { kind: 'preVoteResponse', granted: true });
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['candidate', 4]);
  });

  it('refused by a majority, it waits as a follower', () => {
    const solo = preCandidate();
    solo.receive('b', 1, { kind: 'preVoteResponse', granted: false });
    solo.receive('c', 1, { kind: 'preVoteResponse', granted: false });
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['follower', 1]);
  });

  it('grants of pre-votes are no votes (known bug E10), nor are grants for another term', () => {
    const solo = candidate();
    solo.receive('b', 1, { kind: 'preVoteResponse', granted: true });
    solo.receive('c', 2, { kind: 'preVoteResponse', granted: true });
    expect(solo.member.raft.role).toBe('candidate');
    const asking = preCandidate();
    asking.receive('b', 3, { kind: 'preVoteResponse', granted: true });
    expect([asking.member.raft.role, asking.member.raft.term]).toEqual(['preCandidate', 1]);
  });
});

describe('thesis 4.2.3 a member that hears a leader', () => {
  it('refuses pre-votes and ignores vote requests for the base election timeout', () => {
    const solo = follower();
    solo.tick(ELECTION_TICKS - 1);
    solo.receive('c', 2, { kind: 'preVoteRequest', lastLogIndex: 9, lastLogTerm: 9 });
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: false, term: 1 }]);
    solo.receive('c', 2, voteRequest(9, 9));
    expect(solo.sent('voteResponse')).toEqual([]);
    expect(solo.member.raft.term).toBe(1);
    expect(solo.marks).toContain('vote_ignored_in_lease');
  });

  it('grants them once the leader has been silent that long, even before its own timeout', () => {
    const solo = new Solo({ term: 1, draw: 9 });
    solo.receive('b', 1, heartbeat());
    solo.tick(ELECTION_TICKS);
    solo.receive('c', 2, { kind: 'preVoteRequest', lastLogIndex: 9, lastLogTerm: 9 });
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: true, term: 2 }]);
  });

  it('gives its vote all the same when the leader asked for the election', () => {
    const solo = follower();
    solo.receive('c', 2, voteRequest(9, 9, true));
    solo.persistAll();
    expect(solo.sent('voteResponse')).toMatchObject([{ granted: true, to: 'c' }]);
  });

  it('a leader does the same for itself', () => {
    const solo = leader();
    solo.receive('c', 9, voteRequest(9, 9));
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['leader', 1]);
  });
});

describe('thesis 6.2 check quorum', () => {
  it('a leader that hears from no majority for an election timeout steps down, in its term', () => {
    const solo = leader();
    solo.tick(ELECTION_TICKS - 1);
    expect(solo.member.raft.role).toBe('leader');
    solo.tick();
    expect(solo.member.raft.status()).toMatchObject({ role: 'follower', term: 1, votedFor: 'a', leader: null });
  });

  it.each([
    { kind: 'heartbeatResponse', readSequence: 0 },
    { kind: 'appendResponse', outcome: { kind: 'rejected', prevLogIndex: 0, hintIndex: 0, hintTerm: 0 } },
  ] as Body[])('any answer of its term keeps it: $kind', (body) => {
    const solo = leader();
    for (let turn = 0; turn < 5; turn++) {
      solo.tick(ELECTION_TICKS - 1);
      solo.receive('c', 1, body);
    }
    expect(solo.member.raft.role).toBe('leader');
  });

  it('learners do not keep it', () => {
    const solo = new Solo({ learners: ['l'] });
    solo.lead();
    for (let turn = 0; turn < ELECTION_TICKS; turn++) {
      solo.tick();
      if (solo.member.raft.role === 'leader') solo.receive('l', 1, { kind: 'heartbeatResponse', readSequence: 0 });
    }
    expect(solo.member.raft.role).toBe('follower');
  });
});

describe('thesis 3.10 leadership transfer', () => {
  const transfer = (solo: Solo, to: string): void => solo.step({ kind: 'transferLeadership', to: memberId(to) });

  it('TimeoutNow goes out only when the target holds the whole log (known bug C12)', () => {
    const solo = leader();
    solo.ack('b', 1);
    solo.propose('x');
    solo.take();
    transfer(solo, 'b');
    expect(solo.sent('timeoutNow')).toEqual([]);
    solo.ack('c', 2);
    expect(solo.sent('timeoutNow')).toEqual([]);
    solo.ack('b', 2);
    expect(solo.sent('timeoutNow')).toMatchObject([{ to: 'b', term: 1 }]);
  });

  it('proposals are refused meanwhile, reads are not', () => {
    const solo = leader();
    solo.ack('b', 1);
    transfer(solo, 'c');
    solo.propose('x');
    expect(solo.effects('proposalRefused')).toMatchObject([{ reason: 'transferring', leader: 'a' }]);
    solo.member.read(9);
    solo.receive('b', 1, { kind: 'heartbeatResponse', readSequence: 1 });
    expect(solo.effects('readReady')).toMatchObject([{ requestId: 9, index: 1 }]);
  });

  it('a lost TimeoutNow is sent again with the heartbeats', () => {
    const solo = leader();
    solo.ack('b', 1);
    transfer(solo, 'b');
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    expect(solo.sent('timeoutNow')).toHaveLength(1);
  });

  it('gives up after an election timeout', () => {
    const solo = leader();
    transfer(solo, 'b');
    for (let turn = 0; turn < ELECTION_TICKS; turn++) {
      solo.tick();
      solo.receive('c', 1, { kind: 'heartbeatResponse', readSequence: 0 });
    }
    expect(solo.effects('transferEnded')).toEqual([{ kind: 'transferEnded', to: 'b', outcome: 'timed_out' }]);
    solo.propose('x');
    expect(solo.effects('proposalAppended')).toHaveLength(1);
  });

  it.each([
    ['b', 'done'],
    ['c', 'refused'],
  ])('the outcome is known when the next leader is: %s, %s', (next, outcome) => {
    const solo = leader();
    solo.ack('b', 1);
    transfer(solo, 'b');
    solo.receive('b', 2, voteRequest(1, 1, true));
    expect(solo.effects('transferEnded')).toEqual([]);
    solo.receive(next, 3, heartbeat());
    expect(solo.effects('transferEnded')).toEqual([{ kind: 'transferEnded', to: 'b', outcome }]);
  });

  it('the target campaigns at once, without a pre-vote, for its leader only', () => {
    const solo = follower();
    solo.receive('c', 1, { kind: 'timeoutNow' });
    expect(solo.member.raft.role).toBe('follower');
    solo.receive('b', 1, { kind: 'timeoutNow' });
    solo.persistAll();
    expect(solo.sent('voteRequest')).toMatchObject([
      { leadershipTransfer: true, term: 2 },
      { leadershipTransfer: true },
    ]);
  });
});
