import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runKey } from '../../src/machine/keys.ts';
import { amountText } from '../../src/machine/ledger/cost.ts';
import { openEffects } from '../../src/machine/ledger/effects.ts';
import { confirmBody, intentBody, Level3, type Writer, withdrawBody } from './document-kit.ts';
import { Bench, ref } from './kit.ts';

const RUN = runKey('loop', 1, 0);

function started(): { readonly bench: Level3; readonly by: Writer } {
  const bench = new Level3();
  return { bench, by: bench.start('ANALYZE') };
}

const issues = (bench: Bench) => bench.events.filter(({ kind }) => kind === 'issue.opened').map((e) => e.outcome);
const alerts = (bench: Bench) => bench.events.filter(({ kind }) => kind === 'alert.raised').map((e) => e.outcome);

describe('the ledger (L1)', () => {
  it('an intent comes before the effect, its confirmation after', () => {
    const { bench, by } = started();
    expect(bench.done('intentRecorded', intentBody('vm-1', by))).toEqual({
      kind: 'intentRecorded',
      seq: 1,
      fresh: true,
      state: 'INTENT',
      result: '',
      refusal: '',
      refusalDetail: '',
    });
    expect(bench.done('effectConfirmed', confirmBody('vm-1', by, 'i-123')).seq).toBe(1);
    expect(bench.machine.rows.effect.get(`${RUN} 0000000000000001`)).toMatchObject({
      state: 'CONFIRMED',
      result: 'i-123',
      attempt: 1,
      compensator: { kind: 'http', target: 'http://127.0.0.1:9/undo', payload: 'vm-1' },
    });
    const told = bench.events.filter(({ kind }) => kind.startsWith('effect.'));
    expect(told.map(({ kind, outcome }) => `${kind} ${outcome}`)).toEqual([
      'effect.intent 1 vm-1',
      'effect.confirmed 1 vm-1',
    ]);
  });

  it('the same key never runs twice, whichever attempt or phase asks', () => {
    const { bench, by } = started();
    bench.done('intentRecorded', intentBody('vm-1', by));
    expect(bench.done('intentRecorded', intentBody('vm-1', by))).toMatchObject({
      fresh: false,
      state: 'INTENT',
      seq: 1,
    });
    bench.done('effectConfirmed', confirmBody('vm-1', by, 'i-123'));
    const next = bench.start('ANALYZE', 1);
    const again = { fresh: false, state: 'CONFIRMED', result: 'i-123', seq: 1 };
    expect(bench.done('intentRecorded', intentBody('vm-1', next))).toMatchObject(again);
    bench.commit('ANALYZE', next.token);
    const later = bench.start('BLUEPRINT');
    expect(bench.done('intentRecorded', intentBody('vm-1', later))).toMatchObject(again);
    // It is no effect of this phase: nothing to confirm here.
    expect(bench.rejected(confirmBody('vm-1', later)).reason).toBe('EFFECT_NOT_FOUND');
    expect(bench.done('intentRecorded', intentBody('vm-2', later)).seq).toBe(1);
  });

  it('a key with another meaning, or that is over, is refused', () => {
    const { bench, by } = started();
    bench.done('intentRecorded', intentBody('vm-1', by));
    expect(bench.rejected(intentBody('vm-1', by, { description: 'other' })).reason).toBe('EFFECT_EXISTS');
    const compensator = { kind: 'worker', target: 'undo', payload: '' } as const;
    expect(bench.rejected(intentBody('vm-1', by, { compensator })).reason).toBe('EFFECT_EXISTS');
    bench.done('effectWithdrawn', withdrawBody('vm-1', by));
    expect(bench.done('effectWithdrawn', withdrawBody('vm-1', by)).seq).toBe(1);
    expect(bench.rejected(intentBody('vm-1', by))).toMatchObject({
      reason: 'EFFECT_SETTLED',
      details: { key: 'vm-1', seq: '1', state: 'WITHDRAWN' },
    });
    expect(bench.rejected(confirmBody('vm-1', by)).reason).toBe('EFFECT_SETTLED');
    expect(bench.rejected(confirmBody('none', by)).reason).toBe('EFFECT_NOT_FOUND');
  });

  it('what is confirmed stays so, and may be said twice', () => {
    const { bench, by } = started();
    bench.done('intentRecorded', intentBody('vm-1', by));
    bench.done('effectConfirmed', confirmBody('vm-1', by, 'a'));
    expect(bench.done('effectConfirmed', confirmBody('vm-1', by, 'a')).seq).toBe(1);
    expect(bench.rejected(confirmBody('vm-1', by, 'b')).reason).toBe('EFFECT_SETTLED');
    expect(bench.rejected(withdrawBody('vm-1', by)).reason).toBe('EFFECT_SETTLED');
  });

  it('only the newest attempt speaks, and only while it runs', () => {
    const { bench, by } = started();
    bench.done('intentRecorded', intentBody('vm-1', by));
    const next = bench.start('ANALYZE', 1);
    for (const body of [intentBody('vm-2', by), confirmBody('vm-1', by), withdrawBody('vm-1', by)]) {
      expect(bench.rejected(body).reason).toBe('STALE_FENCE');
    }
    expect(bench.done('effectConfirmed', confirmBody('vm-1', next)).seq).toBe(1);
    bench.commit('ANALYZE', next.token);
    expect(bench.rejected(intentBody('vm-3', next)).reason).toBe('PHASE_FINAL');
  });

  it('numbers have no holes, over all attempts', () => {
    const { bench, by } = started();
    for (let i = 1; i <= 70; i++) expect(bench.done('intentRecorded', intentBody(`e-${i}`, by)).seq).toBe(i);
    const next = bench.start('ANALYZE', 1);
    expect(bench.done('intentRecorded', intentBody('e-71', next)).seq).toBe(71);
    bench.done('effectWithdrawn', withdrawBody('e-3', next));
    expect(openEffects(bench.machine.rows, RUN).map(({ seq }) => seq)).toHaveLength(70);
  });

  it('refuses what is malformed, and at a lower feature level everything', () => {
    const { bench, by } = started();
    const bad = (more: Parameters<typeof intentBody>[2]) => bench.rejected(intentBody('k', by, more)).details.field;
    expect(bad({ key: '' })).toBe('key');
    expect(bad({ compensator: { kind: 'http', target: 'ftp://x', payload: '' } })).toBe('compensator.target');
    expect(bad({ compensator: { kind: 'grpc', target: 'nohost', payload: '' } })).toBe('compensator.target');
    expect(bad({ compensator: { kind: 'worker', target: 'a b', payload: '' } })).toBe('compensator.target');
    expect(bad({ compensator: { kind: 'mail' as never, target: 'x', payload: '' } })).toBe('compensator.kind');
    expect(bad({ costMicros: '1.5' })).toBe('costMicros');
    expect(bad({ costMicros: '-1' })).toBe('costMicros');
    expect(bad({ limitMicros: '' })).toBe('limitMicros');
    expect(bad({ costMicros: '9'.repeat(31) })).toBe('costMicros');
    expect(bad({ resource: 'vm' })).toBe('operation');
    expect(bad({ operation: 'create' })).toBe('operation');
    expect(bad({ operation: 'grow' as never })).toBe('operation');
    const old = new Bench();
    old.createLoop();
    const begun = old.begin('ANALYZE');
    expect(old.rejected(intentBody('k', { phase: 'ANALYZE', token: begun.token })).reason).toBe(
      'FEATURE_LEVEL_TOO_LOW',
    );
  });

  it('goes with its round, keys and spending too', () => {
    const bench = new Level3();
    for (let round = 0; round < 12; round++) {
      const g = bench.machine.loop('loop')?.g ?? 0;
      for (const phase of ['ANALYZE', 'BLUEPRINT', 'CONSTRUCT', 'VALIDATE', 'IDLE']) {
        const begun = bench.begin(phase, { g, traceId: `t-${g}` });
        const by = { phase, token: begun.token, g };
        bench.done('intentRecorded', intentBody(`${phase}-${g}`, by, { costMicros: '1' }));
        bench.done('effectConfirmed', confirmBody(`${phase}-${g}`, by));
        bench.commit(phase, begun.token, g);
      }
    }
    // A due timer does it with the next command.
    bench.done('timeAdvanced', { kind: 'advanceTime' });
    const { effect, effectKey, spending } = bench.machine.rows;
    expect(effect.size).toBe(8 * 5);
    expect(effectKey.size).toBe(8 * 5);
    expect(spending.range('', '\u007f', 100).map(([key]) => key)).toEqual(
      ['t-10', 't-11', 't-12', 't-5', 't-6', 't-7', 't-8', 't-9'].map((trace) => `trace ${trace}`),
    );
  });
});

