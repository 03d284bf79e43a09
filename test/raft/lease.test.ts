/** R3: reads by lease (thesis 6.4.1), and the votes that leases rest on. A4: leaders that are suspected. W5: full disks. */
import { describe, expect, it } from 'vitest';
import { memberId } from '../../src/types/ids.ts';
import { TICK_MS } from './cluster.ts';
import { type Body, ELECTION_TICKS, HEARTBEAT_TICKS, Solo, type SoloOptions } from './solo.ts';

const LEASE_TICKS = 8;
const LEASE_MS = 64;
const LEASE: SoloOptions = { leaseTicks: LEASE_TICKS, leaseMs: LEASE_MS };
const heartbeat: Body = { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 };
const preVote: Body = { kind: 'preVoteRequest', lastLogIndex: 9, lastLogTerm: 9 };
const vote = (leadershipTransfer = false): Body => ({
  kind: 'voteRequest',
  lastLogIndex: 9,
  lastLogTerm: 9,
  leadershipTransfer,
});
const echo = (solo: Solo, sentMs: number, from = 'b'): void =>
  solo.receive(from, solo.member.raft.term, { kind: 'heartbeatResponse', readSequence: 0, sentMs });
/** The read's answer: by lease, or by a round of heartbeats that has just begun. */
const readsByLease = (solo: Solo): boolean => {
  solo.take();
  solo.member.read(7, true);
  return solo.effects('readReady').length > 0;
};
/** Leads term 1, has committed, and b has just echoed its heartbeat. */
const leader = (options: SoloOptions = {}): Solo => {
  const solo = new Solo({ ...LEASE, ...options });
  solo.lead();
  solo.ack('b', 1);
  solo.tick(HEARTBEAT_TICKS);
  echo(solo, solo.member.nowMs);
  solo.take();
  return solo;
};

describe('R3: reads by lease (thesis 6.4.1)', () => {
  it('are answered at once, without a heartbeat, while a majority has echoed one that is new enough', () => {
    const solo = leader();
    solo.member.read(7, true);
    expect(solo.effects('readReady')).toMatchObject([{ requestId: 7, index: 1 }]);
    expect(solo.effects('send')).toEqual([]);
  });

  it('only for those who asked for it', () => {
    const solo = leader();
    solo.member.read(7, false);
    expect([solo.effects('readReady'), solo.sent('heartbeatRequest').length]).toEqual([[], 2]);
  });

  it('the lease counts from when the heartbeat was sent, not from its echo (known bug Q5)', () => {
    const solo = leader();
    const sentMs = solo.member.nowMs;
    solo.tick(5);
    echo(solo, sentMs);
    expect(readsByLease(solo)).toBe(true);
    solo.member.stopFor(LEASE_MS - 5 * TICK_MS - 1);
    expect(readsByLease(solo)).toBe(true);
    solo.member.stopFor(1);
    expect(readsByLease(solo)).toBe(false);
  });

  it('a leader that was stopped finds that its clock has moved on', () => {
    const solo = leader();
    solo.member.stopFor(60_000);
    expect(readsByLease(solo)).toBe(false);
    // Echoes that waited in its sockets are as old as they are.
    echo(solo, solo.member.nowMs - 60_000);
    expect(readsByLease(solo)).toBe(false);
  });

  it('an echo from the future, or from a member that does not echo, gives no lease', () => {
    const solo = leader();
    solo.member.stopFor(LEASE_MS);
    echo(solo, solo.member.nowMs + 1000);
    echo(solo, 0, 'c');
    expect(readsByLease(solo)).toBe(false);
  });

  it('a minority gives no lease', () => {
    const solo = leader({ voters: ['a', 'b'], learners: ['x'] });
    solo.member.stopFor(LEASE_MS);
    solo.tick();
    echo(solo, solo.member.nowMs, 'x');
    expect(readsByLease(solo)).toBe(false);
    echo(solo, solo.member.nowMs, 'b');
    expect(readsByLease(solo)).toBe(true);
  });

  it('none before an entry of the own term is committed', () => {
    const solo = new Solo(LEASE);
    solo.lead();
    solo.tick(HEARTBEAT_TICKS);
    echo(solo, solo.member.nowMs);
    expect(readsByLease(solo)).toBe(false);
  });

  it('none after a transfer was begun, for the rest of the term', () => {
    const solo = leader();
    solo.step({ kind: 'transferLeadership', to: memberId('b') });
    expect(readsByLease(solo)).toBe(false);
    for (let turn = 0; turn <= ELECTION_TICKS; turn++) {
      solo.tick();
      echo(solo, solo.member.nowMs);
    }
    expect(solo.effects('transferEnded')).toMatchObject([{ outcome: 'timed_out' }]);
    expect(readsByLease(solo)).toBe(false);
  });

  it('none while the configuration changes, nor by what was echoed before it changed', () => {
    const solo = leader();
    const change = { kind: 'changeConfiguration', proposalId: 1, voters: ['a', 'b', 'c'].map(memberId) } as const;
    solo.step({ ...change, learners: [memberId('x')] });
    expect(readsByLease(solo)).toBe(false);
    solo.persistAll();
    solo.ack('b', 2);
    expect(readsByLease(solo)).toBe(false);
    solo.tick(HEARTBEAT_TICKS);
    echo(solo, solo.member.nowMs);
    expect(readsByLease(solo)).toBe(true);
  });

  it('a deposed leader answers nothing', () => {
    const solo = leader();
    solo.receive('c', 2, heartbeat);
    expect(readsByLease(solo)).toBe(false);
  });
});

