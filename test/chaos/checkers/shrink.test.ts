/** What is left of a bad history is bad by itself, and small. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { registerCalls } from '../../../jepsen-style/checkers/linearizability/calls.ts';
import { checkRegisters, shrinkRegister } from '../../../jepsen-style/checkers/linearizability/linearizability.ts';
import { RegisterModel } from '../../../jepsen-style/checkers/linearizability/model.ts';
import { cut, readUnits, valueUnits } from '../../../jepsen-style/checkers/linearizability/shrink.ts';
import { isEvidence } from '../../../jepsen-style/checkers/verdict.ts';
import { Dice, draw, op, registerThing } from './support.ts';

const isGood = (operations: Parameters<typeof checkRegisters>[0]): boolean =>
  checkRegisters(operations, 'register').valid !== false;

describe('a bad history', () => {
  it('is shrunk to the few operations that are wrong', () => {
    const good = draw(registerThing(), new Dice(7), 300, 5).map((one) => ({ ...one, key: null }));
    const end = (good.at(-1)?.index ?? 0) + 100;
    const stale = [
      op({ by: 'a', f: 'write', value: 'x', at: [end, end + 1] }),
      op({ by: 'b', f: 'write', value: 'y', at: [end + 2, end + 3] }),
      op({ by: 'a', f: 'read', result: 'x', at: [end + 4, end + 5] }),
    ];
    const after = draw(registerThing(), new Dice(8), 100, 5).map((one) => ({
      ...one,
      key: null,
      index: one.index + end + 10,
      endIndex: one.endIndex === null ? null : one.endIndex + end + 10,
    }));
    const verdict = checkRegisters([...good, ...stale, ...after], 'register');
    expect(verdict.valid).toBe(false);
    const { evidence } = verdict;
    if (!isEvidence(evidence)) throw new Error('no evidence');
    expect(evidence.operations.map(({ f, process }) => `${f} ${process}`)).toEqual(['write a', 'write b', 'read a']);
    expect(evidence.stuck).toEqual([end + 4]);
  });

  it('keeps what explains it: a chain of compare and set', () => {
    const operations = [
      op({ by: 1, f: 'cas', value: [null, 'a'], at: [0, 1] }),
      op({ by: 1, f: 'cas', value: ['a', 'b'], at: [2, 3] }),
      op({ by: 2, f: 'read', result: 'a', at: [4, 5] }),
      op({ by: 2, f: 'read', result: 'b', at: [6, 7] }),
    ];
    expect(shrinkRegister(operations).map(({ index }) => index)).toEqual([0, 2, 4]);
  });

  it('that stays bad only with a refused compare keeps it', () => {
    const operations = [
      op({ by: 1, f: 'write', value: 'a', at: [0, 1] }),
      op({ by: 2, f: 'read', result: 'a', at: [2, 3] }),
      op({ by: 2, f: 'cas', value: ['a', 'b'], outcome: 'fail', error: 'VERSION_MISMATCH', at: [4, 5] }),
    ];
    expect(shrinkRegister(operations).map(({ index }) => index)).toEqual([0, 4]);
  });
});

describe('no step makes a good history bad', () => {
  const anyGood = fc
    .integer()
    .map((seed) => ({ dice: new Dice(seed), all: draw(registerThing(), new Dice(seed), 40, 5) }));

  it('cutting off the end', () => {
    const property = fc.property(anyGood, ({ dice, all }) => {
      expect(isGood(cut(all, dice.below(90)))).toBe(true);
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('leaving out reads and values', () => {
    const property = fc.property(anyGood, ({ dice, all }) => {
      const model = new RegisterModel(null);
      const calls = registerCalls(model, all);
      const failed = new Set(
        calls.flatMap(({ op: one, operation }) => (one.kind === 'cas' && one.ok === false ? [operation] : [])),
      );
      const units = [...valueUnits(calls), ...readUnits(calls, (one) => model.readOnly(one))].filter(() =>
        dice.chance(0.3),
      );
      const left = all.filter((one) => !failed.has(one) && !units.some((unit) => unit.has(one.index)));
      expect(isGood(left)).toBe(true);
    });
    fc.assert(property, { numRuns: 500 });
  });
});
