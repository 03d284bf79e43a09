/** One test for each rule of replication: Raft paper, sections 5.3, 5.4.2, 8; thesis 10.2.1. */
import { describe, expect, it } from 'vitest';
import { memberId } from '../../src/types/ids.ts';
import { type Body, HEARTBEAT_TICKS, Solo, type SoloOptions } from './solo.ts';

const heartbeatResponse: Body = { kind: 'heartbeatResponse', readSequence: 0 };
const rejected = (prevLogIndex: number, hintIndex: number, hintTerm: number): Body => ({
  kind: 'appendResponse',
  outcome: { kind: 'rejected', prevLogIndex, hintIndex, hintTerm },
});
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

describe('8 no-op', () => {
  it('a new leader opens its term with a no-op', () => {
    const solo = new Solo({ log: [1, 1], term: 1 });
    solo.lead('b', false);
    expect(solo.member.memoryLog()[2]).toMatchObject({ index: 3, term: 2, kind: 'noop' });
    expect(solo.member.memoryLog()[2]?.payload).toHaveLength(0);
  });
});

describe('5.3 log replication, the leader', () => {
  it('one propose makes one persist effect and one append for each follower, in order', () => {
    const solo = leading();
    solo.ack('c', 1);
    solo.take();
    solo.propose('x', 'y', 'z');
    expect(solo.effects('persist').map(({ entries }) => entries.map(({ index }) => index))).toEqual([[2, 3, 4]]);
    expect(solo.sent('appendRequest').map(({ to, entries }) => [to, entries.length])).toEqual([
      ['b', 3],
      ['c', 3],
    ]);
    const appended = solo.effects('proposalAppended').map(({ proposalId, index, term: of }) => [proposalId, index, of]);
    expect(appended).toEqual([
      [1, 2, 1],
      [2, 3, 1],
      [3, 4, 1],
    ]);
  });

  it('appends leave before the leader’s own disk is done (thesis 10.2.1), and commit as soon as a majority has them', () => {
    const solo = leading();
    solo.propose('x');
    expect(toB(solo)).toEqual([[1, 2]]);
    solo.ack('b', 2);
    expect(solo.member.raft.commitIndex).toBe(1);
    solo.persistAll();
    expect(solo.member.raft.commitIndex).toBe(2);
    expect(solo.member.applied.map(({ kind }) => kind)).toEqual(['noop', 'command']);
  });

  it('the leader counts itself only as far as its own disk is (known bug R3), alone, too', () => {
    const solo = new Solo({ voters: ['a'] });
    solo.tick();
    solo.persistAll();
    solo.propose('x');
    expect([solo.member.raft.role, solo.member.raft.commitIndex]).toEqual(['leader', 0]);
    solo.member.persist(1);
    expect(solo.member.raft.commitIndex).toBe(1);
    solo.persistAll();
    expect(solo.member.raft.commitIndex).toBe(2);
  });

  it.each([
    [['a', 'b', 'c'], ['b'], 3],
    [['a', 'b', 'c', 'd'], ['b'], 0],
    [['a', 'b', 'c', 'd'], ['b', 'c'], 3],
    [['a', 'b', 'c', 'd', 'e'], ['b'], 0],
    [['a', 'b', 'c', 'd', 'e'], ['b', 'e'], 3],
  ])('of %j with acknowledgements of %j: commit %i', (voters, acks, expected) => {
    const solo = new Solo({ voters, log: [1, 1], term: 1 });
    solo.tick(10);
    for (const id of voters.slice(1)) solo.receive(id, 2, { kind: 'preVoteResponse', granted: true });
    solo.persistAll();
    for (const id of voters.slice(1)) solo.receive(id, 2, { kind: 'voteResponse', granted: true });
    solo.persistAll();
    for (const id of acks) solo.ack(id, 3);
    expect(solo.member.raft.commitIndex).toBe(expected);
  });

  it('learners get the log and do not count', () => {
    const solo = new Solo({ learners: ['l'] });
    solo.lead();
    expect(solo.member.raft.status().peers.map(({ id }) => id)).toEqual(['b', 'c', 'l']);
    solo.ack('l', 1);
    expect(solo.member.raft.commitIndex).toBe(0);
  });

  it('an acknowledgement of what was never sent is a bug that stops the member', () => {
    expect(() => leading().ack('b', 9)).toThrow('never sent');
  });

  it('a rejection is no acknowledgement (known bug R9)', () => {
    const solo = leading();
    solo.propose('x');
    solo.persistAll();
    solo.receive('b', 1, rejected(1, 1, 1));
    solo.receive('c', 1, rejected(2, 2, 1));
    expect(solo.member.raft.commitIndex).toBe(1);
  });

  it('a follower that holds everything is told the commit at once, a busy one with the next append', () => {
    const solo = leading();
    solo.propose('x');
    solo.persistAll();
    solo.take();
    solo.ack('b', 2);
    const heartbeats = solo.sent('heartbeatRequest');
    expect(heartbeats.map(({ to, leaderCommit }) => [to, leaderCommit])).toEqual([['b', 2]]);
    solo.propose('y');
    expect(solo.sent('appendRequest').map(({ leaderCommit }) => leaderCommit)).toEqual([2]);
  });

  it('heartbeats carry at most what the follower has acknowledged', () => {
    const solo = leading();
    solo.tick(HEARTBEAT_TICKS);
    const commits = solo.sent('heartbeatRequest').map(({ to, leaderCommit }) => [to, leaderCommit]);
    expect(commits).toEqual([
      ['b', 1],
      ['c', 0],
    ]);
  });

  it('proposals to others than the leader are refused, with the leader’s name', () => {
    const solo = new Solo({ term: 1 });
    solo.propose('x');
    solo.receive('b', 1, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
    solo.propose('y');
    expect(solo.effects('proposalRefused').map(({ reason, leader }) => [reason, leader])).toEqual([
      ['not_leader', null],
      ['not_leader', 'b'],
    ]);
  });

  it('more than may be uncommitted is refused; one proposal always passes when nothing is', () => {
    const solo = leading({ limits: { uncommittedBytesMax: 10 } });
    solo.propose('a long proposal', 'another');
    expect(solo.effects('proposalAppended')).toHaveLength(1);
    expect(solo.effects('proposalRefused')).toMatchObject([{ proposalId: 2, reason: 'overloaded' }]);
    solo.persistAll();
    solo.ack('b', 2);
    solo.propose('more');
    expect(solo.effects('proposalAppended')).toHaveLength(2);
  });
});

describe('5.3 finding where the logs agree', () => {
  it.each([
    // Figure 7 of the paper: followers (a) to (f) of a leader with terms 1 1 1 4 4 5 5 6 6 6.
    ['a', [1, 1, 1, 4, 4, 5, 5, 6, 6]],
    ['b', [1, 1, 1, 4]],
    ['c', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    ['d', [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    ['e', [1, 1, 1, 4, 4, 4, 4]],
    ['f', [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('figure 7, follower (%s) ends with the leader’s log', (_, log) => {
    const leader = new Solo({ log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], term: 7 });
    const follower = new Solo({ self: 'b', log, term: 7 });
    leader.lead('c', true);
    let rejections = 0;
    leader.tick(HEARTBEAT_TICKS);
    leader.receive('b', 8, heartbeatResponse);
    for (let turn = 0; turn < 30; turn++) {
      const toFollower = leader.effects('send').flatMap(({ message }) => (message.to === 'b' ? [message] : []));
      const reads = leader.effects('readLog').filter(({ to }) => to === 'b');
      leader.take();
      for (const { from, entriesMax, bytesMax } of reads) {
        const entries = leader.member.readDisk(from, entriesMax, bytesMax);
        leader.step({ kind: 'logRead', to: memberId('b'), entries });
      }
      for (const message of toFollower) follower.step({ kind: 'receive', message });
      follower.persistAll();
      const answers = follower.effects('send').flatMap(({ message }) => (message.to === 'a' ? [message] : []));
      follower.take();
      rejections += answers.filter(
        (message) => message.kind === 'appendResponse' && message.outcome.kind === 'rejected',
      ).length;
      for (const message of answers) leader.step({ kind: 'receive', message });
    }
    expect(follower.terms).toEqual([1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
    expect(follower.member.memoryLog()).toEqual(leader.member.memoryLog());
    // At most one rejection for each term in which the logs differ.
    expect(rejections).toBeLessThanOrEqual(2);
  });

  it('a stale rejection changes nothing', () => {
    const solo = leading();
    solo.propose('x');
    solo.ack('b', 2);
    solo.take();
    solo.receive('b', 1, rejected(1, 0, 0));
    expect([toB(solo), peerB(solo)?.state]).toEqual([[], 'replicate']);
    expect(solo.marks).toContain('stale_rejection');
  });
});

describe('5.3 log replication, the follower', () => {
  const outcome = (solo: Solo): unknown => {
    solo.persistAll();
    return solo.sent('appendResponse')[0]?.outcome;
  };

  it.each([
    // own terms, prev, sent terms → outcome, terms after
    [[1, 2], [2, 2], [3], { kind: 'accepted', matchIndex: 3 }, [1, 2, 3]],
    [[1, 2], [0, 0], [1, 2], { kind: 'accepted', matchIndex: 2 }, [1, 2]],
    [[1, 2], [1, 1], [], { kind: 'accepted', matchIndex: 1 }, [1, 2]],
    // Entries behind what the append covers stay (known bug R6): it may be late.
    [[1, 2, 2, 2], [1, 1], [2], { kind: 'accepted', matchIndex: 2 }, [1, 2, 2, 2]],
    // A conflict in term cuts from there on (known bug R11).
    [[1, 1, 1], [1, 1], [3, 3], { kind: 'accepted', matchIndex: 3 }, [1, 3, 3]],
    [[1, 2, 2, 2], [1, 1], [2, 3], { kind: 'accepted', matchIndex: 3 }, [1, 2, 3]],
    [[1, 1, 1], [0, 0], [2], { kind: 'accepted', matchIndex: 1 }, [2]],
    // The check of prev is never skipped (known bug R10).
    [[1, 2], [2, 1], [1], { kind: 'rejected', prevLogIndex: 2, hintIndex: 1, hintTerm: 1 }, [1, 2]],
    [[1, 2], [5, 2], [3], { kind: 'rejected', prevLogIndex: 5, hintIndex: 2, hintTerm: 2 }, [1, 2]],
    [[], [1, 1], [1], { kind: 'rejected', prevLogIndex: 1, hintIndex: 0, hintTerm: 0 }, []],
    [[1, 3, 3, 3], [4, 2], [4], { kind: 'rejected', prevLogIndex: 4, hintIndex: 1, hintTerm: 1 }, [1, 3, 3, 3]],
    [[1, 1, 2, 2], [4, 3], [4], { kind: 'rejected', prevLogIndex: 4, hintIndex: 4, hintTerm: 2 }, [1, 1, 2, 2]],
  ] as const)('%j, prev %j, entries of %j: %j', (log, prev, sent, expected, after) => {
    const solo = new Solo({ log, term: 4 });
    solo.append('b', 5, prev, sent);
    expect(outcome(solo)).toEqual(expected);
    expect(solo.terms).toEqual(after);
  });

  it.each([
    // leaderCommit, last verified → commit (known bug R5)
    [9, 2, 2],
    [1, 2, 1],
    [3, 3, 3],
  ])('commit %i with %i entries verified: %i, whatever lies behind', (commit, verified, expected) => {
    const solo = new Solo({ log: [1, 1, 1, 1, 1], term: 1 });
    solo.append('b', 2, [0, 0], [1, 1, 1].slice(0, verified), commit);
    solo.persistAll();
    expect(solo.member.raft.commitIndex).toBe(expected);
  });

  it('acknowledges only what is durable (known bug R4), also when it was there already', () => {
    const solo = new Solo({ term: 1 });
    solo.append('b', 1, [0, 0], [1]);
    solo.append('b', 1, [0, 0], [1]);
    solo.append('b', 1, [0, 0], []);
    expect(solo.sent('appendResponse')).toEqual([]);
    expect(solo.effects('persist').map(({ entries }) => entries.length)).toEqual([1, 0, 0]);
    solo.member.persist(1);
    expect(solo.sent('appendResponse')).toHaveLength(1);
    solo.persistAll();
    expect(solo.sent('appendResponse')).toHaveLength(3);
  });

  it('applies nothing that is not durable here (I6)', () => {
    const solo = new Solo({ term: 1 });
    solo.append('b', 1, [0, 0], [1, 1], 2);
    expect([solo.member.raft.commitIndex, solo.member.applied.length]).toEqual([2, 0]);
    solo.persistAll();
    expect(solo.member.applied).toHaveLength(2);
  });

  it('never cuts what is committed (I11)', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1, applied: 2 });
    expect(() => solo.append('b', 2, [1, 1], [2])).toThrow('I11');
    const behind = new Solo({ log: [1, 1, 1], term: 1, applied: 2 });
    behind.append('b', 2, [0, 0], [1, 1, 2]);
    expect(outcome(behind)).toEqual({ kind: 'accepted', matchIndex: 3 });
    expect(behind.terms).toEqual([1, 1, 2]);
  });

  it('an append of committed entries only is acknowledged up to the commit index', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1, applied: 3 });
    solo.append('b', 2, [0, 0], [1]);
    expect(outcome(solo)).toEqual({ kind: 'accepted', matchIndex: 3 });
  });

  it('a heartbeat that commits more than the log holds means that durable data was lost: the member stops', () => {
    const solo = new Solo({ log: [1], term: 1 });
    const beyond: Body = { kind: 'heartbeatRequest', leaderCommit: 2, readSequence: 0 };
    expect(() => solo.receive('b', 1, beyond)).toThrow('I5');
  });

  it('a truncation that is not durable yet is no acknowledgement of the old entries', () => {
    const solo = new Solo({ log: [1, 1, 1], term: 1 });
    solo.append('b', 2, [1, 1], [2]);
    expect(solo.member.raft.status()).toMatchObject({ lastIndex: 2, durableIndex: 1 });
    solo.persistAll();
    expect(solo.member.raft.status()).toMatchObject({ lastIndex: 2, durableIndex: 2 });
  });
});

describe('5.4.2 entries of earlier terms', () => {
  it('are not committed by counting, but by the first entry of the own term (known bug R1)', () => {
    const solo = new Solo({ log: [1, 2, 2], term: 2 });
    solo.lead();
    solo.ack('b', 3);
    solo.ack('c', 3);
    expect(solo.member.raft.commitIndex).toBe(0);
    solo.ack('b', 4);
    expect(solo.member.raft.commitIndex).toBe(4);
  });

  it('knows that it catches up while more is committed than it has', () => {
    const solo = new Solo();
    solo.append('b', 1, [0, 0], [1, 1], 5);
    solo.persistAll();
    expect([solo.member.raft.commitIndex, solo.member.raft.catchingUp]).toEqual([2, true]);
    solo.append('b', 1, [2, 1], [1, 1, 1], 5);
    expect(solo.member.raft.catchingUp).toBe(false);
  });
});
