import { describe, expect, it } from 'vitest';
import type { CommandBody } from '../../src/machine/types.ts';
import { must } from '../../src/types/assert.ts';
import { abortBody, Bench, beginBody, commitBody, progressBody, ref } from './kit.ts';

const PLAN = ['ANALYZE', 'BLUEPRINT', 'CONSTRUCT', 'VALIDATE', 'IDLE'];

function withLoop(): Bench {
  const bench = new Bench();
  bench.createLoop();
  return bench;
}

/** Kinds of the last events, with what tells them apart. */
const last = (bench: Bench, count: number): string[] =>
  bench.events.slice(-count).map((e) => [e.kind, e.g, e.phase, e.attempt || '', e.outcome].filter(Boolean).join(' '));

describe('P1: plans', () => {
  it('the default plan is there from the start', () => {
    const { machine } = new Bench();
    expect(machine.plan('default')?.phases).toEqual([
      { name: 'ANALYZE', priorMs: 15_000, slaMs: 0 },
      { name: 'BLUEPRINT', priorMs: 20_000, slaMs: 0 },
      { name: 'CONSTRUCT', priorMs: 120_000, slaMs: 0 },
      { name: 'VALIDATE', priorMs: 30_000, slaMs: 0 },
      { name: 'IDLE', priorMs: 10_000, slaMs: 0 },
    ]);
  });

  it('a plan is registered once; the same again is fine, another one of the name is not', () => {
    const bench = new Bench();
    bench.registerPlan('p', 'A', 'B');
    bench.registerPlan('p', 'A', 'B');
    const phase = (name: string, priorMs: number, slaMs: number) => ({ name, priorMs, slaMs });
    const others = [
      [phase('B', 1_000, 0), phase('A', 1_000, 0)],
      [phase('A', 1_000, 0)],
      [phase('A', 1_000, 0), phase('B', 1_001, 0)],
      [phase('A', 1_000, 5), phase('B', 1_000, 0)],
    ];
    for (const phases of others) {
      expect(bench.rejected({ kind: 'registerPlan', plan: 'p', phases }).reason).toBe('PLAN_EXISTS');
    }
    expect(bench.machine.plan('p')?.createdRevision).toBe(1);
    expect(bench.machine.plans(null, 10).rows.map(({ plan }) => plan)).toEqual(['default', 'p']);
  });

  it('the order in which fields of a phase were set makes no difference', () => {
    const bench = new Bench();
    bench.registerPlan('p', 'A');
    const phases = [{ slaMs: 0, priorMs: 1_000, name: 'A' }];
    bench.done('planRegistered', { kind: 'registerPlan', plan: 'p', phases });
  });

  it('a loop names a plan that exists; a loop exists once', () => {
    const bench = new Bench();
    const create = (loop: string, plan: string): CommandBody => ({ kind: 'createLoop', loop, plan });
    expect(bench.rejected(create('l', 'p'))).toMatchObject({ reason: 'PLAN_NOT_FOUND', details: { plan: 'p' } });
    bench.registerPlan('p', 'ONLY');
    bench.createLoop('l', 'p');
    expect(bench.rejected(create('l', ''))).toMatchObject({ reason: 'LOOP_EXISTS', details: { loop: 'l', plan: 'p' } });
    expect(bench.machine.runs('l', 1).map(({ phase, state }) => [phase, state])).toEqual([['ONLY', 'PENDING']]);
  });

  it('bounds: plans and loops', () => {
    const bench = new Bench({ plansMax: 2, loopsMax: 1 });
    bench.registerPlan('p', 'A');
    const another: CommandBody = { kind: 'registerPlan', plan: 'q', phases: [{ name: 'A', priorMs: 1, slaMs: 0 }] };
    expect(bench.rejected(another)).toMatchObject({ reason: 'LIMIT_EXCEEDED', details: { limit: '2' } });
    bench.registerPlan('p', 'A');
    bench.createLoop();
    expect(bench.rejected({ kind: 'createLoop', loop: 'm', plan: '' }).reason).toBe('LIMIT_EXCEEDED');
  });

  it('a new loop is in round 1 with all phases pending, and says so', () => {
    const bench = withLoop();
    expect(bench.machine.loop('loop')).toEqual({
      loop: 'loop',
      plan: 'default',
      g: 1,
      createdRevision: 1,
      changedRevision: 1,
      createdAtMs: 1_000_000,
      vectorClock: [['agent', 1]],
    });
    expect(bench.machine.runs('loop', 1).map(({ phase, position, state }) => [phase, position, state])).toEqual(
      PLAN.map((phase, position) => [phase, position, 'PENDING']),
    );
    expect(last(bench, 2)).toEqual(['loop.created 1', 'phase_ready 1']);
  });
});

