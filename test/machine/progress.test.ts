import { describe, expect, it } from 'vitest';
import { clusterTimeMs } from '../../src/types/ids.ts';
import { SUB_STEPS_KNOWN_LENGTH_MAX } from '../../src/types/limits.ts';
import { abortBody, Bench, progressBody } from './kit.ts';

function withLoop(): Bench {
  const bench = new Bench();
  bench.createLoop();
  return bench;
}

/** Kinds of the last events, with what tells them apart. */
const last = (bench: Bench, count: number): string[] =>
  bench.events.slice(-count).map((e) => [e.kind, e.g, e.phase, e.attempt || '', e.outcome].filter(Boolean).join(' '));

describe('P5: progress', () => {
  it('is recorded; zero and empty values leave what is there', () => {
    const bench = withLoop();
    const { token } = bench.begin('ANALYZE');
    bench.apply(progressBody('ANALYZE', token, { completed: 3, total: 10, note: 'n', checkpoint: 'c' }), {
      timeMs: 1_002_000,
    });
    const recorded = { completed: 3, total: 10, note: 'n', checkpoint: 'c' };
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ ...recorded, progressAtMs: 1_002_000 });
    expect(last(bench, 1)).toEqual(['phase_transition.progress 1 ANALYZE 1']);
    bench.apply(progressBody('ANALYZE', token), { timeMs: 1_003_000 });
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ ...recorded, progressAtMs: 1_003_000 });
    bench.apply(progressBody('ANALYZE', token, { completed: 0, total: 4, checkpoint: '' }));
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({
      completed: 0,
      total: 4,
      note: 'n',
      checkpoint: '',
    });
  });

  it('the first result of a sub-step stands, in later reports, within one report, and in later attempts', () => {
    const bench = withLoop();
    const first = bench.begin('ANALYZE');
    const report = (token: number, ...subSteps: { id: string; result: string }[]) =>
      bench.done('progressReported', progressBody('ANALYZE', token, { subSteps }));
    expect(
      report(first.token, { id: 'x', result: '1' }, { id: 'y', result: '2' }, { id: 'x', result: '3' }),
    ).toMatchObject({
      subStepsRecorded: 2,
      subStepsKnown: ['x'],
    });
    const second = bench.begin('ANALYZE', { supersede: 1 });
    expect(second.subStepsDone).toBe(2);
    expect(report(second.token, { id: 'y', result: '4' }, { id: 'z', result: '5' })).toMatchObject({
      subStepsRecorded: 1,
      subStepsKnown: ['y'],
    });
    expect(bench.machine.subSteps('loop', 1, 'ANALYZE', null, 10)).toEqual({
      rows: [
        { id: 'x', result: '1', attempt: 1, recordedRevision: 3 },
        { id: 'y', result: '2', attempt: 1, recordedRevision: 3 },
        { id: 'z', result: '5', attempt: 2, recordedRevision: 5 },
      ],
      next: null,
    });
  });

  it('the answer names known sub-steps up to a length: sessions remember it', () => {
    const bench = withLoop();
    const { token } = bench.begin('ANALYZE');
    const ids = Array.from({ length: 500 }, (_, i) => String(i).padStart(900, 'k'));
    const body = progressBody('ANALYZE', token, { subSteps: ids.map((id) => ({ id, result: '' })) });
    expect(bench.done('progressReported', body)).toMatchObject({ subStepsRecorded: 500, subStepsKnown: [] });
    const fit = Math.floor(SUB_STEPS_KNOWN_LENGTH_MAX / 900);
    const known = { subStepsRecorded: 0, subStepsKnown: ids.slice(0, fit) };
    expect(bench.done('progressReported', body)).toMatchObject(known);
    // The list is a prefix: a short id does not slip in behind one that did not fit.
    const mixed = [...ids.slice(0, fit + 1), 's'].map((id) => ({ id, result: '' }));
    bench.done('progressReported', progressBody('ANALYZE', token, { subSteps: [{ id: 's', result: '' }] }));
    const answer = bench.done('progressReported', progressBody('ANALYZE', token, { subSteps: mixed }));
    expect(answer.subStepsKnown).toEqual(ids.slice(0, fit));
  });

  it('a later attempt gets the checkpoint, after an abort and after being superseded', () => {
    const bench = withLoop();
    const first = bench.begin('ANALYZE');
    bench.apply(progressBody('ANALYZE', first.token, { checkpoint: 'at 7' }));
    expect(bench.begin('ANALYZE', { supersede: 1 }).checkpoint).toBe('at 7');
    const { token } = bench.begin('ANALYZE', { supersede: 2 });
    bench.apply(abortBody('ANALYZE', token, false));
    expect(bench.begin('ANALYZE').checkpoint).toBe('at 7');
  });

  it('sub-steps are bounded, all or nothing', () => {
    const bench = new Bench({ subStepsMax: 3 });
    bench.createLoop();
    const { token } = bench.begin('ANALYZE');
    const steps = (...ids: string[]) => ({ subSteps: ids.map((id) => ({ id, result: '' })), checkpoint: ids.join() });
    bench.done('progressReported', progressBody('ANALYZE', token, steps('a', 'b')));
    const refused = bench.rejected(progressBody('ANALYZE', token, steps('c', 'd')));
    expect(refused).toMatchObject({ reason: 'LIMIT_EXCEEDED', details: { limit: '3', subStepsDone: '2' } });
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({ subStepsDone: 2, checkpoint: 'a,b' });
    bench.done('progressReported', progressBody('ANALYZE', token, steps('a', 'b', 'c', 'c')));
    expect(bench.machine.run('loop', 1, 'ANALYZE')?.subStepsDone).toBe(3);
  });

  it('sub-steps are listed in pages, in code-unit order, whatever their ids hold', () => {
    const bench = withLoop();
    const { token } = bench.begin('ANALYZE');
    const ids = ['a', 'a!', 'a b', ' ', '!', '\u0000', 'é', '\uffff', '😀', 'a/b'];
    bench.apply(progressBody('ANALYZE', token, { subSteps: ids.map((id) => ({ id, result: id })) }));
    const expected = [...ids].sort();
    for (const size of [1, 3, 10, 11]) {
      const seen: string[] = [];
      let from: string | null = null;
      do {
        const page = bench.machine.subSteps('loop', 1, 'ANALYZE', from, size);
        expect(page.rows.length).toBeLessThanOrEqual(size);
        seen.push(...page.rows.map(({ id }) => id));
        from = page.next;
      } while (from !== null);
      expect(seen).toEqual(expected);
    }
    expect(bench.machine.subSteps('loop', 1, 'BLUEPRINT', null, 10).rows).toEqual([]);
  });

  it('commit keeps the result', () => {
    const bench = withLoop();
    const { token } = bench.begin('ANALYZE');
    bench.commit('ANALYZE', token, 1, 'loop', { timeMs: 1_009_000 });
    expect(bench.machine.run('loop', 1, 'ANALYZE')).toMatchObject({
      state: 'CLEAN_EXIT',
      result: 'done',
      finishedAtMs: clusterTimeMs(1_009_000),
      changedRevision: 3,
    });
  });
});
