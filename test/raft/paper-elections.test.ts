/** One test for each rule of elections: Raft paper, sections 5.1, 5.2, 5.4.1. */
import { describe, expect, it } from 'vitest';
import { seededRandom } from './cluster.ts';
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
const ROLES = { follower, preCandidate, candidate, leader };

describe('5.1 terms', () => {
  const rejected = { kind: 'rejected', prevLogIndex: 0, hintIndex: 0, hintTerm: 0 };
  const bodies: readonly Body[] = [
    { kind: 'appendRequest', prevLogIndex: 0, prevLogTerm: 0, entries: [], leaderCommit: 0 },
    heartbeat(),
    // A leader that ignores a higher term in answers never finds out (known bug E12).
    { kind: 'appendResponse', outcome: rejected },
    { kind: 'appendResponse', outcome: { kind: 'accepted', matchIndex: 1 } },
    { kind: 'heartbeatResponse', readSequence: 0 },
    { kind: 'voteResponse', granted: false },
    { kind: 'preVoteResponse', granted: false },
    { kind: 'readIndexRequest', requestId: 1 },
    { kind: 'readIndexResponse', requestId: 1, readIndex: null },
    voteRequest(9, 9, true),
  ];
  for (const [role, make] of Object.entries(ROLES)) {
    it.each(bodies)(`a ${role} enters a higher term as a follower: $kind`, (body) => {
      const solo = make();
      expect(solo.member.raft.role).toBe(role);
      solo.receive('b', 7, body);
      expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['follower', 7]);
      const persist = solo.effects('persist')[0];
      expect(persist?.hardState?.term).toBe(7);
    });
  }

  it('a higher term takes the vote back, once, and durably', () => {
    const solo = new Solo({ term: 3, votedFor: 'c' });
    solo.receive('b', 4, heartbeat());
    expect(solo.effects('persist').map(({ hardState }) => hardState)).toEqual([{ term: 4, votedFor: null }]);
  });

  it.each([
    [{ kind: 'appendRequest', prevLogIndex: 0, prevLogTerm: 0, entries: [], leaderCommit: 0 }, 'appendResponse'],
    [heartbeat(), 'heartbeatResponse'],
    [voteRequest(9, 1), 'voteResponse'],
    [{ kind: 'preVoteRequest', lastLogIndex: 9, lastLogTerm: 1 }, 'preVoteResponse'],
  ] as const)(
    'a request of an older term is answered with the newer one, and changes nothing: $0.kind',
    (body, kind) => {
      const solo = new Solo({ term: 5 });
      solo.receive('b', 3, body);
      expect(solo.sent(kind)).toMatchObject([{ term: 5, to: 'b' }]);
      expect(solo.effects('persist')).toEqual([]);
      expect([solo.member.raft.term, solo.member.raft.leader]).toEqual([5, null]);
    },
  );

  it('answers of older terms are dropped: a vote (known bug E7) and an acknowledgement (known bug R13)', () => {
    const solo = new Solo({ term: 4 });
    solo.campaign();
    solo.receive('b', 4, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe('candidate');
    const leading = new Solo({ log: [1, 1], term: 4 });
    leading.lead();
    leading.receive('b', 4, { kind: 'appendResponse', outcome: { kind: 'accepted', matchIndex: 3 } });
    expect(leading.member.raft.commitIndex).toBe(0);
    expect(leading.member.raft.status().peers[0]?.matchIndex).toBe(0);
  });
});