describe('P2: beginPhase', () => {
  it('gives an attempt whose token is the index of its entry', () => {
    const bench = withLoop();
    const begun = bench.begin('ANALYZE', { caller: 'a1', traceId: 't1', timeMs: 1_000_500 });
    expect(begun).toEqual({
      kind: 'phaseBegun',
      attempt: 1,
      token: 2,
      subStepsDone: 0,
      checkpoint: '',
      vectorClock: [
        ['a1', 1],
        ['agent', 1],
      ],
    });
    const started = { state: 'RUNNING', attempt: 1, token: 2, caller: 'a1', traceId: 't1', startedAtMs: 1_000_500 };
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ ...started, finishedAtMs: 0, changedRevision: 2 });
    expect(bench.machine.attempts('loop', 1, 'ANALYZE')).toEqual([
      { loop: 'loop', g: 1, phase: 'ANALYZE', ...started, finishedAtMs: 0 },
    ]);
    expect(bench.events.at(-1)).toEqual({
      revision: 2,
      ordinal: 0,
      timeMs: 1_000_500,
      kind: 'phase_transition.started',
      loop: 'loop',
      g: 1,
      phase: 'ANALYZE',
      attempt: 1,
      token: 2,
      caller: 'a1',
      traceId: 't1',
      outcome: '',
      vectorClock: begun.vectorClock,
    });
  });

  it('refuses in a fixed order, each with its reason and details', () => {
    const bench = withLoop();
    const refused = (phase: string, more: Parameters<typeof beginBody>[1] = {}) =>
      bench.rejected(beginBody(phase, more));
    expect(refused('ANALYZE', { loop: 'none', g: 9 })).toMatchObject({
      reason: 'LOOP_NOT_FOUND',
      details: { loop: 'none' },
    });
    expect(refused('NOPE', { g: 9 })).toMatchObject({
      reason: 'PHASE_UNKNOWN',
      details: { phase: 'NOPE', plan: 'default' },
    });
    expect(refused('VALIDATE', { g: 2, supersede: 3 })).toMatchObject({
      reason: 'BARRIER_CLOSED',
      details: { g: '2', openG: '1', openPhase: 'ANALYZE', openPhaseState: 'PENDING' },
    });
    const { token } = bench.begin('ANALYZE', { caller: 'a1' });
    expect(refused('CONSTRUCT', { supersede: 7 })).toMatchObject({
      reason: 'PHASE_OUT_OF_ORDER',
      details: { openPhase: 'ANALYZE', openPhaseState: 'RUNNING', phase: 'CONSTRUCT' },
    });
    expect(refused('ANALYZE')).toMatchObject({
      reason: 'PHASE_RUNNING',
      details: { attempt: '1', caller: 'a1', sinceMs: '1000000' },
    });
    expect(refused('ANALYZE', { supersede: 2 })).toMatchObject({
      reason: 'ATTEMPT_MISMATCH',
      details: { attempt: '1', state: 'RUNNING', supersedeAttempt: '2' },
    });
    bench.commit('ANALYZE', token);
    expect(refused('ANALYZE', { supersede: 1 })).toMatchObject({
      reason: 'PHASE_FINAL',
      details: { state: 'CLEAN_EXIT' },
    });
    expect(refused('BLUEPRINT', { supersede: 1 })).toMatchObject({
      reason: 'ATTEMPT_MISMATCH',
      details: { attempt: '0', state: 'PENDING', supersedeAttempt: '1' },
    });
  });

  it('a rejection changes no row and has no event', () => {
    const bench = withLoop();
    bench.machine.takeChanges();
    const { events } = bench.apply(beginBody('CONSTRUCT'));
    expect(events).toEqual([]);
    expect(bench.changedRows()).toEqual([]);
  });

  it('superseding ends the attempt before and takes its token away', () => {
    const bench = withLoop();
    const first = bench.begin('ANALYZE', { caller: 'a1' });
    const second = bench.begin('ANALYZE', { caller: 'a2', supersede: 1, timeMs: 1_000_700 });
    expect(second).toMatchObject({ attempt: 2, token: 3 });
    expect(last(bench, 2)).toEqual([
      'phase_transition.finished 1 ANALYZE 1 SUPERSEDED',
      'phase_transition.started 1 ANALYZE 2',
    ]);
    expect(bench.events.slice(-2).map(({ revision, ordinal, token }) => [revision, ordinal, token])).toEqual([
      [3, 0, first.token],
      [3, 1, second.token],
    ]);
    const attempts = bench.machine.attempts('loop', 1, 'ANALYZE');
    expect(attempts.map(({ attempt, state, caller, finishedAtMs }) => [attempt, state, caller, finishedAtMs])).toEqual([
      [1, 'SUPERSEDED', 'a1', 1_000_700],
      [2, 'RUNNING', 'a2', 0],
    ]);
    for (const body of [
      progressBody('ANALYZE', first.token),
      commitBody('ANALYZE', first.token),
      abortBody('ANALYZE', first.token, true),
    ]) {
      const rejection = bench.rejected(body);
      expect(rejection).toMatchObject({ reason: 'STALE_FENCE', details: { currentAttempt: '2' } });
      expect(JSON.stringify(rejection)).not.toMatch(new RegExp(`\\b${second.token}\\b`));
    }
    bench.commit('ANALYZE', second.token);
    expect(bench.rejected(commitBody('ANALYZE', first.token)).reason).toBe('STALE_FENCE');
    expect(bench.rejected(commitBody('ANALYZE', second.token)).reason).toBe('PHASE_FINAL');
  });

  it('an aborted run may be begun again, and only by a new attempt', () => {
    const bench = withLoop();
    const first = bench.begin('ANALYZE');
    bench.done('phaseAborted', abortBody('ANALYZE', first.token, false));
    expect(last(bench, 1)).toEqual(['phase_transition.finished 1 ANALYZE 1 ABORTED']);
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ state: 'ABORTED', abortReason: 'why' });
    expect(bench.rejected(commitBody('ANALYZE', first.token))).toMatchObject({
      reason: 'PHASE_NOT_RUNNING',
      details: { attempt: '1', state: 'ABORTED' },
    });
    expect(bench.rejected(beginBody('BLUEPRINT')).reason).toBe('PHASE_OUT_OF_ORDER');
    expect(bench.rejected(beginBody('ANALYZE', { supersede: 1 })).reason).toBe('ATTEMPT_MISMATCH');
    const second = bench.begin('ANALYZE');
    expect(second.attempt).toBe(2);
    expect(last(bench, 1)).toEqual(['phase_transition.started 1 ANALYZE 2']);
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({
      state: 'RUNNING',
      abortReason: '',
      finishedAtMs: 0,
    });
  });

  it('a token of the future is as stale as one of the past', () => {
    const bench = withLoop();
    const { token } = bench.begin('ANALYZE');
    expect(bench.rejected(commitBody('ANALYZE', token + 1)).reason).toBe('STALE_FENCE');
    expect(bench.rejected(commitBody('BLUEPRINT', token)).reason).toBe('STALE_FENCE');
  });

  it('keeps a bounded number of attempts', () => {
    const bench = new Bench({ attemptsKept: 3 });
    bench.createLoop();
    bench.begin('ANALYZE');
    for (let i = 1; i <= 6; i++) bench.begin('ANALYZE', { supersede: i });
    const attempts = bench.machine.attempts('loop', 1, 'ANALYZE');
    expect(attempts.map(({ attempt, state }) => [attempt, state])).toEqual([
      [5, 'SUPERSEDED'],
      [6, 'SUPERSEDED'],
      [7, 'RUNNING'],
    ]);
  });
});

