/** The search for an order: known verdicts, hand-written subtleties, and agreement with all orders tried one after the other. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listCalls, registerCalls, textCalls } from '../../../jepsen-style/checkers/linearizability/calls.ts';
import { checkRegisters } from '../../../jepsen-style/checkers/linearizability/linearizability.ts';
import {
  ListModel,
  type Model,
  RegisterModel,
  TextModel,
} from '../../../jepsen-style/checkers/linearizability/model.ts';
import { checkRecorded, readManifest } from '../../../jepsen-style/checkers/linearizability/recorded.ts';
import { type Call, search } from '../../../jepsen-style/checkers/linearizability/search.ts';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { checkHistory } from '../../sim/oracles/lz/checker.ts';
import { registerModel } from '../../sim/oracles/lz/models.ts';
import { Dice, draw, growingThing, op, registerThing, type Thing } from './support.ts';

/** The selection that the project keeps, and all of them where they are: beside the project, or where the variable says. */
const FOLDERS = [
  fileURLToPath(new URL('../../sim/oracles/lz/histories', import.meta.url)),
  process.env.QUORATE_HISTORIES ?? fileURLToPath(new URL('../../../../shared/histories', import.meta.url)),
].filter((folder) => existsSync(folder));

const MS_MAX = 10_000;

describe.each(FOLDERS)('recorded histories in %s', (folder) => {
  it.each(readManifest(folder))('$file: $linearizable', (recorded) => {
    const { kind, ms } = checkRecorded(folder, recorded);
    expect(kind).toBe(recorded.linearizable ? 'linearizable' : 'violation');
    expect(ms).toBeLessThan(MS_MAX);
  });

  it('are good and bad ones', () => {
    const manifest = readManifest(folder);
    expect(manifest.filter(({ linearizable }) => linearizable).length).toBeGreaterThan(20);
    expect(manifest.filter(({ linearizable }) => !linearizable).length).toBeGreaterThan(20);
  });
});

const valid = (...operations: readonly Operation[]): Operation | unknown =>
  checkRegisters(
    operations.toSorted((a, b) => a.index - b.index),
    'register',
  ).valid;

const write = (value: string, at: readonly [number, number], outcome: Operation['outcome'] = 'ok'): Operation =>
  op({ f: 'write', by: at[0], value, at, outcome });
const read = (result: string | null, at: readonly [number, number]): Operation =>
  op({ f: 'read', by: at[0], result, at });
const cas = (
  value: readonly [string | null, string],
  at: readonly [number, number],
  outcome: Operation['outcome'] = 'ok',
  error = 'VERSION_MISMATCH',
): Operation => op({ f: 'cas', by: at[0], value, at, outcome, ...(outcome === 'fail' ? { error } : {}) });

