import { describe, expect, it } from 'vitest';
import type { ApplyContext, EventBody } from '../../src/machine/context.ts';
import { padded, runKey } from '../../src/machine/keys.ts';
import { capped, lastSeq, openEffects, settleEffect, topEffect } from '../../src/machine/ledger/effects.ts';
import type { EffectRow, EffectState } from '../../src/machine/ledger/types.ts';
import { DEFAULT_MACHINE_LIMITS, MachineState } from '../../src/machine/state.ts';
import { revision } from '../../src/types/ids.ts';
import { at } from './kit.ts';

const RUN = runKey('loop', 3, 2);

function effects(...states: readonly EffectState[]): { readonly context: ApplyContext; readonly events: EventBody[] } {
  const state = new MachineState(DEFAULT_MACHINE_LIMITS);
  states.forEach((one, i) => {
    const row: EffectRow = {
      loop: 'loop',
      g: 3,
      phase: 'CONSTRUCT',
      seq: i + 1,
      attempt: 1,
      key: `k-${i + 1}`,
      description: '',
      compensator: { kind: 'worker', target: 'undo', payload: '' },
      costMicros: '0',
      resource: '',
      operation: '',
      state: one,
      result: one === 'CONFIRMED' ? 'made' : '',
      traceId: 'trace',
      caller: 'agent',
      intentAtMs: at(5),
      settledAtMs: 0,
      changedRevision: revision(4),
    };
    state.tables.domain.effect.put(`${RUN} ${padded(i + 1)}`, row);
  });
  const events: EventBody[] = [];
  const context: ApplyContext = {
    state,
    revision: revision(9),
    timeMs: at(90),
    caller: '',
    traceId: '',
    session: null,
    emit: (event) => events.push(event),
  };
  return { context, events };
}

describe('effects that are to be undone (V3)', () => {
  it('the newest first, those that may have happened too', () => {
    const { context, events } = effects('CONFIRMED', 'WITHDRAWN', 'INTENT', 'COMPENSATED', 'CONFIRMED', 'WITHDRAWN');
    const { state } = context;
    const order: number[] = [];
    for (let below = Number.MAX_SAFE_INTEGER; ; ) {
      const row = topEffect(state, RUN, below);
      if (row === null) break;
      order.push(row.seq);
      settleEffect(context, RUN, row.seq);
      below = row.seq;
    }
    expect(order).toEqual([5, 3, 1]);
    expect(openEffects(state.tables.domain, RUN)).toEqual([]);
    expect(events.map(({ kind, outcome }) => `${kind} ${outcome}`)).toEqual([
      'effect.compensated 5 k-5',
      'effect.compensated 3 k-3',
      'effect.compensated 1 k-1',
    ]);
    expect(state.tables.domain.effect.get(`${RUN} ${padded(1)}`)).toMatchObject({
      state: 'COMPENSATED',
      result: 'made',
      settledAtMs: 90,
      changedRevision: 9,
    });
    expect(() => settleEffect(context, RUN, 1)).toThrow(/for good/);
    expect(() => settleEffect(context, RUN, 2)).toThrow(/for good/);
    expect(() => settleEffect(context, RUN, 7)).toThrow();
  });

  it('bounds below which it looks, and where there is nothing', () => {
    const { context } = effects('CONFIRMED', 'CONFIRMED');
    expect(topEffect(context.state, RUN, 2)?.seq).toBe(1);
    expect(topEffect(context.state, RUN, 1)).toBeNull();
    expect(topEffect(context.state, RUN, 0)).toBeNull();
    expect(topEffect(context.state, runKey('loop', 3, 1), 10)).toBeNull();
  });

  it('finds the last number in any length', () => {
    for (const length of [0, 1, 2, 3, 4, 7, 8, 9, 100]) {
      const { context } = effects(...Array.from({ length }, () => 'CONFIRMED' as const));
      expect(lastSeq(context.state.tables.domain, RUN)).toBe(length);
    }
  });

  it('knows a trace that was stopped, and a run without a trace', () => {
    const { context } = effects();
    const { state } = context;
    const row = { spentMicros: '0', effects: 0, cappedLimitMicros: '', changedAtMs: at(1) };
    state.tables.domain.spending.put('trace t', { ...row, traceId: 't', capped: 'SWINGS' });
    state.tables.domain.spending.put('trace u', { ...row, traceId: 'u', capped: '' });
    state.tables.domain.spending.put(`run ${RUN}`, { ...row, traceId: '', capped: 'COST' });
    expect([capped(state, 't'), capped(state, 'u'), capped(state, 'v')]).toEqual([true, false, false]);
    expect([capped(state, '', RUN), capped(state, '')]).toEqual([true, false]);
  });
});