describe('5.2 elections', () => {
  it('a member starts as a follower and knows no leader', () => {
    expect(new Solo().member.raft.status()).toMatchObject({ role: 'follower', leader: null, term: 0, votedFor: null });
  });

  it('heartbeats of the leader keep a follower from campaigning', () => {
    const solo = follower();
    for (let turn = 0; turn < 20; turn++) {
      solo.tick(ELECTION_TICKS - 1);
      solo.receive('b', 1, heartbeat());
    }
    expect(solo.member.raft.role).toBe('follower');
    solo.tick(ELECTION_TICKS);
    expect(solo.member.raft.role).toBe('preCandidate');
  });

  it.each([0, 4, 9])('the election timeout is drawn from [n, 2n): n + %i', (draw) => {
    const solo = new Solo({ draw });
    solo.tick(ELECTION_TICKS + draw - 1);
    expect(solo.member.raft.role).toBe('follower');
    solo.tick();
    expect(solo.member.raft.role).toBe('preCandidate');
  });

  it('timeouts of a seeded source spread over the whole range', () => {
    const random = seededRandom(42);
    const seen = new Set(Array.from({ length: 500 }, () => random.below(ELECTION_TICKS)));
    expect(seen.size).toBe(ELECTION_TICKS);
  });

  it('a candidate enters the next term, votes for itself, and asks the others once that is durable', () => {
    const solo = new Solo({ log: [1, 2], term: 2 });
    solo.tick(ELECTION_TICKS);
    solo.receive('b', 3, { kind: 'preVoteResponse', granted: true });
    expect(solo.effects('persist')[0]?.hardState).toEqual({ term: 3, votedFor: 'a' });
    expect(solo.sent('voteRequest')).toEqual([]);
    solo.persistAll();
    expect(solo.sent('voteRequest')).toMatchObject([
      { to: 'b', term: 3, lastLogIndex: 2, lastLogTerm: 2, leadershipTransfer: false },
      { to: 'c', term: 3, lastLogIndex: 2, lastLogTerm: 2, leadershipTransfer: false },
    ]);
  });

  it('the own vote counts only once it is durable (known bug E4)', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c'] });
    solo.tick(ELECTION_TICKS);
    solo.receive('b', 1, { kind: 'preVoteResponse', granted: true });
    solo.receive('b', 1, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe('candidate');
    solo.persistAll();
    expect(solo.member.raft.role).toBe('leader');
  });

  it.each([
    [['a'], [], 'leader'],
    [['a', 'b'], [], 'candidate'],
    [['a', 'b'], ['b'], 'leader'],
    [['a', 'b', 'c', 'd'], ['b'], 'candidate'],
    [['a', 'b', 'c', 'd'], ['b', 'c'], 'leader'],
    [['a', 'b', 'c', 'd', 'e'], ['b'], 'candidate'],
    [['a', 'b', 'c', 'd', 'e'], ['b', 'b', 'b', 'b'], 'candidate'],
    [['a', 'b', 'c', 'd', 'e'], ['x', 'y', 'z'], 'candidate'],
    [['a', 'b', 'c', 'd', 'e'], ['b', 'd'], 'leader'],
  ])('of %j, with the votes of %j: %s', (voters, votes, role) => {
    const solo = new Solo({ voters });
    solo.tick(ELECTION_TICKS);
    for (const id of voters.slice(1)) solo.receive(id, 1, { kind: 'preVoteResponse', granted: true });
    solo.persistAll();
    for (const id of votes) solo.receive(id, 1, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe(role);
  });

  it('one vote in each term, first come, first served; asked again, the same answer', () => {
    const solo = new Solo({ term: 1 });
    solo.receive('b', 2, voteRequest(0, 0));
    solo.receive('c', 2, voteRequest(5, 1));
    solo.receive('b', 2, voteRequest(0, 0));
    solo.persistAll();
    expect(solo.sent('voteResponse').map(({ to, granted }) => [to, granted])).toEqual([
      ['c', false],
      ['b', true],
      ['b', true],
    ]);
    expect(solo.member.disk.hardState).toEqual({ term: 2, votedFor: 'b' });
  });

  it('a granted vote leaves only once it is durable (known bug E1), and never when the term has moved on (I3)', () => {
    const solo = new Solo({ term: 1 });
    solo.receive('b', 2, voteRequest(0, 0));
    expect(solo.sent('voteResponse')).toEqual([]);
    solo.receive('c', 3, heartbeat());
    solo.persistAll();
    expect(solo.sent('voteResponse')).toEqual([]);
  });

  it('a member does not vote in a term whose leader it knows', () => {
    const solo = follower();
    solo.tick(ELECTION_TICKS - 1);
    solo.receive('c', 1, voteRequest(9, 1));
    expect(solo.sent('voteResponse')).toMatchObject([{ granted: false }]);
  });

  it('a candidate that hears the leader of its term follows it', () => {
    const solo = candidate();
    solo.receive('c', 1, heartbeat());
    expect([solo.member.raft.role, solo.member.raft.leader]).toEqual(['follower', 'c']);
  });

  it('two leaders in one term are a bug that stops the member (I8)', () => {
    expect(() => leader().receive('b', 1, heartbeat())).toThrow('I8');
    expect(() => follower().receive('c', 1, heartbeat())).toThrow('I8');
  });

  it('a candidate without a majority tries again later, in a new term only after a new pre-vote', () => {
    const solo = candidate();
    solo.tick(ELECTION_TICKS);
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['preCandidate', 1]);
    expect(solo.sent('preVoteRequest')).toMatchObject([{ term: 2 }, { term: 2 }]);
  });

  it('a leader sends heartbeats at its interval', () => {
    const solo = leader();
    solo.tick(HEARTBEAT_TICKS - 1);
    expect(solo.sent('heartbeatRequest')).toEqual([]);
    solo.tick();
    expect(solo.sent('heartbeatRequest').map(({ to }) => to)).toEqual(['b', 'c']);
  });

  it('a candidate that cannot win does not keep others from campaigning: only a granted vote resets the timer', () => {
    const solo = new Solo({ log: [1, 1, 1] });
    solo.tick(ELECTION_TICKS - 1);
    solo.receive('b', 2, voteRequest(1, 1));
    solo.tick();
    expect(solo.member.raft.role).toBe('preCandidate');
    const granting = new Solo({ log: [1] });
    granting.tick(ELECTION_TICKS - 1);
    granting.receive('b', 2, voteRequest(1, 1));
    granting.tick(ELECTION_TICKS - 1);
    expect(granting.member.raft.role).toBe('follower');
  });

  it('learners and strangers neither campaign nor obey TimeoutNow (known bug E14)', () => {
    for (const self of ['l', 'x']) {
      const solo = new Solo({ self, learners: ['l'], term: 1 });
      solo.tick(ELECTION_TICKS * 5);
      solo.receive('b', 1, heartbeat());
      solo.receive('b', 1, { kind: 'timeoutNow' });
      expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['follower', 1]);
    }
  });
});

describe('5.4.1 election restriction', () => {
  it.each([
    // own log, candidate's last index and term, granted
    [[1], 1, 1, true],
    [[1], 2, 1, true],
    [[1, 1], 1, 1, false],
    [[1, 1], 1, 2, true],
    [[1, 2], 9, 1, false],
    [[1, 2], 2, 2, true],
    [[], 0, 0, true],
  ] as const)('log of terms %j against %i/%i: %s', (log, lastIndex, lastTerm, granted) => {
    const solo = new Solo({ log, term: 4 });
    solo.receive('b', 5, voteRequest(lastIndex, lastTerm));
    solo.persistAll();
    expect(solo.sent('voteResponse')).toMatchObject([{ granted, term: 5 }]);
    const pre = new Solo({ log, term: 4 });
    pre.receive('b', 5, { kind: 'preVoteRequest', lastLogIndex: lastIndex, lastLogTerm: lastTerm });
    expect(pre.sent('preVoteResponse')).toMatchObject([{ granted, term: granted ? 5 : 4 }]);
  });
});