describe('the spending of attempts', () => {
  it('goes with the round also where each attempt had a trace of its own, and none of them spent anything', () => {
    const bench = new Level3({ attemptsKept: 2 });
    const first = { costMicros: '2', limitMicros: '1' };
    let supersede = 0;
    for (const traceId of ['t-1', 't-2', 't-3', 't-4']) {
      const { token, attempt } = bench.begin('ANALYZE', { traceId, supersede });
      supersede = attempt;
      const { refusal } = bench.done('intentRecorded', intentBody(traceId, { phase: 'ANALYZE', token }, first));
      expect(refusal).toBe('COST_CAP_EXCEEDED');
    }
    const traces = () => bench.machine.rows.spending.range('', '\u007f', 100).map(([key]) => key);
    // The oldest attempts are not on record any more, and so neither is what nobody spent in them.
    expect(traces()).toEqual(['trace t-3', 'trace t-4']);
    bench.commit('ANALYZE', bench.machine.run('loop', 1, 'ANALYZE')?.token ?? 0);
    for (const phase of ['BLUEPRINT', 'CONSTRUCT', 'VALIDATE', 'IDLE']) bench.commit(phase, bench.begin(phase).token);
    for (let round = 0; round < 9; round++) bench.round();
    bench.done('timeAdvanced', { kind: 'advanceTime' });
    expect(traces()).toEqual([]);
  });
});

