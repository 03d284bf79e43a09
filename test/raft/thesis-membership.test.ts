/** One test for each rule of changes of the configuration: Raft thesis, chapter 4. */
import { describe, expect, it } from 'vitest';
import type { Configuration, Entry } from '../../src/raft/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';
import { configuration, encodeConfiguration, payload } from './cluster.ts';
import { type Body, ELECTION_TICKS, HEARTBEAT_TICKS, Solo } from './solo.ts';

const names = (list: string) => [...list].map(memberId);
const joint = (voters: string, outgoing: string, learners = ''): Configuration => ({
  voters: names(voters),
  votersOutgoing: names(outgoing),
  learners: names(learners),
});
const entry = (index: number, value: number, given: Configuration): Entry => ({
  index: logIndex(index),
  term: term(value),
  kind: 'configuration',
  payload: encodeConfiguration(given),
});
const append = (prev: readonly [number, number], entries: readonly Entry[], leaderCommit = 0): Body => ({
  kind: 'appendRequest',
  prevLogIndex: prev[0],
  prevLogTerm: prev[1],
  entries,
  leaderCommit,
});
const change = (solo: Solo, voters: string, learners = ''): void =>
  solo.step({ kind: 'changeConfiguration', proposalId: 77, voters: names(voters), learners: names(learners) });
/** Everybody named acknowledges all of the leader's log, which is durable here, too. */
const ackAll = (solo: Solo, from: string): void => {
  solo.persistAll();
  const { lastIndex } = solo.member.raft.status();
  for (const id of from) if (solo.member.raft.role === 'leader') solo.ack(id, lastIndex);
};
/** A leader of a, b, c whose no-op is committed. */
const leader = (voters = 'abc', learners = ''): Solo => {
  const solo = new Solo({ voters: [...voters], learners: [...learners] });
  solo.tick(ELECTION_TICKS * 2);
  for (const id of voters.slice(1)) solo.receive(id, 1, { kind: 'preVoteResponse', granted: true });
  solo.persistAll();
  for (const id of voters.slice(1)) solo.receive(id, 1, { kind: 'voteResponse', granted: true });
  ackAll(solo, voters.slice(1) + learners);
  solo.take();
  return solo;
};
const inForce = (solo: Solo): Configuration => solo.member.raft.status().configuration;
const refusal = (solo: Solo): string | undefined => solo.effects('proposalRefused')[0]?.reason;