describe('R3: no votes while a leader may rely on them', () => {
  const follower = (): Solo => {
    const solo = new Solo({ ...LEASE, term: 1 });
    solo.tick(LEASE_TICKS);
    solo.receive('b', 1, heartbeat);
    solo.take();
    return solo;
  };
  const grants = (solo: Solo, value: number, message: Body): boolean => {
    solo.take();
    solo.receive('c', value, message);
    solo.persistAll();
    return [...solo.sent('preVoteResponse'), ...solo.sent('voteResponse')].some(({ granted }) => granted);
  };

  it('a broken connection does not give them before the lease is over', () => {
    const solo = follower();
    solo.step({ kind: 'unreachable', peer: memberId('b') });
    solo.tick(LEASE_TICKS - 1);
    expect([grants(solo, 2, preVote), grants(solo, 2, vote())]).toEqual([false, false]);
  });

  it('nor does a restart', () => {
    const solo = new Solo({ ...LEASE, term: 1 });
    expect([grants(solo, 2, preVote), grants(solo, 2, vote())]).toEqual([false, false]);
    solo.tick(LEASE_TICKS);
    expect(grants(solo, 2, preVote)).toBe(true);
    // The term of a leader that was heard need not have been durable.
    expect(grants(new Solo(LEASE), 1, vote())).toBe(false);
  });

  it('nor does a higher term that came from elsewhere', () => {
    const solo = follower();
    solo.receive('c', 5, { kind: 'preVoteResponse', granted: false });
    expect([solo.member.raft.term, solo.member.raft.leader]).toEqual([5, null]);
    expect(grants(solo, 5, vote())).toBe(false);
    solo.tick(LEASE_TICKS);
    expect(grants(solo, 5, vote())).toBe(true);
  });

  it('a transfer gets them: the leader has given up its lease', () => {
    expect(grants(follower(), 2, vote(true))).toBe(true);
  });

  it('without a broken connection not before the election timeout (thesis 4.2.3)', () => {
    const solo = follower();
    solo.tick(ELECTION_TICKS - 1);
    expect(grants(solo, 2, preVote)).toBe(false);
  });
});

