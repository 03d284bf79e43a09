/** The checker gets every history right whose verdict is known; and small ones whose verdict can be seen. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Call, checkHistory, partition } from './checker.ts';
import { readRegisterHistory, readTextHistory } from './history.ts';
import { type FencedOp, fencedModel, type RegisterOp, registerModel, textModel } from './models.ts';

interface Recorded {
  readonly file: string;
  readonly model: 'cas-register' | 'kv get/put/append';
  readonly initial: number | null | '';
  readonly linearizable: boolean;
}

const FOLDER = new URL('./histories/', import.meta.url);
const recorded = JSON.parse(readFileSync(new URL('manifest.json', FOLDER), 'utf8')) as readonly Recorded[];

function verdictOf({ file, model, initial }: Recorded): string {
  const text = readFileSync(new URL(file, FOLDER), 'utf8');
  if (model === 'cas-register') {
    const etcd = file.startsWith('porcupine');
    const history = readRegisterHistory(text, { failedCasIsRead: etcd, nullReadIsUnknown: !etcd });
    return checkHistory(registerModel(initial === null ? null : String(initial)), history).kind;
  }
  const kinds = [...partition(readTextHistory(text), (op) => op.key).values()].map(
    (part) => checkHistory(textModel, part).kind,
  );
  return kinds.find((kind) => kind !== 'linearizable') ?? 'linearizable';
}

describe('R3: the linearizability checker', () => {
  it.each(recorded)('$file: $linearizable', (history) => {
    expect(verdictOf(history)).toBe(history.linearizable ? 'linearizable' : 'violation');
  });

  it('knows good and bad ones', () => {
    expect(recorded.filter(({ linearizable }) => linearizable).length).toBeGreaterThan(20);
    expect(recorded.filter(({ linearizable }) => !linearizable).length).toBeGreaterThan(20);
  });

  const call = <Op>(op: Op, calledAt: number, returnedAt: number | null): Call<Op> => ({ op, calledAt, returnedAt });
  const read = (value: string | null): RegisterOp => ({ kind: 'read', value });
  const write = (value: string): RegisterOp => ({ kind: 'write', value });
  const verdict = (...calls: Call<RegisterOp>[]): string => checkHistory(registerModel(null), calls).kind;

  it('lets a write of unknown outcome take effect late, once, or never', () => {
    expect(verdict(call(write('a'), 0, null), call(read(null), 1, 2))).toBe('linearizable');
    expect(verdict(call(write('a'), 0, null), call(read(null), 1, 2), call(read('a'), 3, 4))).toBe('linearizable');
    const back = [call(write('b'), 1, 2), call(read('a'), 3, 4), call(read('b'), 5, 6)];
    expect(verdict(call(write('a'), 0, null), ...back)).toBe('violation');
    expect(verdict(call(write('a'), 5, null), call(read('a'), 1, 2))).toBe('violation');
  });

  it('tells a stale read from a concurrent one', () => {
    expect(verdict(call(write('a'), 0, 3), call(read(null), 1, 2))).toBe('linearizable');
    expect(verdict(call(write('a'), 0, 1), call(read(null), 2, 3))).toBe('violation');
    expect(verdict(call(write('a'), 0, 9), call(read('a'), 1, 2), call(read(null), 3, 4))).toBe('violation');
  });

  it('says which call could not be placed, and gives up at its bound', () => {
    const stale = call(read(null), 2, 3);
    expect(checkHistory(registerModel(null), [call(write('a'), 0, 1), stale]).stuckAt).toBe(stale);
    expect(checkHistory(registerModel(null), [call(write('a'), 0, 1), stale], 2).kind).toBe('undecided');
  });

  it('holds fenced writes against the attempt that holds the run', () => {
    const take = (from: number, ok: boolean | null): FencedOp => ({ kind: 'take', register: 'r', from, ok });
    const put = (attempt: number, value: string, ok: boolean | null): FencedOp => ({
      kind: 'write',
      register: 'r',
      attempt,
      value,
      ok,
    });
    const fenced = (...calls: Call<FencedOp>[]): string => checkHistory(fencedModel, calls).kind;
    const begun = call(take(0, true), 0, 1);
    expect(fenced(begun, call(take(1, true), 2, 3), call(put(1, 'x', true), 4, 5))).toBe('violation');
    expect(fenced(begun, call(take(1, true), 2, 3), call(put(1, 'x', false), 4, 5))).toBe('linearizable');
    expect(fenced(begun, call(take(1, null), 2, null), call(put(1, 'x', false), 4, 5))).toBe('linearizable');
    expect(fenced(begun, call(take(1, true), 2, 3), call(take(1, true), 4, 5))).toBe('violation');
  });
});