describe('P3: the barrier', () => {
  it('g rises by one when the last phase is final, and only then', () => {
    const bench = withLoop();
    PLAN.forEach((phase, position) => {
      const { token } = bench.begin(phase);
      expect(bench.rejected(beginBody('ANALYZE', { g: 2 })).reason).toBe('BARRIER_CLOSED');
      const { g, nextG } = bench.commit(phase, token);
      expect([g, nextG]).toEqual([1, position === PLAN.length - 1 ? 2 : 1]);
    });
    expect(bench.machine.loop('loop')?.g).toBe(2);
    expect(last(bench, 2)).toEqual(['phase_transition.finished 1 IDLE 1 CLEAN_EXIT', 'phase_ready 2']);
    expect(bench.machine.runs('loop', 2).map(({ state }) => state)).toEqual(PLAN.map(() => 'PENDING'));
    expect(bench.rejected(beginBody('IDLE', { g: 1 }))).toMatchObject({
      reason: 'ROUND_CLOSED',
      details: { g: '1', openG: '2' },
    });
    bench.begin('ANALYZE', { g: 2 });
  });

  it('a phase that failed for good opens it as well, one that was aborted does not', () => {
    const bench = new Bench();
    bench.registerPlan('two', 'A', 'B');
    bench.createLoop('loop', 'two');
    const a = bench.begin('A');
    expect(bench.done('phaseAborted', abortBody('A', a.token, true)).nextG).toBe(1);
    expect(bench.machine.run('loop', 1, 'A')).toMatchObject({ state: 'HARD_FAILED', abortReason: 'why' });
    const b = bench.begin('B');
    expect(bench.done('phaseAborted', abortBody('B', b.token, false)).nextG).toBe(1);
    expect(bench.rejected(beginBody('A', { g: 2 }))).toMatchObject({
      reason: 'BARRIER_CLOSED',
      details: { openPhase: 'B', openPhaseState: 'ABORTED' },
    });
    const again = bench.begin('B');
    expect(bench.done('phaseAborted', abortBody('B', again.token, true)).nextG).toBe(2);
    expect(last(bench, 2)).toEqual(['phase_transition.finished 1 B 2 HARD_FAILED', 'phase_ready 2']);
  });

  it('a closed round answers by its runs: final, whatever is tried', () => {
    const bench = new Bench();
    bench.registerPlan('one', 'A');
    bench.createLoop('loop', 'one');
    const { token } = bench.begin('A');
    bench.commit('A', token);
    expect(bench.rejected(commitBody('A', token)).reason).toBe('PHASE_FINAL');
    expect(bench.rejected(progressBody('A', token)).reason).toBe('PHASE_FINAL');
    expect(bench.rejected(commitBody('A', token, 2)).reason).toBe('STALE_FENCE');
    expect(bench.rejected(commitBody('A', token, 3)).reason).toBe('BARRIER_CLOSED');
  });

  it('loops do not see one another, names that begin alike included', () => {
    const bench = new Bench();
    for (const loop of ['a', 'a/b', 'a-', 'a0']) bench.createLoop(loop);
    bench.round('a');
    expect(['a', 'a/b', 'a-', 'a0'].map((loop) => bench.machine.loop(loop)?.g)).toEqual([2, 1, 1, 1]);
    expect(bench.machine.runs('a', 1)).toHaveLength(5);
  });
});