describe('registers', () => {
  it('let a write of unknown outcome take effect late, once, or never', () => {
    expect(valid(write('a', [0, 1], 'info'), read(null, [2, 3]))).toBe(true);
    expect(valid(write('a', [0, 1], 'info'), read(null, [2, 3]), read('a', [4, 5]))).toBe(true);
    const back = [write('b', [2, 3]), read('a', [4, 5]), read('b', [6, 7])];
    expect(valid(write('a', [0, 1], 'info'), ...back)).toBe(false);
    expect(valid(write('a', [0, 1], 'info'), write('a', [8, 9], 'info'), ...back)).toBe(false);
    expect(valid(write('a', [0, 1], 'info'), write('b', [1.5, 9], 'info'), ...back)).toBe(true);
    expect(valid(write('a', [5, 6], 'info'), read('a', [1, 2]))).toBe(false);
  });

  it('let two unknown writes of the same value take effect once each', () => {
    const twice = [write('b', [2, 3]), read('a', [4, 5]), write('b', [6, 7]), read('a', [8, 9])];
    expect(valid(write('a', [0, 1], 'info'), ...twice)).toBe(false);
    expect(valid(write('a', [0, 1], 'info'), write('a', [5.5, 10], 'info'), ...twice)).toBe(true);
  });

  it('tell a stale read from a concurrent one', () => {
    expect(valid(write('a', [0, 3]), read(null, [1, 2]))).toBe(true);
    expect(valid(write('a', [0, 1]), read(null, [2, 3]))).toBe(false);
    expect(valid(write('a', [0, 9]), read('a', [1, 2]), read(null, [3, 4]))).toBe(false);
    expect(valid(write('a', [0, 9]), read('a', [1, 4]), read(null, [2, 3]))).toBe(true);
  });

  it('do not carry out what failed', () => {
    expect(valid(write('a', [0, 1], 'fail'), read('a', [2, 3]))).toBe(false);
    expect(valid(write('a', [0, 1], 'fail'), read(null, [2, 3]))).toBe(true);
  });

  it('take a refused compare and set as a look at the value, and any other failure as nothing', () => {
    const base = [write('a', [0, 1])];
    expect(valid(...base, cas(['a', 'b'], [2, 3], 'fail'))).toBe(false);
    expect(valid(...base, cas(['a', 'b'], [2, 3], 'fail', 'UNAVAILABLE'))).toBe(true);
    expect(valid(...base, cas(['x', 'b'], [2, 3], 'fail'))).toBe(true);
    expect(valid(...base, cas(['x', 'b'], [2, 3]))).toBe(false);
    expect(valid(...base, cas(['x', 'b'], [2, 3], 'info'), read('b', [4, 5]))).toBe(false);
    expect(valid(...base, cas(['a', 'b'], [2, 3], 'info'), read('a', [4, 5]), read('b', [6, 7]))).toBe(true);
  });

  it('find two that both replaced the same value', () => {
    expect(valid(cas([null, 'a'], [0, 2]), cas([null, 'b'], [1, 3]))).toBe(false);
    expect(valid(cas([null, 'a'], [0, 2]), cas(['a', 'b'], [1, 3]))).toBe(true);
  });

  it('say unknown when there is nothing to check, and at their bounds', () => {
    expect(valid()).toBe('unknown');
    expect(valid(write('a', [0, 1], 'info'))).toBe('unknown');
    const operations = Array.from({ length: 12 }, (_, at) => write(`${at}`, [at, 100 + at]));
    const stuck = [...operations, read('none', [50, 60])];
    const limits = { msMax: 10_000, pointsMax: 1_000 };
    const verdict = checkRegisters(stuck, 'register', { limits });
    expect(verdict.valid).toBe('unknown');
    expect(verdict.detail).toContain('1000 points');
  });

  it('find one bad register among good ones, and say which', () => {
    const bad = [write('a', [0, 1]), read(null, [2, 3])].map((one) => ({ ...one, key: 'bad' }));
    const good = [write('a', [4, 5]), read('a', [6, 7])].map((one) => ({ ...one, key: 'good' }));
    const verdict = checkRegisters([...bad, ...good], 'register');
    expect(verdict.valid).toBe(false);
    expect(verdict.detail).toContain('register bad is not linearizable: read → null');
  });
});

/** Tries every order that agrees with real time. */
function tryAll<Op>(model: Model<Op>, calls: readonly Call<Op>[], state = model.initial): boolean {
  const completed = calls.filter(({ returnedAt }) => returnedAt !== null);
  if (completed.length === 0) return true;
  const firstReturn = Math.min(...completed.map(({ returnedAt }) => returnedAt ?? 0));
  return calls.some((call) => {
    if (call.calledAt > firstReturn) return false;
    const next = model.step(state, call.op);
    return (
      next >= 0 &&
      tryAll(
        model,
        calls.filter((other) => other !== call),
        next,
      )
    );
  });
}

const SEEDS = fc.integer();

/** A history of few operations; half of them have the answers of two operations exchanged. */
function smallHistory(thing: Thing, dice: Dice): readonly Operation[] {
  const operations = draw(thing, dice, 7, 4, 0.25);
  if (dice.chance(0.5)) return operations;
  const reads = operations.filter(({ f, outcome }) => outcome === 'ok' && (f === 'read' || f === 'get'));
  if (reads.length < 2) return operations;
  const [a, b] = [dice.pick(reads), dice.pick(reads)];
  return operations.map((one) =>
    one === a ? { ...a, result: b.result } : one === b ? { ...b, result: a.result } : one,
  );
}