describe('A4: a leader that is suspected', () => {
  const follower = (options: SoloOptions = {}): Solo => {
    const solo = new Solo({ ...LEASE, term: 1, ...options });
    solo.tick(LEASE_TICKS);
    solo.receive('b', 1, heartbeat);
    solo.take();
    return solo;
  };
  const suspect = (solo: Solo, peer = 'b'): void => solo.step({ kind: 'unreachable', peer: memberId(peer) });

  it('a follower asks for pre-votes as soon as the lease is over, long before its election timeout', () => {
    const solo = follower();
    solo.tick(2);
    suspect(solo);
    solo.tick(LEASE_TICKS - 3);
    expect(solo.sent('preVoteRequest')).toEqual([]);
    solo.tick();
    expect(solo.sent('preVoteRequest')).toHaveLength(2);
  });

  it('at once when the lease is over already', () => {
    const solo = follower();
    solo.tick(LEASE_TICKS);
    suspect(solo);
    expect(solo.sent('preVoteRequest')).toHaveLength(2);
  });

  it('again each heartbeat interval, until a campaign began', () => {
    const solo = follower();
    suspect(solo);
    solo.tick(LEASE_TICKS + HEARTBEAT_TICKS);
    expect(solo.sent('preVoteRequest')).toHaveLength(4);
    solo.receive('c', 2, { kind: 'preVoteResponse', granted: true });
    solo.take();
    expect(solo.member.raft.role).toBe('candidate');
    solo.tick(ELECTION_TICKS - 1);
    expect(solo.sent('preVoteRequest')).toEqual([]);
  });

  it('hearing from the leader clears the suspicion', () => {
    const solo = follower();
    suspect(solo);
    solo.tick(2);
    solo.receive('b', 1, heartbeat);
    solo.tick(ELECTION_TICKS - 1);
    expect(solo.sent('preVoteRequest')).toEqual([]);
  });

  it('another peer that is unreachable means nothing', () => {
    const solo = follower();
    suspect(solo, 'c');
    solo.tick(ELECTION_TICKS - 1);
    expect(solo.sent('preVoteRequest')).toEqual([]);
  });

  it('one that suspects gives its pre-vote to another, and lets it go first', () => {
    const solo = follower({ draw: 2 });
    suspect(solo);
    solo.tick(LEASE_TICKS + 1);
    expect(solo.sent('preVoteRequest')).toEqual([]);
    solo.receive('c', 2, { kind: 'preVoteRequest', lastLogIndex: 0, lastLogTerm: 0 });
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: true }]);
    // Its own turn would have been with this tick.
    solo.tick(2);
    expect(solo.sent('preVoteRequest')).toEqual([]);
    solo.tick(HEARTBEAT_TICKS);
    expect(solo.sent('preVoteRequest')).not.toEqual([]);
  });

  it('learners suspect nobody', () => {
    const solo = follower({ learners: ['x'], self: 'x' });
    suspect(solo);
    solo.tick(5 * ELECTION_TICKS);
    expect(solo.sent('preVoteRequest')).toEqual([]);
  });
});

describe('W5: a full disk', () => {
  const full = (solo: Solo, value = true): void => solo.step({ kind: 'storageFull', full: value });

  it('a leader refuses proposals, leads on, reads, and takes them again when there is room', () => {
    const solo = leader();
    full(solo);
    solo.propose('x');
    expect(solo.effects('proposalRefused')).toMatchObject([{ reason: 'storage_full' }]);
    expect(readsByLease(solo)).toBe(true);
    full(solo, false);
    solo.propose('x');
    expect(solo.effects('proposalAppended')).toHaveLength(1);
  });

  it('a follower takes no commands, and does not answer, so that the leader does not try in a tight loop', () => {
    const solo = new Solo({ log: [1], term: 1 });
    full(solo);
    solo.append('b', 1, [1, 1], [1]);
    expect([solo.terms, solo.effects('send')]).toEqual([[1], []]);
    // What it holds already it acknowledges.
    solo.append('b', 1, [0, 0], [1]);
    expect(solo.sent('appendResponse')).toMatchObject([{ outcome: { matchIndex: 1 } }]);
    full(solo, false);
    solo.append('b', 1, [1, 1], [1]);
    expect(solo.terms).toEqual([1, 1]);
  });

  it('a no-op and hard states are taken: the cluster can still elect', () => {
    const solo = new Solo({ log: [1], term: 1 });
    full(solo);
    const noop = { index: 2, term: 2, kind: 'noop', payload: new Uint8Array(0) };
    const command = { index: 3, term: 2, kind: 'command', payload: new Uint8Array(1) };
    solo.receive('b', 2, {
      kind: 'appendRequest',
      prevLogIndex: 1,
      prevLogTerm: 1,
      entries: [noop, command],
      leaderCommit: 3,
    });
    solo.persistAll();
    expect(solo.terms).toEqual([1, 2]);
    expect(solo.sent('appendResponse')).toMatchObject([{ outcome: { matchIndex: 2 } }]);
    expect(solo.member.raft.commitIndex).toBe(2);
  });
});