describe('the cost breaker (L4)', () => {
  const cost = (units: number, limit = 500) => ({
    costMicros: String(units * 1_000_000),
    limitMicros: String(limit * 1_000_000),
  });
  const intend = (bench: Level3, by: Writer, key: string, more: Parameters<typeof intentBody>[2]) =>
    bench.done('intentRecorded', intentBody(key, by, more));

  it('stops a trace that would spend more than its limit, once for all, and tells people once', () => {
    const { bench, by } = started();
    expect(intend(bench, by, 'a', cost(300)).fresh).toBe(true);
    expect(intend(bench, by, 'b', cost(200)).fresh).toBe(true);
    expect(intend(bench, by, 'c', cost(1))).toMatchObject({
      fresh: false,
      seq: 0,
      refusal: 'COST_CAP_EXCEEDED',
      refusalDetail: '500 spent, 1 wanted, 500 allowed',
    });
    expect(issues(bench)).toHaveLength(1);
    expect(alerts(bench)[0]).toMatch(/^cost_cap_exceeded \d+$/);
    // Stopped is stopped, for what costs nothing too.
    expect(intend(bench, by, 'd', cost(0)).refusal).toBe('COST_CAP_EXCEEDED');
    expect(issues(bench)).toHaveLength(1);
    expect(alerts(bench)).toHaveLength(1);
    // What is on record is answered as before.
    expect(intend(bench, by, 'a', cost(300))).toMatchObject({ fresh: false, state: 'INTENT', refusal: '' });
    expect(bench.machine.rows.effect.size).toBe(2);
  });

  it('a higher limit lifts the cap, the same or a lower one does not', () => {
    const { bench, by } = started();
    intend(bench, by, 'a', cost(500));
    expect(intend(bench, by, 'b', cost(1)).refusal).toBe('COST_CAP_EXCEEDED');
    expect(intend(bench, by, 'b', cost(0, 400)).refusal).toBe('COST_CAP_EXCEEDED');
    expect(intend(bench, by, 'b', cost(1, 501)).fresh).toBe(true);
    expect(bench.machine.rows.spending.get('trace trace')).toMatchObject({ spentMicros: '501000000', capped: '' });
    expect(intend(bench, by, 'c', cost(1, 501)).refusal).toBe('COST_CAP_EXCEEDED');
    expect(issues(bench)).toHaveLength(2);
  });

  it('is of the trace, over phases and loops; a run without a trace id has an account of its own', () => {
    const bench = new Level3();
    bench.createLoop('other');
    const one = bench.start('ANALYZE');
    intend(bench, one, 'a', cost(500));
    const begun = bench.begin('ANALYZE', { loop: 'other' });
    const body = {
      ...intentBody('b', { phase: 'ANALYZE', token: begun.token }, cost(1)),
      ref: ref('ANALYZE', 1, 'other'),
    };
    expect(bench.done('intentRecorded', body).refusal).toBe('COST_CAP_EXCEEDED');
    bench.done('effectConfirmed', confirmBody('a', one));
    bench.commit('ANALYZE', one.token);
    const untraced = bench.begin('BLUEPRINT', { traceId: '' });
    expect(intend(bench, { phase: 'BLUEPRINT', token: untraced.token }, 'c', cost(500)).fresh).toBe(true);
    expect(bench.machine.rows.spending.get(`run ${runKey('loop', 1, 1)}`)?.spentMicros).toBe('500000000');
  });

  it('what is withdrawn costs nothing', () => {
    const { bench, by } = started();
    intend(bench, by, 'a', cost(500));
    bench.done('effectWithdrawn', withdrawBody('a', by));
    expect(intend(bench, by, 'b', cost(500)).fresh).toBe(true);
  });

  it('a resource that is made and unmade again and again stops the trace, for a window', () => {
    const { bench, by } = started();
    const swing = (key: string, operation: 'create' | 'delete') =>
      intend(bench, by, key, { resource: 'vm', operation });
    expect(swing('1', 'create').fresh).toBe(true);
    expect(swing('2', 'delete').fresh).toBe(true);
    expect(swing('3', 'create').fresh).toBe(true);
    // The same way twice is no swing.
    expect(swing('4', 'create').fresh).toBe(true);
    expect(swing('5', 'delete').fresh).toBe(true);
    expect(swing('6', 'create')).toMatchObject({
      refusal: 'COST_CAP_EXCEEDED',
      refusalDetail: expect.stringMatching(/^vm /),
    });
    expect(intend(bench, by, '7', {}).refusal).toBe('COST_CAP_EXCEEDED');
    expect(issues(bench)).toHaveLength(1);
    bench.timeMs += 10 * 60_000;
    expect(swing('6', 'create').fresh).toBe(true);
    expect(bench.machine.rows.resource.get('resource vm')?.changes).toEqual([[bench.timeMs, 'create']]);
  });

  it('resources that were quiet make way for new ones', () => {
    const { bench, by } = started();
    for (let i = 0; i < 50; i++) intend(bench, by, `old-${i}`, { resource: `old-${i}`, operation: 'create' });
    expect(bench.machine.rows.resource.size).toBe(50);
    bench.timeMs += 10 * 60_000;
    for (let i = 0; i < 50; i++) intend(bench, by, `new-${i}`, { resource: `new-${i}`, operation: 'create' });
    // Each looks at a few rows behind itself only.
    expect(bench.machine.rows.resource.size).toBeLessThan(75);
  });

  it('shows amounts as people write them', () => {
    expect(['0', '1', '1000000', '12500000', '120000001'].map(amountText)).toEqual([
      '0',
      '0.000001',
      '1',
      '12.5',
      '120.000001',
    ]);
  });

  it('never lets a trace spend more than its limit, whatever the order (property)', () => {
    const step = fc.record({
      units: fc.integer({ min: 0, max: 300 }),
      limit: fc.constantFrom(100, 500, 900),
      withdraw: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { bench, by } = started();
        let spent = 0;
        steps.forEach(({ units, limit, withdraw }, i) => {
          const { fresh, refusal } = intend(bench, by, `k-${i}`, cost(units, limit));
          expect(fresh).toBe(refusal === '');
          if (fresh) spent += units;
          expect(!fresh || spent <= limit).toBe(true);
          if (fresh && withdraw) {
            bench.done('effectWithdrawn', withdrawBody(`k-${i}`, by));
            spent -= units;
          }
          const account = bench.machine.rows.spending.get('trace trace');
          expect(account?.spentMicros ?? '0').toBe(String(spent * 1_000_000));
        });
      }),
      { numRuns: 60 },
    );
  });
});
