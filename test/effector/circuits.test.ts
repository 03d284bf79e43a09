import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fullJitterMs } from '../../src/effector/back-off.ts';
import { CallSlots } from '../../src/effector/call-slots.ts';
import { Circuits } from '../../src/effector/circuits.ts';

const OPEN_MS = 1_000;

describe('L3: circuit breakers', () => {
  test('CB1: a failed try does not open it, the last one does', () => {
    const circuits = new Circuits();
    expect(circuits.failed('t', false, 0, OPEN_MS)).toBe(false);
    expect(circuits.ask('t', 0)).toBe('call');
    expect(circuits.failed('t', true, 0, OPEN_MS)).toBe(true);
    expect(circuits.ask('t', 0)).toBe('open');
    expect(circuits.ask('other', 0)).toBe('call');
  });

  test('CB2, CB3: open for its time; then one probe, and the others wait for it', () => {
    const circuits = new Circuits();
    circuits.failed('t', true, 0, OPEN_MS);
    expect(circuits.ask('t', OPEN_MS - 1)).toBe('open');
    expect(circuits.ask('t', OPEN_MS)).toBe('call');
    expect(circuits.ask('t', OPEN_MS)).toBe('wait');
    circuits.succeeded('t');
    expect([circuits.ask('t', OPEN_MS), circuits.ask('t', OPEN_MS)]).toEqual(['call', 'call']);
    expect(circuits.size).toBe(0);
  });

  test('CB3: a probe that fails opens it again, though it was not the last try', () => {
    const circuits = new Circuits();
    circuits.failed('t', true, 0, OPEN_MS);
    expect(circuits.ask('t', OPEN_MS)).toBe('call');
    expect(circuits.failed('t', false, OPEN_MS, OPEN_MS)).toBe(true);
    expect(circuits.ask('t', 2 * OPEN_MS - 1)).toBe('open');
    expect(circuits.ask('t', 2 * OPEN_MS)).toBe('call');
  });

  test('a probe without a verdict lets the next one through', () => {
    const circuits = new Circuits();
    circuits.failed('t', true, 0, OPEN_MS);
    expect(circuits.ask('t', OPEN_MS)).toBe('call');
    circuits.released('t');
    expect(circuits.ask('t', OPEN_MS)).toBe('call');
  });

  test('what is learned of a circuit counts from when it was opened, and never shortens one', () => {
    const circuits = new Circuits();
    circuits.learn('t', 500, OPEN_MS);
    circuits.learn('t', 100, OPEN_MS);
    expect([circuits.ask('t', 1_499), circuits.ask('t', 1_500)]).toEqual(['open', 'call']);
  });

  test('they are bounded: the one that closes first goes', () => {
    const circuits = new Circuits();
    for (let i = 0; i <= 10_000; i++) circuits.failed(`t${i}`, true, i, OPEN_MS);
    expect(circuits.size).toBe(10_000);
    expect([circuits.ask('t0', 500), circuits.ask('t1', 500)]).toEqual(['call', 'open']);
  });

  test('never two probes at once, and no call while it is open, whatever comes', () => {
    const step = fc.record({
      kind: fc.constantFrom('ask', 'done', 'failed', 'last'),
      afterMs: fc.nat(700),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const circuits = new Circuits();
        let nowMs = 0;
        let openUntilMs = 0;
        let underWay = 0;
        for (const { kind, afterMs } of steps) {
          nowMs += afterMs;
          if (kind === 'ask') {
            const verdict = circuits.ask('t', nowMs);
            if (nowMs < openUntilMs) expect(verdict).toBe('open');
            else if (openUntilMs > 0) expect(verdict).toBe(underWay > 0 ? 'wait' : 'call');
            else expect(verdict).toBe('call');
            if (verdict === 'call') underWay++;
            continue;
          }
          if (underWay === 0) continue;
          underWay--;
          if (kind === 'done') {
            circuits.succeeded('t');
            openUntilMs = 0;
          } else if (circuits.failed('t', kind === 'last', nowMs, OPEN_MS)) {
            openUntilMs = nowMs + OPEN_MS;
            // Calls that were under way when it opened count no more.
            underWay = 0;
          }
        }
      }),
    );
  });
});

describe('L3: full jitter', () => {
  test('uniform over everything up to min(cap, base · 2^(try − 1)), both ends included', () => {
    const bounds: number[] = [];
    const random = {
      below: (bound: number) => {
        bounds.push(bound);
        return bound - 1;
      },
    };
    const waits = [1, 2, 3, 4, 5, 10, 11, 100].map((attempt) => fullJitterMs(random, attempt, 1_000, 900_000));
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 512_000, 900_000, 900_000]);
    expect(bounds).toEqual(waits.map((wait) => wait + 1));
    expect(fullJitterMs({ below: () => 0 }, 5, 1_000, 900_000)).toBe(0);
  });
});

describe('slots for calls', () => {
  test('bounded in all and for each target; tasks of workers are counted apart; a slot is given back once', () => {
    const slots = new CallSlots(4);
    const held = [slots.take('http', 'a'), slots.take('http', 'a')];
    expect(slots.take('http', 'a')).toBeNull();
    held.push(slots.take('grpc', 'b'), slots.take('grpc', 'c'));
    expect(slots.take('grpc', 'd')).toBeNull();
    expect(slots.take('worker', 'q')).not.toBeNull();
    held[0]?.();
    held[0]?.();
    expect(slots.take('http', 'a')).not.toBeNull();
    expect(slots.take('http', 'd')).toBeNull();
  });
});