describe('R2: thesis 4.3, joint consensus', () => {
  it('a change of voters goes by a joint configuration, which is in force at once and left by itself', () => {
    const solo = leader();
    change(solo, 'abd');
    expect(solo.effects('proposalAppended')).toMatchObject([{ proposalId: 77, index: 2, term: 1 }]);
    expect(solo.effects('configurationChanged')).toMatchObject([{ committed: false, placed: { index: 2 } }]);
    expect(inForce(solo)).toEqual(joint('abd', 'abc'));
    // The new voter hears of it at once.
    expect(solo.sent('appendRequest').map(({ to }) => to)).toContain('d');
    ackAll(solo, 'bd');
    expect(inForce(solo)).toEqual(joint('abd', ''));
    expect(solo.marks).toContain('leave_joint');
    ackAll(solo, 'bd');
    const { commitIndex, configurationIndex, role } = solo.member.raft.status();
    expect([commitIndex, configurationIndex, role]).toEqual([3, 3, 'leader']);
  });

  it('several at once: two replaced, one demoted, one added as learner', () => {
    const solo = leader('abcde');
    change(solo, 'abfg', 'cx');
    expect(inForce(solo)).toEqual(joint('abfg', 'abcde', 'cx'));
    ackAll(solo, 'bcfgx');
    expect(inForce(solo)).toEqual(joint('abfg', '', 'cx'));
    ackAll(solo, 'bf');
    expect(solo.member.raft.commitIndex).toBe(3);
  });

  it('while it is joint both halves decide, and a majority of all does not (known bug C7)', () => {
    const solo = leader();
    change(solo, 'defg');
    // a, b, d, e are four of seven, and a majority of the old half alone.
    ackAll(solo, 'bde');
    expect(solo.member.raft.commitIndex).toBe(1);
    solo.ack('f', 2);
    expect(solo.member.raft.commitIndex).toBe(2);
  });

  it('learners alone change by a simple configuration; their acknowledgements count for nothing (known bug C9)', () => {
    const solo = leader();
    change(solo, 'abc', 'xyz');
    expect(inForce(solo)).toEqual(configuration(['a', 'b', 'c'], ['x', 'y', 'z']));
    ackAll(solo, 'xyz');
    expect(solo.member.raft.commitIndex).toBe(1);
    solo.ack('b', 2);
    expect(solo.member.raft.commitIndex).toBe(2);
  });

  it('a learner becomes a voter by a joint configuration', () => {
    const solo = leader('abc', 'x');
    change(solo, 'abcx');
    expect(inForce(solo)).toEqual(joint('abcx', 'abc'));
    expect(solo.sent('appendRequest').filter(({ to }) => to === 'x').length).toBe(1);
  });

  it('a new leader leaves a joint configuration, but not before its own no-op is committed', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c'], term: 1 });
    solo.receive('b', 1, append([0, 0], [entry(1, 1, joint('abd', 'abc'))], 1));
    solo.persistAll();
    expect(solo.member.raft.commitIndex).toBe(1);
    solo.campaign('b');
    solo.receive('b', 2, { kind: 'voteResponse', granted: true });
    solo.persistAll();
    expect([solo.member.raft.role, inForce(solo)]).toEqual(['leader', joint('abd', 'abc')]);
    ackAll(solo, 'b');
    expect(inForce(solo)).toEqual(joint('abd', ''));
    expect(solo.terms).toEqual([1, 2, 2]);
  });

  it('an election in a joint configuration needs both halves', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c'], term: 1 });
    solo.receive('b', 1, append([0, 0], [entry(1, 1, joint('ade', 'abc'))]));
    solo.persistAll();
    solo.campaign('b');
    expect(solo.member.raft.role).toBe('preCandidate');
    solo.receive('d', 2, { kind: 'preVoteResponse', granted: true });
    expect(solo.member.raft.role).toBe('candidate');
  });

  it('a transfer that is under way holds the leave back; its end lets it go', () => {
    const solo = leader();
    change(solo, 'abd');
    solo.step({ kind: 'transferLeadership', to: memberId('d') });
    ackAll(solo, 'b');
    solo.ack('c', 2);
    solo.receive('d', 1, { kind: 'heartbeatResponse', readSequence: 0 });
    expect(inForce(solo).votersOutgoing).toHaveLength(3);
    for (let turn = 0; turn <= ELECTION_TICKS; turn++) {
      solo.tick();
      solo.receive('b', 1, { kind: 'heartbeatResponse', readSequence: 0 });
      solo.receive('c', 1, { kind: 'heartbeatResponse', readSequence: 0 });
      solo.receive('d', 1, { kind: 'heartbeatResponse', readSequence: 0 });
    }
    expect(inForce(solo)).toEqual(joint('abd', ''));
  });
});

