/** Linearizable reads: Raft thesis, section 6.4; requirement R3. */
import { describe, expect, it } from 'vitest';
import { ELECTION_TICKS, HEARTBEAT_TICKS, Solo, type SoloOptions } from './solo.ts';

function leading(options: SoloOptions = {}): Solo {
  const solo = new Solo(options);
  solo.lead();
  solo.ack('b', solo.member.raft.status().lastIndex);
  solo.take();
  return solo;
}
function following(options: SoloOptions = {}): Solo {
  const solo = new Solo({ term: 1, ...options });
  solo.receive('b', 1, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
  solo.take();
  return solo;
}
const read = (solo: Solo, requestId: number): void => solo.member.read(requestId);
const confirm = (solo: Solo, from: string, readSequence: number, value = 1): void =>
  solo.receive(from, value, { kind: 'heartbeatResponse', readSequence });
const ready = (solo: Solo): readonly (readonly number[])[] =>
  solo.effects('readReady').map(({ requestId, index }) => [requestId, index]);
const refused = (solo: Solo): readonly (readonly unknown[])[] =>
  solo.effects('readRefused').map(({ requestId, reason, leader }) => [requestId, reason, leader]);

describe('thesis 6.4 on the leader', () => {
  it('a read waits until a majority has confirmed the leadership after it arrived (known bug Q1)', () => {
    const solo = leading();
    read(solo, 7);
    expect(ready(solo)).toEqual([]);
    confirm(solo, 'b', 0);
    expect(ready(solo)).toEqual([]);
    confirm(solo, 'b', 1);
    expect(ready(solo)).toEqual([[7, 1]]);
  });

  it('a majority of five takes two answers, from voters, of this term, to this round', () => {
    const solo = new Solo({ voters: ['a', 'b', 'c', 'd', 'e'], learners: ['l'] });
    solo.tick(ELECTION_TICKS);
    for (const id of ['b', 'c']) solo.receive(id, 1, { kind: 'preVoteResponse', granted: true });
    solo.persistAll();
    for (const id of ['b', 'c']) solo.receive(id, 1, { kind: 'voteResponse', granted: true });
    solo.persistAll();
    for (const id of ['b', 'c']) solo.ack(id, 1);
    read(solo, 7);
    confirm(solo, 'l', 1);
    confirm(solo, 'x', 1);
    confirm(solo, 'b', 1);
    confirm(solo, 'b', 1);
    confirm(solo, 'c', 0);
    confirm(solo, 'd', 1, 0);
    confirm(solo, 'e', 99);
    expect(ready(solo)).toEqual([]);
    confirm(solo, 'e', 1);
    expect(ready(solo)).toEqual([[7, 1]]);
  });

  it('before an entry of its own term is committed a leader answers nothing (known bug Q2)', () => {
    const solo = new Solo({ log: [1, 1], term: 1 });
    solo.lead();
    read(solo, 7);
    solo.tick(HEARTBEAT_TICKS);
    for (const id of ['b', 'c']) confirm(solo, id, 0, 2);
    for (const id of ['b', 'c']) confirm(solo, id, 1, 2);
    expect(ready(solo)).toEqual([]);
    solo.ack('b', 3);
    confirm(solo, 'b', 1, 2);
    expect(ready(solo)).toEqual([[7, 3]]);
  });

  it('reads that arrive while a round is out share the next one', () => {
    const solo = leading();
    read(solo, 1);
    read(solo, 2);
    read(solo, 3);
    expect(solo.sent('heartbeatRequest').map(({ readSequence }) => readSequence)).toEqual([1, 1]);
    confirm(solo, 'b', 1);
    expect(ready(solo)).toEqual([[1, 1]]);
    confirm(solo, 'b', 2);
    expect(ready(solo)).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
  });

  it('a lost round is made up for by the next heartbeats', () => {
    const solo = leading();
    read(solo, 1);
    read(solo, 2);
    solo.take();
    solo.tick(HEARTBEAT_TICKS);
    expect(solo.sent('heartbeatRequest').map(({ readSequence }) => readSequence)).toEqual([2, 2]);
    confirm(solo, 'c', 2);
    expect(ready(solo).map(([id]) => id)).toEqual([1, 2]);
  });

  it('a leader alone answers at once, once its no-op is durable', () => {
    const solo = new Solo({ voters: ['a'] });
    solo.tick();
    solo.persistAll();
    read(solo, 1);
    expect(ready(solo)).toEqual([]);
    solo.persistAll();
    read(solo, 2);
    expect(ready(solo)).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  it('a deposed leader refuses what waits, its followers’ reads included (R3)', () => {
    const solo = leading();
    read(solo, 1);
    read(solo, 2);
    solo.receive('c', 1, { kind: 'readIndexRequest', requestId: 55 });
    solo.receive('b', 2, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
    confirm(solo, 'b', 2);
    expect(ready(solo)).toEqual([]);
    expect(refused(solo)).toEqual([
      [1, 'not_leader', 'b'],
      [2, 'not_leader', 'b'],
    ]);
    expect(solo.sent('readIndexResponse')).toMatchObject([{ to: 'c', requestId: 55, readIndex: null }]);
  });

  it('a leader that steps down for want of a quorum refuses what waits', () => {
    const solo = leading();
    read(solo, 1);
    solo.tick(ELECTION_TICKS);
    expect(refused(solo)).toEqual([[1, 'not_leader', null]]);
  });

  it('more than readsMax are refused, and answered ones make room', () => {
    const solo = leading({ limits: { readsMax: 2 } });
    for (const id of [1, 2, 3]) read(solo, id);
    solo.receive('c', 1, { kind: 'readIndexRequest', requestId: 55 });
    expect(refused(solo)).toEqual([[3, 'overloaded', 'a']]);
    expect(solo.sent('readIndexResponse')).toMatchObject([{ requestId: 55, readIndex: null }]);
    confirm(solo, 'b', 1);
    read(solo, 4);
    expect(refused(solo)).toHaveLength(1);
  });
});

describe('thesis 6.4 on a follower', () => {
  const answer = (solo: Solo, requestId: number, readIndex: number | null): void =>
    solo.receive('b', 1, { kind: 'readIndexResponse', requestId, readIndex });

  it('asks the leader, one request at a time for all reads that wait', () => {
    const solo = following();
    for (const id of [1, 2, 3]) read(solo, id);
    const [first, ...others] = solo.sent('readIndexRequest');
    expect(others).toEqual([]);
    answer(solo, first?.requestId ?? 0, 8);
    expect(ready(solo)).toEqual([[1, 8]]);
    const second = solo.sent('readIndexRequest')[1];
    answer(solo, second?.requestId ?? 0, 9);
    expect(ready(solo)).toEqual([
      [1, 8],
      [2, 9],
      [3, 9],
    ]);
  });

  it('an answer to another request, or a second one, fits nothing', () => {
    const solo = following();
    read(solo, 1);
    const id = solo.sent('readIndexRequest')[0]?.requestId ?? 0;
    answer(solo, id + 1, 8);
    expect(ready(solo)).toEqual([]);
    answer(solo, id, 8);
    read(solo, 2);
    answer(solo, id, 8);
    expect(ready(solo)).toEqual([[1, 8]]);
  });

  it('ids start at random: the answer to a former life of the member fits nothing', () => {
    const ids = [0, 1, 2].map((draw) => {
      const solo = following({ draw });
      read(solo, 1);
      return solo.sent('readIndexRequest')[0]?.requestId;
    });
    expect(new Set(ids).size).toBe(3);
  });

  it('a refusal of the leader is passed on', () => {
    const solo = following();
    read(solo, 1);
    answer(solo, solo.sent('readIndexRequest')[0]?.requestId ?? 0, null);
    expect(refused(solo)).toEqual([[1, 'not_leader', 'b']]);
  });

  it('without a leader it is refused at once', () => {
    const solo = new Solo();
    read(solo, 1);
    solo.tick(ELECTION_TICKS);
    read(solo, 2);
    expect(refused(solo)).toEqual([
      [1, 'not_leader', null],
      [2, 'not_leader', null],
    ]);
  });

  it('a new leader, a new term or silence refuses what waits', () => {
    const changed = following();
    read(changed, 1);
    changed.receive('c', 2, { kind: 'heartbeatRequest', leaderCommit: 0, readSequence: 0 });
    expect(refused(changed)).toEqual([[1, 'not_leader', 'c']]);
    const silent = following();
    read(silent, 1);
    read(silent, 2);
    silent.tick(ELECTION_TICKS);
    expect(refused(silent).map(([id]) => id)).toEqual([1, 2]);
  });

  it('a lost request is repeated under the same id', () => {
    const solo = following();
    read(solo, 1);
    solo.tick(HEARTBEAT_TICKS);
    const [first, second] = solo.sent('readIndexRequest');
    expect(second?.requestId).toBe(first?.requestId);
  });

  it('more than readsMax are refused', () => {
    const solo = following({ limits: { readsMax: 2 } });
    for (const id of [1, 2, 3]) read(solo, id);
    expect(refused(solo)).toEqual([[3, 'overloaded', 'b']]);
  });
});
