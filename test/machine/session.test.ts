import { describe, expect, it } from 'vitest';
import type { CommandBody } from '../../src/machine/types.ts';
import type { SessionId } from '../../src/types/ids.ts';
import { Bench, beginBody, commitBody, doneValue, rejectionOf, session } from './kit.ts';

const keep: CommandBody = { kind: 'keepAliveSession' };
const close: CommandBody = { kind: 'closeSession' };
const advance: CommandBody = { kind: 'advanceTime' };
const open = (ttlMs: number): CommandBody => ({ kind: 'openSession', ttlMs });
const loop = (name: string): CommandBody => ({ kind: 'createLoop', loop: name, plan: '' });

describe('R6: sessions', () => {
  it('the id is the index of the entry that opened it', () => {
    const bench = new Bench();
    bench.createLoop();
    expect(bench.done('sessionOpened', open(5_000))).toEqual({ kind: 'sessionOpened', sessionId: 2, ttlMs: 5_000 });
    expect(bench.machine.session(2 as SessionId)).toEqual({
      id: 2,
      ttlMs: 5_000,
      lastSeenMs: 1_000_000,
      ackedThrough: 0,
      answers: 0,
    });
    expect(bench.done('sessionOpened', open(0)).ttlMs).toBe(60_000);
    expect(bench.machine.sessionCount()).toBe(2);
  });

  it('a retry gets the first answer, with the first revision, and nothing happens again', () => {
    const bench = new Bench();
    const id = bench.openSession();
    bench.createLoop();
    const first = bench.apply(beginBody('ANALYZE'), { session: session(id, 1) });
    bench.apply(commitBody('ANALYZE', 3), { session: session(id, 2) });
    const again = bench.apply(beginBody('ANALYZE'), { session: session(id, 1) });
    expect(first.replayed).toBe(false);
    expect(again).toEqual({ result: first.result, replayed: true, events: [] });
    expect(again.result?.revision).toBe(3);
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ state: 'CLEAN_EXIT', attempt: 1 });
  });

  it('rejections are remembered too: the answer stays the same when the cause is gone', () => {
    const bench = new Bench();
    const id = bench.openSession();
    const refused = bench.apply(beginBody('ANALYZE'), { session: session(id, 1) });
    expect(rejectionOf(refused.result).reason).toBe('LOOP_NOT_FOUND');
    bench.createLoop();
    const again = bench.apply(beginBody('ANALYZE'), { session: session(id, 1) });
    expect(again).toEqual({ result: refused.result, replayed: true, events: [] });
    expect(bench.machine.run('loop', 1, 'ANALYZE')?.state).toBe('PENDING');
  });

  it('sessions do not see one another', () => {
    const bench = new Bench();
    const [one, two] = [bench.openSession(), bench.openSession()];
    bench.done('loopCreated', loop('a'), { session: session(one, 1) });
    bench.done('loopCreated', loop('b'), { session: session(two, 1) });
    expect(bench.machine.loops(null, 10).rows.map((row) => row.loop)).toEqual(['a', 'b']);
  });

  it('what is acknowledged is forgotten, and is never carried out again', () => {
    const bench = new Bench();
    const id = bench.openSession();
    for (let i = 1; i <= 5; i++) bench.apply(loop(`l${i}`), { session: session(id, i) });
    expect(bench.machine.session(id)).toMatchObject({ ackedThrough: 0, answers: 5 });
    bench.apply(loop('l6'), { session: session(id, 6, 3) });
    expect(bench.machine.session(id)).toMatchObject({ ackedThrough: 3, answers: 3 });
    for (const sequence of [1, 3]) {
      expect(bench.rejected(loop('new'), { session: session(id, sequence) })).toMatchObject({
        reason: 'SESSION_SEQUENCE_FORGOTTEN',
        details: { ackedThrough: '3', sequence: String(sequence), session: String(id) },
      });
    }
    expect(bench.apply(loop('new'), { session: session(id, 4) }).replayed).toBe(true);
    // Its own ackedThrough counts as well, and stays.
    expect(bench.rejected(loop('new'), { session: session(id, 8, 8) }).reason).toBe('SESSION_SEQUENCE_FORGOTTEN');
    expect(bench.machine.session(id)).toMatchObject({ ackedThrough: 8, answers: 0 });
    expect(bench.machine.loop('new')).toBeNull();
    bench.done('loopCreated', loop('new'), { session: session(id, 9, 2) });
    expect(bench.machine.session(id)).toMatchObject({ ackedThrough: 8, answers: 1 });
  });

  it('everything may be acknowledged at once, up to the largest number', () => {
    const bench = new Bench();
    const id = bench.openSession();
    bench.apply(loop('l'), { session: session(id, 1) });
    const most = Number.MAX_SAFE_INTEGER;
    expect(bench.rejected(loop('m'), { session: session(id, most, most) }).reason).toBe('SESSION_SEQUENCE_FORGOTTEN');
    expect(bench.machine.session(id)).toMatchObject({ ackedThrough: most, answers: 0 });
  });

  it('requests far ahead of what is acknowledged are refused; every copy of them is', () => {
    const bench = new Bench({ sessionAnswersMax: 3 });
    const id = bench.openSession();
    for (let i = 1; i <= 3; i++) bench.apply(loop(`l${i}`), { session: session(id, i) });
    const early = { session: session(id, 4) };
    expect(bench.rejected(loop('x'), early)).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      details: { ackedThrough: '0', limit: '3', sequence: '4' },
    });
    // Another request makes room. A late copy of the refused one must not be carried out: its answer was definite.
    bench.done('loopCreated', loop('y'), { session: session(id, 5, 3) });
    expect(bench.rejected(loop('x'), early).reason).toBe('LIMIT_EXCEEDED');
    expect(bench.machine.session(id)?.answers).toBe(1);
    // The client asks again, having read its answers.
    bench.done('loopCreated', loop('x'), { session: session(id, 4, 3) });
  });

  it('answers are bounded however the client behaves', () => {
    const bench = new Bench({ sessionAnswersMax: 4 });
    const id = bench.openSession();
    for (let i = 0; i < 300; i++) {
      const sequence = 1 + ((i * 7) % 40);
      bench.apply(keep, { session: session(id, sequence, Math.max(0, sequence - 1 - (i % 6))) });
      expect(bench.machine.session(id)?.answers).toBeLessThanOrEqual(4);
    }
  });

  it('an unknown session is refused, whatever is asked', () => {
    const bench = new Bench();
    for (const body of [keep, close, loop('l'), beginBody('ANALYZE')]) {
      expect(bench.rejected(body, { session: session(77, 1) })).toMatchObject({
        reason: 'SESSION_EXPIRED',
        details: { session: '77' },
      });
    }
    expect(bench.machine.loop('l')).toBeNull();
  });

  it('closing removes every row of the session', () => {
    const bench = new Bench();
    bench.machine.takeChanges();
    const before = bench.machine.stateHash();
    const id = bench.openSession();
    bench.apply(keep, { session: session(id, 1) });
    bench.apply(advance, { session: session(id, 2) });
    const closed = bench.apply(close, { session: session(id, 3) });
    expect(doneValue(closed.result).kind).toBe('sessionClosed');
    expect(bench.machine.sessionCount()).toBe(0);
    expect(bench.machine.nextTimerMs()).toBeNull();
    expect(bench.rejected(close, { session: session(id, 3) }).reason).toBe('SESSION_EXPIRED');
    const left = new Bench();
    left.done('timeAdvanced', advance);
    expect(bench.machine.stateHash()).toBe(left.machine.stateHash());
    expect(before).not.toBe(left.machine.stateHash());
  });

  it('keeping and closing need no sequence', () => {
    const bench = new Bench();
    const id = bench.openSession();
    bench.done('sessionKept', keep, { session: session(id, 0) });
    bench.done('sessionKept', keep, { session: session(id, 0), timeMs: 1_030_000 });
    expect(bench.machine.session(id)).toMatchObject({ answers: 0, lastSeenMs: 1_030_000 });
    bench.done('sessionClosed', close, { session: session(id, 0) });
    expect(bench.rejected(loop('l'), { session: session(id, 0) }).reason).toBe('INVALID_ARGUMENT');
  });

  it('the number of sessions is bounded', () => {
    const bench = new Bench({ sessionsMax: 2 });
    const first = bench.openSession();
    bench.openSession();
    expect(bench.rejected(open(1_000))).toMatchObject({ reason: 'LIMIT_EXCEEDED', details: { limit: '2' } });
    bench.apply(close, { session: session(first, 1) });
    bench.openSession();
  });
});