describe('R2: thesis 4.1, one at a time', () => {
  it('a second change waits for the first, joint or not (known bug C3)', () => {
    const solo = leader();
    change(solo, 'abc', 'x');
    solo.take();
    change(solo, 'abc', 'y');
    expect(refusal(solo)).toBe('configuration_pending');
    ackAll(solo, 'b');
    change(solo, 'ab');
    solo.take();
    ackAll(solo, 'b');
    // The joint one is committed, the leave is not.
    change(solo, 'abc');
    expect(refusal(solo)).toBe('configuration_pending');
  });

  it('none before an entry of the own term is committed (known bug C2)', () => {
    const solo = new Solo();
    solo.lead();
    change(solo, 'ab');
    expect(refusal(solo)).toBe('not_ready');
  });

  it.each([
    ['nobody', '', ''],
    ['a voter twice', 'aab', ''],
    ['a learner that votes', 'ab', 'b'],
    ['nothing new', 'cba', ''],
  ])('invalid: %s', (_, voters, learners) => {
    const solo = leader();
    change(solo, voters, learners);
    expect(refusal(solo)).toBe('configuration_invalid');
  });

  it('only the leader changes it, and not during a transfer', () => {
    const follower = new Solo({ term: 1 });
    follower.receive('b', 1, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
    change(follower, 'ab');
    expect(follower.effects('proposalRefused')).toMatchObject([{ reason: 'not_leader', leader: 'b' }]);
    const solo = leader();
    solo.step({ kind: 'transferLeadership', to: memberId('b') });
    change(solo, 'ab');
    expect(refusal(solo)).toBe('transferring');
  });

  it('a configuration goes back when its entry is truncated', () => {
    const solo = new Solo({ term: 1 });
    solo.receive('b', 1, append([0, 0], [entry(1, 1, joint('ab', 'abc')), entry(2, 1, joint('ab', ''))]));
    solo.persistAll();
    expect(inForce(solo)).toEqual(joint('ab', ''));
    solo.take();
    solo.receive('c', 2, append([1, 1], [{ index: logIndex(2), term: term(2), kind: 'noop', payload: payload('') }]));
    expect(inForce(solo)).toEqual(joint('ab', 'abc'));
    expect(solo.effects('configurationChanged')).toMatchObject([{ placed: { index: 1 }, committed: false }]);
  });

  it('a restart finds the configuration in the log, not what the member was started with (known bug C6)', () => {
    const solo = leader();
    change(solo, 'abd');
    ackAll(solo, 'bd');
    ackAll(solo, 'bd');
    solo.member.crash();
    solo.member.start();
    expect(inForce(solo)).toEqual(joint('abd', ''));
  });
});

describe('R2: thesis 4.2.2, a leader that is removed', () => {
  it('leads on without counting itself, then says so, has the furthest voter campaign, and follows (C10)', () => {
    const solo = leader();
    change(solo, 'bcd');
    ackAll(solo, 'bcd');
    expect([solo.member.raft.role, inForce(solo)]).toEqual(['leader', joint('bcd', '')]);
    // Durable here and on b is no majority of b, c, d.
    solo.persistAll();
    solo.ack('b', 3);
    expect([solo.member.raft.role, solo.member.raft.commitIndex]).toEqual(['leader', 2]);
    solo.propose('x');
    solo.persistAll();
    solo.ack('c', 4);
    solo.take();
    solo.ack('d', 3);
    expect(solo.member.raft.role).toBe('follower');
    expect(solo.member.raft.commitIndex).toBe(3);
    expect(solo.sent('timeoutNow')).toEqual([]);
  });

  it('the commit is announced before TimeoutNow, which goes to the voter that is furthest', () => {
    const solo = leader();
    change(solo, 'bcd');
    ackAll(solo, 'bcd');
    solo.propose('x');
    solo.persistAll();
    solo.ack('c', 4);
    solo.take();
    solo.ack('b', 3);
    expect(solo.sent('heartbeatRequest').map(({ to, leaderCommit }) => [to, leaderCommit])).toContainEqual(['c', 3]);
    expect(solo.sent('timeoutNow').map(({ to }) => to)).toEqual(['c']);
    expect([solo.member.raft.role, solo.member.raft.leader]).toEqual(['follower', null]);
  });

  it('campaigns no more after that, nor do learners and members that wait (known bugs C11, E14)', () => {
    const solo = leader();
    change(solo, 'bcd');
    ackAll(solo, 'bcd');
    ackAll(solo, 'bcd');
    for (const quiet of [solo, new Solo({ learners: ['x'], self: 'x' }), new Solo({ voters: [] })]) {
      quiet.take();
      quiet.tick(10 * ELECTION_TICKS);
      expect(quiet.effects('send')).toEqual([]);
    }
  });

  it('one that holds an uncommitted configuration without itself still campaigns, and does not count its own vote', () => {
    const solo = new Solo({ term: 1 });
    solo.receive('b', 1, append([0, 0], [entry(1, 1, joint('bcd', 'abc')), entry(2, 1, joint('bcd', ''))], 1));
    solo.persistAll();
    solo.campaign('c');
    expect(solo.member.raft.role).toBe('preCandidate');
    solo.receive('d', 2, { kind: 'preVoteResponse', granted: true });
    solo.persistAll();
    solo.receive('c', 2, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe('candidate');
    solo.receive('d', 2, { kind: 'voteResponse', granted: true });
    expect(solo.member.raft.role).toBe('leader');
    ackAll(solo, 'cd');
    expect(solo.member.raft.role).toBe('follower');
  });

  it('TimeoutNow is not obeyed by one that is no voter, nor sent to one that is not in the new half (known bug C12)', () => {
    const learner = new Solo({ learners: ['x'], self: 'x', term: 1 });
    learner.receive('b', 1, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
    learner.receive('b', 1, { kind: 'timeoutNow' });
    expect(learner.member.raft.role).toBe('follower');
    const solo = leader();
    change(solo, 'abd');
    for (const [to, outcome] of [
      ['c', 'refused'],
      ['x', 'refused'],
    ] as const) {
      solo.take();
      solo.step({ kind: 'transferLeadership', to: memberId(to) });
      expect(solo.effects('transferEnded')).toMatchObject([{ outcome }]);
    }
    // A voter since a moment ago gets it only when it holds the whole log, its own promotion included.
    solo.take();
    solo.step({ kind: 'transferLeadership', to: memberId('d') });
    expect(solo.sent('timeoutNow')).toEqual([]);
    solo.ack('d', 2);
    expect(solo.sent('timeoutNow')).toHaveLength(1);
  });
});

describe('R2: thesis 4.2.3, those who were removed', () => {
  const removal = (): Solo => {
    const solo = leader('abcd');
    change(solo, 'abc');
    ackAll(solo, 'bcd');
    solo.take();
    return solo;
  };
  const echo = (solo: Solo, from: string, sentMs: number): void =>
    solo.receive(from, 1, { kind: 'heartbeatResponse', readSequence: 0, sentMs });
  const peers = (solo: Solo): string =>
    solo.member.raft
      .status()
      .peers.map(({ id }) => id)
      .join('');

  it('are told until they know that it is committed', () => {
    const solo = removal();
    expect(peers(solo)).toBe('bcd');
    ackAll(solo, 'bc');
    solo.ack('d', 3);
    expect(
      solo.sent('heartbeatRequest').filter(({ to, leaderCommit }) => to === 'd' && leaderCommit === 3),
    ).toHaveLength(1);
    // An answer to a heartbeat from before says nothing.
    echo(solo, 'd', solo.member.nowMs);
    expect(peers(solo)).toBe('bcd');
    solo.tick(HEARTBEAT_TICKS);
    echo(solo, 'd', solo.member.nowMs);
    expect(peers(solo)).toBe('bc');
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    expect(solo.effects('send').filter(({ message }) => message.to === 'd')).toEqual([]);
  });

  it('are given up after ten election timeouts, and count in nothing meanwhile', () => {
    const solo = removal();
    ackAll(solo, 'bc');
    for (let turn = 0; turn < 10 * ELECTION_TICKS; turn++) {
      expect(peers(solo)).toBe('bcd');
      solo.tick();
      if (turn % 3 === 0) for (const id of 'bc') echo(solo, id, 0);
    }
    expect(peers(solo)).toBe('bc');
    // d alone keeps nobody in office.
    const other = removal();
    for (let turn = 0; turn < 2 * ELECTION_TICKS; turn++) {
      other.tick();
      echo(other, 'd', 0);
    }
    expect(other.member.raft.role).not.toBe('leader');
  });

  it('cannot disturb a cluster with a leader, whatever their term', () => {
    const solo = removal();
    ackAll(solo, 'bc');
    solo.take();
    solo.receive('d', 9, { kind: 'preVoteRequest', lastLogIndex: 99, lastLogTerm: 1 });
    solo.receive('d', 9, { kind: 'voteRequest', lastLogIndex: 99, lastLogTerm: 1, leadershipTransfer: false });
    expect([solo.member.raft.role, solo.member.raft.term]).toEqual(['leader', 1]);
    expect(solo.sent('preVoteResponse')).toMatchObject([{ granted: false }]);
    expect(solo.sent('voteResponse')).toEqual([]);
  });

  it('are told by the next leader, too, if the one that removed them could not', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c', 'd'], term: 1 });
    solo.receive('b', 1, append([0, 0], [entry(1, 1, joint('abc', 'abcd')), entry(2, 1, joint('abc', ''))], 1));
    solo.persistAll();
    solo.lead('b');
    expect(peers(solo)).toBe('bcd');
  });
});
