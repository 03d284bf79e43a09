/** W4: a member that lost a part of its log neither votes nor campaigns until it has everything back (known bug D5). */
import { describe, expect, it } from 'vitest';
import { memberId } from '../../src/types/ids.ts';
import { encodeConfiguration } from './cluster.ts';
import { type Body, ELECTION_TICKS, HEARTBEAT_TICKS, Solo, type SoloOptions } from './solo.ts';

const DRAW = 4;
const NONCE = 1 + DRAW;
/** Term 2, of what was once a longer log three entries are left, of which two are applied. */
const recovering = (options: SoloOptions = {}): Solo =>
  new Solo({ log: [1, 1, 1], term: 2, applied: 2, recovering: true, draw: DRAW, ...options });
const heartbeat = (commit = 0): Body => ({ kind: 'heartbeatRequest', leaderCommit: commit, readSequence: 0 });
const named = (lastIndex: number | null, nonce = NONCE, others = false): Body => ({
  kind: 'recoverResponse',
  nonce,
  lastIndex,
  recovering: others,
});
const isRecovering = (solo: Solo): boolean => solo.member.raft.status().recovering;

describe('W4: a member that lost a part of its log', () => {
  it('grants no vote and no pre-vote, also not to whom it voted for, and does not campaign', () => {
    const solo = recovering({ votedFor: 'b' });
    solo.tick(5 * ELECTION_TICKS);
    expect(solo.sent('preVoteRequest')).toEqual([]);
    solo.receive('c', 3, { kind: 'preVoteRequest', lastLogIndex: 9, lastLogTerm: 2 });
    solo.receive('b', 2, { kind: 'voteRequest', lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: false });
    solo.receive('c', 3, { kind: 'voteRequest', lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: true });
    solo.persistAll();
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: false }]);
    expect(solo.sent('voteResponse').map(({ granted }) => granted)).toEqual([false, false]);
    solo.receive('c', 3, heartbeat());
    solo.receive('c', 3, { kind: 'timeoutNow' });
    expect(solo.member.raft.role).toBe('follower');
  });

  it('gives a blank vote, durable before it leaves, to one in a term, whatever its own log still holds', () => {
    const solo = recovering();
    const request = (lastLogIndex: number): Body => ({
      kind: 'voteRequest',
      lastLogIndex,
      lastLogTerm: 1,
      leadershipTransfer: false,
    });
    solo.receive('b', 3, { kind: 'preVoteRequest', lastLogIndex: 3, lastLogTerm: 1 });
    expect(solo.sent('preVoteResponse')).toMatchObject([{ term: 2, granted: false, blank: true }]);
    solo.receive('c', 3, request(2));
    expect(solo.sent('voteResponse')).toEqual([]);
    solo.take();
    solo.persistAll();
    expect(solo.member.disk.hardState).toEqual({ term: 3, votedFor: 'c' });
    expect(solo.sent('voteResponse')).toMatchObject([{ to: 'c', granted: false, blank: true }]);
    solo.take();
    solo.receive('b', 3, request(9));
    expect(solo.sent('voteResponse')).toMatchObject([{ to: 'b', granted: false }]);
    expect(solo.sent('voteResponse')[0]?.blank).toBeUndefined();
  });

  it('of two members brings the other one to power, and recovers from it', () => {
    const solo = recovering({ voters: ['a', 'b'] });
    solo.tick(20 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    const candidate = new Solo({ self: 'b', voters: ['a', 'b'], log: [1, 1, 1, 1], applied: 2 });
    candidate.tick(2 * ELECTION_TICKS);
    candidate.receive('a', 1, { kind: 'preVoteResponse', granted: false, blank: true });
    candidate.persistAll();
    candidate.receive('a', 2, { kind: 'voteResponse', granted: false, blank: true });
    expect(candidate.member.raft.role).toBe('leader');
  });

  it('does not bring one of three to power: the third may hold what both forgot', () => {
    const solo = new Solo({ log: [1, 1, 1], applied: 2 });
    solo.campaign('b');
    solo.receive('b', 2, { kind: 'voteResponse', granted: false, blank: true });
    expect(solo.member.raft.role).toBe('candidate');
    solo.receive('c', 2, { kind: 'voteResponse', granted: false, blank: true });
    expect(solo.member.raft.role).toBe('follower');
  });

  it('that a change half done cannot go on without helps to elect who ends it', () => {
    const solo = new Solo({ log: [1, 1], applied: 2 });
    const [a, b, c] = [memberId('a'), memberId('b'), memberId('c')];
    const payload = encodeConfiguration({ voters: [a, c], votersOutgoing: [a, b, c], learners: [] });
    const entries = [{ index: 3, term: 1, kind: 'configuration', payload }];
    solo.receive('b', 1, { kind: 'appendRequest', prevLogIndex: 2, prevLogTerm: 1, entries, leaderCommit: 2 });
    solo.persistAll();
    solo.campaign('b');
    expect(solo.member.raft.role).toBe('preCandidate');
    // c, which lost its log, has never heard of the change.
    solo.receive('c', 1, { kind: 'preVoteResponse', granted: false, blank: true });
    solo.persistAll();
    solo.receive('c', 2, { kind: 'voteResponse', granted: false, blank: true });
    expect(solo.member.raft.role).toBe('candidate');
    solo.receive('b', 2, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe('leader');
    solo.persistAll();
    solo.receive('c', 2, { kind: 'recoverRequest', nonce: 7 });
    expect(solo.sent('recoverResponse')).toMatchObject([{ to: 'c', lastIndex: 4 }]);
    solo.ack('b', 4);
    solo.ack('c', 4);
    solo.persistAll();
    solo.ack('c', 5);
    expect(solo.member.raft.configuration.configuration).toMatchObject({ voters: [a, c], votersOutgoing: [] });
    expect(solo.member.raft.commitIndex).toBe(5);
  });

  it('asks everybody while no leader is known, then the leader, each heartbeat interval, until it has an answer', () => {
    const solo = recovering();
    solo.tick();
    expect(solo.sent('recoverRequest').map(({ to, nonce }) => [to, nonce])).toEqual([
      ['b', NONCE],
      ['c', NONCE],
    ]);
    solo.receive('b', 2, heartbeat());
    solo.take();
    solo.tick(2 * HEARTBEAT_TICKS);
    expect(solo.sent('recoverRequest').map(({ to }) => to)).toEqual(['b', 'b']);
    solo.receive('b', 2, named(5));
    solo.take();
    solo.tick(2 * HEARTBEAT_TICKS);
    expect(solo.sent('recoverRequest')).toEqual([]);
  });

  it('is done when everything up to the index that the leader named is verified and durable', () => {
    const solo = recovering();
    solo.receive('b', 2, named(5));
    solo.append('b', 2, [3, 1], [2], 2);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(true);
    solo.append('b', 2, [4, 2], [2], 2);
    expect(isRecovering(solo)).toBe(true);
    solo.persistAll();
    expect(solo.effects('recovered')).toMatchObject([{ index: 5 }]);
    expect(solo.member.disk.recovering).toBe(false);
    solo.tick(3 * ELECTION_TICKS);
    expect(solo.sent('preVoteRequest')).not.toEqual([]);
  });

  it('needs no answer of a leader that was elected in this life: with the first entry of its own it has all', () => {
    const solo = recovering();
    solo.receive('b', 3, heartbeat());
    // Of older terms: there may be more.
    solo.append('b', 3, [3, 1], [2], 2);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(true);
    solo.append('b', 3, [4, 2], [3], 2);
    expect(isRecovering(solo)).toBe(true);
    solo.persistAll();
    expect(solo.effects('recovered')).toMatchObject([{ index: 5 }]);
    // Nobody else is a voter any more, and nobody leads: it campaigns.
    solo.tick(3 * ELECTION_TICKS);
    expect(solo.sent('preVoteRequest')).not.toEqual([]);
  });

  it('needs one of a leader that was there before: it may have had more of this member than it sends again', () => {
    const solo = recovering();
    solo.append('b', 2, [3, 1], [2, 2], 2);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(true);
    // Nor is the term of an earlier leader enough once there is a later one.
    solo.receive('c', 3, heartbeat());
    expect(isRecovering(solo)).toBe(true);
    solo.append('c', 3, [5, 2], []);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(true);
  });

  it('a term that this life has only voted in is later than all it can have forgotten', () => {
    const solo = recovering();
    solo.receive('b', 3, { kind: 'voteRequest', lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: false });
    solo.persistAll();
    solo.append('b', 3, [3, 1], [3]);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(false);
    // The next life begins in it, and may have forgotten what this one acknowledged in it.
    const next = recovering({ term: 3 });
    next.append('b', 3, [3, 1], [3]);
    next.persistAll();
    expect(isRecovering(next)).toBe(true);
  });

  it('is done also when an image brings it there', () => {
    const solo = recovering();
    solo.receive('b', 2, named(4));
    const leader = new Solo({ self: 'b', log: [1, 1, 1, 2], applied: 4 });
    solo.member.install(leader.member.id, 2, leader.member.image());
    expect(isRecovering(solo)).toBe(true);
    solo.persistAll();
    expect(solo.effects('recovered')).toMatchObject([{ index: 4 }]);
  });

  it('a log that only looks long enough is not verified: another leader may have written it', () => {
    const solo = recovering();
    solo.receive('b', 2, named(3));
    expect(isRecovering(solo)).toBe(true);
    solo.append('b', 2, [2, 1], []);
    expect(isRecovering(solo)).toBe(true);
    solo.append('b', 2, [3, 1], []);
    expect(isRecovering(solo)).toBe(false);
  });

  it('a commit index in a heartbeat counts only as far as the log is verified', () => {
    const solo = recovering();
    // The leader still counts what was acknowledged before the loss.
    solo.receive('b', 2, heartbeat(9));
    expect(solo.member.raft.commitIndex).toBe(2);
    solo.append('b', 2, [3, 1], [2]);
    solo.persistAll();
    solo.receive('b', 2, heartbeat(9));
    expect(solo.member.raft.commitIndex).toBe(4);
  });

  it('an answer to an earlier life of the member names nothing', () => {
    const solo = recovering();
    solo.receive('b', 2, named(3, NONCE + 1));
    solo.append('b', 2, [3, 1], []);
    expect(isRecovering(solo)).toBe(true);
    expect(solo.marks).toContain('recover_response_stale');
  });

  it('a leader that changes meanwhile is asked again, and what the old one verified does not count', () => {
    const solo = recovering();
    solo.receive('b', 2, named(5));
    solo.append('b', 2, [3, 1], [2]);
    solo.persistAll();
    solo.receive('c', 3, heartbeat());
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    expect(solo.sent('recoverRequest').map(({ to, term }) => [to, term])).toEqual([['c', 3]]);
    // b's answer of term 2 comes late.
    solo.receive('b', 2, named(4));
    solo.receive('c', 3, named(4));
    expect(isRecovering(solo)).toBe(true);
    solo.append('c', 3, [3, 1], [3]);
    solo.persistAll();
    expect(isRecovering(solo)).toBe(false);
  });

  it('says that it recovers, and stops when a majority does and no leader is left', () => {
    const solo = recovering();
    solo.receive('b', 2, { kind: 'recoverRequest', nonce: 99 });
    expect(solo.sent('recoverResponse')).toMatchObject([{ to: 'b', nonce: 99, lastIndex: null, recovering: true }]);
    solo.receive('b', 2, named(null, NONCE, true));
    // A leader that heard both of them before may still lead, and help them.
    solo.tick(9 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    solo.receive('c', 2, heartbeat());
    solo.tick(11 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    solo.receive('b', 2, { kind: 'voteRequest', lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: false });
    solo.receive('b', 3, named(null, NONCE, true));
    solo.tick();
    // b began to wait later, and must find out as well: while a answers, it can.
    solo.tick(10 * ELECTION_TICKS - 1);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    solo.take();
    solo.receive('b', 3, { kind: 'recoverRequest', nonce: 99 });
    expect(solo.sent('recoverResponse')).toMatchObject([{ to: 'b', recovering: true }]);
    solo.tick();
    expect(solo.effects('recoveryImpossible')).toMatchObject([{ members: ['a', 'b'] }]);
    solo.take();
    solo.tick(5);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
  });

  it.each([
    ['a leader is heard', (solo: Solo) => solo.receive('c', 2, heartbeat())],
    ['the other one is whole again', (solo: Solo) => solo.receive('b', 2, named(null, NONCE, false))],
  ])('does not stop when %s in time', (_, happens) => {
    const solo = recovering();
    solo.tick(10 * ELECTION_TICKS);
    solo.receive('b', 2, named(null, NONCE, true));
    solo.tick(5 * ELECTION_TICKS);
    happens(solo);
    solo.tick(9 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
  });

  it('one that is cut off does not take a majority for lost because of what it was told long ago', () => {
    const solo = recovering();
    solo.receive('b', 2, named(null, NONCE, true));
    // Since then b may have recovered from c, which leads.
    solo.tick(20 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    solo.receive('b', 2, named(null, NONCE, false));
    solo.tick();
    expect(solo.effects('recoveryImpossible')).toEqual([]);
    solo.receive('b', 2, named(null, NONCE, true));
    solo.tick(1 + 10 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toMatchObject([{ members: ['a', 'b'] }]);
  });

  it('a sole voter that lost a part of its log can ask nobody', () => {
    const solo = recovering({ voters: ['a'] });
    solo.tick(10 * ELECTION_TICKS);
    expect(solo.effects('recoveryImpossible')).toMatchObject([{ members: ['a'] }]);
    expect(solo.member.raft.role).toBe('follower');
  });
});

describe('W4: the leader of a member that lost a part of its log', () => {
  const leader = (): Solo => {
    const solo = new Solo({ log: [1, 1, 1], applied: 3 });
    solo.lead();
    solo.propose('x', 'y');
    solo.persistAll();
    solo.ack('b', 6);
    solo.take();
    return solo;
  };
  const match = (solo: Solo) => solo.member.raft.status().peers.find(({ id }) => id === 'b')?.matchIndex;
  const request = (solo: Solo, nonce: number): void => solo.receive('b', 2, { kind: 'recoverRequest', nonce });
  const reject = (solo: Solo, prev: number): void => {
    const outcome = { kind: 'rejected', prevLogIndex: prev, hintIndex: 3, hintTerm: 1 } as const;
    solo.receive('b', 2, { kind: 'appendResponse', outcome });
  };

  it('forgets what that member acknowledged in this term, names the end of its log, and finds out where it stands', () => {
    const solo = leader();
    request(solo, 7);
    expect(match(solo)).toBe(0);
    expect(solo.sent('recoverResponse')).toMatchObject([{ nonce: 7, lastIndex: 6, recovering: false }]);
    expect(solo.sent('appendRequest')).toMatchObject([{ to: 'b', prevLogIndex: 6 }]);
    solo.take();
    reject(solo, 6);
    expect(solo.sent('appendRequest')).toMatchObject([{ to: 'b', prevLogIndex: 3 }]);
  });

  it('forgotten acknowledgements commit nothing more', () => {
    const solo = leader();
    solo.propose('z');
    solo.persistAll();
    request(solo, 7);
    solo.ack('c', 6);
    expect(solo.member.raft.commitIndex).toBe(6);
    expect(solo.member.raft.status().peers.map(({ matchIndex }) => matchIndex)).toEqual([0, 6]);
  });

  it('does so once for each life of the member', () => {
    const solo = leader();
    request(solo, 7);
    solo.ack('b', 5);
    request(solo, 7);
    expect(match(solo)).toBe(5);
    request(solo, 8);
    expect(match(solo)).toBe(0);
  });

  it('an acknowledgement of the earlier life that comes late does not keep the member from being served', () => {
    const solo = leader();
    request(solo, 7);
    solo.ack('b', 6);
    expect(match(solo)).toBe(6);
    solo.take();
    reject(solo, 6);
    expect(match(solo)).toBe(0);
    expect(solo.sent('appendRequest')).toMatchObject([{ to: 'b', prevLogIndex: 3 }]);
  });

  it('of others a rejection of what they acknowledged is stale', () => {
    const solo = leader();
    reject(solo, 6);
    expect([match(solo), solo.marks.includes('stale_rejection')]).toEqual([6, true]);
  });

  it('a request of an older term is answered in the newer one', () => {
    const solo = leader();
    solo.receive('b', 1, { kind: 'recoverRequest', nonce: 7 });
    expect(solo.sent('recoverResponse')).toMatchObject([{ term: 2, lastIndex: 6 }]);
  });
});