describe('R7: time', () => {
  it('is the greatest of the stamps so far', () => {
    const bench = new Bench();
    const times = [5_000, 4_000, 6_000, 0, 6_000].map((timeMs) => {
      bench.apply(advance, { timeMs });
      return bench.machine.timeMs;
    });
    expect(times).toEqual([5_000, 5_000, 6_000, 6_000, 6_000]);
  });

  it('entries without a command change nothing', () => {
    const bench = new Bench();
    bench.openSession();
    bench.machine.takeChanges();
    const hash = bench.machine.stateHash();
    bench.term = 9;
    expect(bench.entry(null)).toEqual({ result: null, replayed: false, events: [] });
    expect(bench.machine.appliedIndex).toBe(2);
    expect(bench.machine.stateHash()).toBe(hash);
    expect(bench.changedRows()).toEqual([]);
  });

  it('a session ends its ttl after its last request, and not before', () => {
    const bench = new Bench();
    const id = bench.openSession(10_000);
    expect(bench.machine.nextTimerMs()).toBe(1_010_000);
    bench.apply(keep, { timeMs: 1_006_000, session: session(id, 1) });
    // The timer is where it was; when it is due it is set again.
    bench.apply(advance, { timeMs: 1_010_000 });
    expect(bench.machine.sessionCount()).toBe(1);
    expect(bench.machine.nextTimerMs()).toBe(1_016_000);
    bench.apply(advance, { timeMs: 1_015_999 });
    expect(bench.machine.sessionCount()).toBe(1);
    bench.apply(advance, { timeMs: 1_016_000 });
    expect(bench.machine.sessionCount()).toBe(0);
    expect(bench.machine.nextTimerMs()).toBeNull();
  });

  it.each([
    ['a repeated request', (id: SessionId) => session(id, 1)],
    ['a refused request', (id: SessionId) => session(id, 999)],
    ['a forgotten request', (id: SessionId) => session(id, 1, 1)],
  ])('%s renews the session', (_, again) => {
    const bench = new Bench();
    const id = bench.openSession(10_000);
    bench.apply(keep, { session: session(id, 1) });
    bench.apply(keep, { timeMs: 1_009_000, session: again(id) });
    expect(bench.machine.session(id)?.lastSeenMs).toBe(1_009_000);
    bench.apply(advance, { timeMs: 1_018_999 });
    expect(bench.machine.sessionCount()).toBe(1);
  });

  it('a request that comes when the session is due is too late: timers run first', () => {
    const bench = new Bench();
    const id = bench.openSession(10_000);
    expect(bench.rejected(keep, { timeMs: 1_010_000, session: session(id, 1) }).reason).toBe('SESSION_EXPIRED');
    expect(bench.machine.sessionCount()).toBe(0);
  });

  it('LK: a new leader gives sessions their full time again before any is expired', () => {
    const bench = new Bench();
    const id = bench.openSession(10_000);
    // The old leader was away for a minute; the first command of the new term comes long after the deadline.
    bench.entry(null);
    bench.done('sessionKept', keep, { term: 2, timeMs: 1_060_000, session: session(id, 1) });
    const other = new Bench();
    const kept = other.openSession(10_000);
    other.apply(advance, { term: 2, timeMs: 1_060_000 });
    expect(other.machine.session(kept)).not.toBeNull();
    expect(other.machine.nextTimerMs()).toBe(1_070_000);
    other.apply(advance, { timeMs: 1_069_999 });
    expect(other.machine.sessionCount()).toBe(1);
    other.apply(advance, { timeMs: 1_070_000 });
    expect(other.machine.sessionCount()).toBe(0);
  });

  it('a term begins with its first command, not with its no-op, and once', () => {
    const bench = new Bench();
    bench.openSession(10_000);
    bench.term = 2;
    bench.entry(null);
    bench.apply(advance, { timeMs: 1_005_000 });
    bench.apply(advance, { timeMs: 1_014_999 });
    expect(bench.machine.sessionCount()).toBe(1);
    bench.apply(advance, { timeMs: 1_015_000 });
    expect(bench.machine.sessionCount()).toBe(0);
  });

  it('the work of one apply is bounded; the rest comes with the next, and nextTimerMs asks for it', () => {
    const bench = new Bench({ timerRowsPerApplyMax: 4 });
    for (let i = 0; i < 10; i++) bench.openSession(1_000);
    const left: number[] = [];
    while (bench.machine.nextTimerMs() !== null) {
      bench.apply(advance, { timeMs: 1_001_000 });
      left.push(bench.machine.sessionCount());
    }
    expect(left).toEqual([6, 2, 0]);
  });

  it('a session that is due and not yet removed is still there for its client', () => {
    const bench = new Bench({ timerRowsPerApplyMax: 1 });
    const [first, second] = [bench.openSession(1_000), bench.openSession(1_000)];
    bench.done('sessionKept', keep, { timeMs: 1_001_000, session: session(second, 1) });
    expect([first, second].map((id) => bench.machine.session(id) !== null)).toEqual([false, true]);
    bench.apply(advance, { timeMs: 1_001_001 });
    expect(bench.machine.session(second)).not.toBeNull();
    expect(bench.machine.nextTimerMs()).toBe(1_002_000);
  });
});