describe('the search agrees with all orders tried one after the other', () => {
  it('on registers, and with the checker of the simulator', () => {
    let bad = 0;
    const property = fc.property(SEEDS, (seed) => {
      const operations = smallHistory(registerThing(), new Dice(seed));
      const model = new RegisterModel(null);
      const calls = registerCalls(model, operations);
      const expected = tryAll(model, calls) ? 'linearizable' : 'violation';
      if (expected === 'violation') bad += 1;
      expect(search(model, calls).kind).toBe(expected);
      const text = (value: number): string => String(value);
      const theirs = calls.map(({ op, calledAt, returnedAt }) => ({
        calledAt,
        returnedAt,
        op:
          op.kind === 'cas'
            ? { ...op, from: text(op.from), to: text(op.to) }
            : op.kind === 'read'
              ? { ...op, value: op.value === null ? undefined : text(op.value) }
              : { ...op, value: text(op.value) },
      }));
      expect(checkHistory(registerModel(text(model.initial)), theirs).kind).toBe(expected);
    });
    fc.assert(property, { numRuns: 2_000 });
    expect(bad).toBeGreaterThan(100);
  });

  it('on lists', () => {
    let bad = 0;
    const property = fc.property(SEEDS, (seed) => {
      const operations = smallHistory(growingThing('append'), new Dice(seed));
      const model = new ListModel();
      const calls = listCalls(model, operations);
      const expected = tryAll(model, calls) ? 'linearizable' : 'violation';
      if (expected === 'violation') bad += 1;
      expect(search(model, calls).kind).toBe(expected);
    });
    fc.assert(property, { numRuns: 2_000 });
    expect(bad).toBeGreaterThan(100);
  });

  it('on texts, whose puts hide what was before them', () => {
    let bad = 0;
    const property = fc.property(SEEDS, (seed) => {
      const operations = smallHistory(textThing(), new Dice(seed));
      const model = new TextModel('');
      const calls = textCalls(operations);
      const expected = tryAll(model, calls) ? 'linearizable' : 'violation';
      if (expected === 'violation') bad += 1;
      expect(search(model, calls).kind).toBe(expected);
    });
    fc.assert(property, { numRuns: 3_000 });
    expect(bad).toBeGreaterThan(100);
  });
});

/** Letters come twice on purpose: different orders may lead to the same text. */
function textThing(): Thing {
  let state = '';
  return {
    ask: (dice) => {
      if (dice.chance(0.45)) return { f: 'get' };
      return { f: dice.chance(0.3) ? 'put' : 'append', value: dice.pick(['a', 'b', 'ab']) };
    },
    apply: ({ f, value }) => {
      if (f === 'get') return { result: state };
      state = f === 'put' ? String(value) : state + String(value);
      return { result: value };
    },
  };
}

describe('long histories', () => {
  it('of a correct register are good, whatever the interleaving', () => {
    const property = fc.property(SEEDS, (seed) => {
      const operations = draw(registerThing(['a', 'b']), new Dice(seed), 400, 8);
      expect(checkRegisters(operations, 'register').valid).toBe(true);
    });
    fc.assert(property, { numRuns: 100 });
  });

  it('with one read of a value that had been overwritten are bad', () => {
    let tried = 0;
    const property = fc.property(SEEDS, (seed) => {
      const dice = new Dice(seed);
      const operations = draw(registerThing(), dice, 200, 6);
      const spoiled = spoil(operations, dice);
      if (spoiled === null) return;
      tried += 1;
      expect(checkRegisters(spoiled, 'register').valid).toBe(false);
    });
    fc.assert(property, { numRuns: 100 });
    expect(tried).toBeGreaterThan(80);
  });

  it('of 20,000 operations on one register take seconds at most', () => {
    const operations = draw(registerThing(), new Dice(1), 20_000, 10, 0.02);
    const begun = performance.now();
    expect(checkRegisters(operations, 'register').valid).toBe(true);
    expect(performance.now() - begun).toBeLessThan(MS_MAX);
  });
});

/** Makes one read answer what had been overwritten before it was called: a write that ended before another began that ended before it. */
function spoil(operations: readonly Operation[], dice: Dice): readonly Operation[] | null {
  const ended = operations.filter(({ outcome }) => outcome === 'ok');
  const writes = ended.filter(({ f }) => f === 'write');
  const candidates = ended.flatMap((target) => {
    if (target.f !== 'read') return [];
    const over = writes.filter(({ endIndex }) => (endIndex ?? 0) < target.index);
    const old = writes.find((one) => over.some((later) => later.index > (one.endIndex ?? 0)));
    return old === undefined ? [] : [{ target, old }];
  });
  if (candidates.length === 0) return null;
  const { target, old } = dice.pick(candidates);
  return operations.map((one) => (one === target ? { ...one, result: old.value } : one));
}