describe('closed rounds', () => {
  it('are kept up to a number; older ones are out of sight at once and gone in bounded steps', () => {
    const bench = new Bench({ roundsKept: 2, timerRowsPerApplyMax: 10 });
    bench.registerPlan('one', 'A');
    bench.createLoop('loop', 'one');
    const { token } = bench.begin('A');
    const subSteps = Array.from({ length: 35 }, (_, i) => ({ id: `s${i}`, result: 'r' }));
    bench.done('progressReported', progressBody('A', token, { subSteps, checkpoint: 'here' }));
    bench.commit('A', token);
    bench.round();
    expect(bench.machine.runs('loop', 1)).toHaveLength(1);
    expect(bench.machine.nextTimerMs()).toBeNull();
    bench.round();
    expect(bench.machine.loop('loop')?.g).toBe(4);
    expect(bench.machine.runs('loop', 1)).toEqual([]);
    expect(bench.machine.run('loop', 1, 'A')).toBeNull();
    expect(bench.machine.attempts('loop', 1, 'A')).toEqual([]);
    expect(bench.machine.subSteps('loop', 1, 'A', null, 10)).toEqual({ rows: [], next: null });
    expect(bench.rejected(commitBody('A', token)).reason).toBe('ROUND_CLOSED');
    expect([2, 3].map((g) => bench.machine.runs('loop', g).length)).toEqual([1, 1]);
    // 37 rows, ten in each apply; the rejected command above was the first.
    bench.machine.takeChanges();
    const gone: number[] = [];
    while (bench.machine.nextTimerMs() !== null) {
      expect(must(bench.machine.nextTimerMs(), 'due')).toBeLessThanOrEqual(bench.machine.timeMs);
      bench.done('timeAdvanced', { kind: 'advanceTime' });
      gone.push(bench.machine.takeChanges().filter(({ value, table }) => value === null && table !== 'timer').length);
    }
    expect(gone).toEqual([10, 10, 7]);
  });

  it('dropping ends also when the rows are a multiple of the bound', () => {
    const bench = new Bench({ roundsKept: 0, timerRowsPerApplyMax: 2 });
    bench.registerPlan('one', 'A');
    bench.createLoop('loop', 'one');
    const { token } = bench.begin('A');
    bench.done('progressReported', progressBody('A', token, { checkpoint: 'here' }));
    bench.commit('A', token);
    bench.done('timeAdvanced', { kind: 'advanceTime' });
    expect(bench.machine.nextTimerMs()).not.toBeNull();
    bench.done('timeAdvanced', { kind: 'advanceTime' });
    expect(bench.machine.nextTimerMs()).toBeNull();
  });
});

describe('listings', () => {
  it('loops come in pages in code-unit order', () => {
    const bench = new Bench();
    const names = ['b', 'a', 'a/1', 'a-1', 'B', 'a.1', '_'];
    for (const name of names) bench.createLoop(name);
    const first = bench.machine.loops(null, 3);
    const second = bench.machine.loops(first.next, 3);
    const third = bench.machine.loops(second.next, 3);
    expect([first, second, third].map(({ rows }) => rows.length)).toEqual([3, 3, 1]);
    expect(third.next).toBeNull();
    expect([first, second, third].flatMap(({ rows }) => rows.map(({ loop }) => loop))).toEqual([...names].sort());
    expect(bench.machine.loops(null, 7).next).toBeNull();
  });

  it('what does not exist is null or empty', () => {
    const { machine } = withLoop();
    expect(machine.loop('none')).toBeNull();
    expect(machine.plan('none')).toBeNull();
    expect(machine.runs('none', 1)).toEqual([]);
    expect(machine.run('loop', 2, 'ANALYZE')).toBeNull();
    expect(machine.run('loop', 1, 'NOPE')).toBeNull();
    for (const g of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
      expect(machine.runs('loop', g)).toEqual([]);
      expect(machine.run('loop', g, 'ANALYZE')).toBeNull();
    }
    expect(machine.attempts('loop', 1, ref('ANALYZE').phase)).toEqual([]);
  });
});
