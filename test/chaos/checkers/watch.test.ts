/** Watches: what is shown in order, once, completely, and the same to everybody. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Operation } from '../../../jepsen-style/checkers/operation.ts';
import { checkWatches } from '../../../jepsen-style/checkers/watch.ts';
import { Dice, op } from './support.ts';

const REPORTS: ReadonlyMap<string, readonly [f: string, field: string]> = new Map([
  ['>', ['resume', 'from']],
  ['=', ['caught-up', 'revision']],
  ['!', ['compacted', 'firstRevision']],
]);

/** Reports in the order in which they are written: `a 3.0` is event 3.0 to watcher a, `a > 3` a resume from 3 on, `a = 3` caught up,
 * `a ! 5` COMPACTED,
 * `+ 4` an acknowledged write. */
function verdict(...lines: readonly string[]): string {
  const operations = lines.map((line, at): Operation => {
    const [by = '', second = '', third] = line.split(' ');
    if (by === '+')
      return op({ by: 1, f: 'write', value: at, result: { revision: Number(second) }, at: [2 * at, 2 * at + 1] });
    const report = REPORTS.get(second);
    if (report !== undefined) {
      const value = { [report[1]]: Number(third) };
      return op({ by, f: report[0], value, result: value, outcome: 'info', at: [2 * at, 2 * at] });
    }
    const [revision, ordinal] = second.split('.').map(Number);
    return op({ by, f: 'event', value: { revision, ordinal, kind: third ?? 'k' }, at: [2 * at, 2 * at] });
  });
  const { valid, detail } = checkWatches(operations, 'watch');
  return valid === true ? 'good' : `${valid}: ${detail}`;
}

describe('a watch', () => {
  it('may begin and end anywhere, and lag behind others', () => {
    expect(verdict('a 1.0', 'a 1.1', 'b 2.0', 'a 2.0', 'a 5.0', 'b 5.0')).toBe('good');
    expect(verdict('a 1.0', 'a 2.0', 'b 2.0')).toBe('good');
    expect(verdict()).toContain('unknown');
  });

  it('is in order and shows nothing twice', () => {
    expect(verdict('a 1.0', 'a 2.0', 'a 1.0')).toContain('1.0 back in time');
    expect(verdict('a 1.0', 'a 1.0')).toContain('1.0 again');
    expect(verdict('a 1.1', 'a 1.0')).toContain('back in time');
  });

  it('leaves nothing out that others saw or that was acknowledged', () => {
    expect(verdict('a 1.0', 'a 3.0', 'b 2.0')).toContain('2.0 was seen by b');
    expect(verdict('a 1.0', 'a 2.0', 'b 1.1')).toContain('1.1 was seen by b');
    expect(verdict('+ 2', 'a 1.0', 'a 3.0')).toContain('2.0 was acknowledged');
    expect(verdict('+ 2', 'a 1.0', 'a 2.3', 'a 3.0')).toBe('good');
    expect(verdict('+ 9', 'a 1.0', 'a 3.0')).toBe('good');
    expect(verdict('+ 3', 'a 1.0', 'a = 4')).toContain('3.0 was acknowledged');
  });

  it('is of writes that have a revision each, in the order of time', () => {
    expect(verdict('+ 2', '+ 3', 'a 1.0', 'a 2.0', 'a 3.0')).toBe('good');
    expect(verdict('+ 2', '+ 2', 'a 2.0')).toContain('revision 2 was given to two writes');
    expect(verdict('+ 3', '+ 2', 'a 2.0', 'a 3.0')).toContain('revision 2 was given after 3');
    expect(verdict('a 2.0', '+ 2')).toContain('revision 2 was seen before its write was called');
  });

  it('shows everybody the same', () => {
    expect(verdict('a 1.0 x', 'b 1.0 y')).toContain('two watchers saw different events at 1.0');
  });

  it('goes on after a resume without loss and without anything twice', () => {
    expect(verdict('a 1.0', 'a > 2', 'a 2.0', 'b 1.0', 'b 2.0')).toBe('good');
    expect(verdict('a 1.0', 'a > 2', 'a 3.0', 'b 2.0')).toContain('2.0 was seen by b');
    expect(verdict('a 1.0', 'a > 2', 'a 1.0')).toContain('again');
    // It said that it has all of revision 1, and had not.
    expect(verdict('a 1.0', 'a > 2', 'a 2.0', 'b 1.1')).toContain('1.1 was seen by b');
    // A revision that was cut in two comes again from its beginning.
    expect(verdict('a 1.0', 'a > 1', 'a 1.0', 'a 1.1', 'a 2.0', 'b 1.1')).toBe('good');
    expect(verdict('a 1.0', 'a > 1', 'a 1.1', 'b 1.0')).toContain('1.0 was seen by');
    expect(verdict('a 5.0', 'a > 3', 'a 3.0', 'a 5.0', 'b 3.0', 'b 5.0')).toBe('good');
    expect(verdict('a > 4', 'a 3.0')).toContain('back in time');
    expect(verdict('a > 4', 'a 5.0', 'b 4.0')).toContain('4.0 was seen by b');
    // It goes on behind what it was not shown.
    expect(verdict('a 1.0', 'a > 5', 'a 5.0', 'b 1.0', 'b 3.0', 'b 5.0')).toContain('3.0 was seen by b');
    expect(verdict('+ 3', 'a 1.0', 'a > 5')).toContain('3.0 was acknowledged');
    expect(verdict('a 1.0', 'a > 5', 'a 5.0', 'b 1.0', 'b 5.0')).toBe('good');
    expect(verdict('a > 0', 'a 5.0', 'b 4.0')).toBe('good');
  });

  it('may lose history only where that is gone', () => {
    expect(verdict('a 1.0', 'a > 2', 'a ! 7', 'a > 7', 'a 9.0', 'b 4.0', 'b 9.0')).toBe('good');
    expect(verdict('a 1.0', 'a > 2', 'a ! 7', 'a > 7', 'a 9.0', 'b 7.0', 'b 9.0')).toContain('7.0 was seen by b');
    expect(verdict('a 1.0', 'a > 2', 'a ! 2', 'b 2.0')).toContain('told that history before 2 is gone');
    expect(verdict('a 9.0', 'a = 8')).toContain('caught up with 8 after 9.0');
  });

  it('finds whatever is done to one of several correct watchers', () => {
    const property = fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      const { lines, at } = drawWatches(dice);
      expect(verdict(...lines)).toBe('good');
      const event = lines[at] ?? '';
      // Left out, shown again at once, and exchanged with the next of the same watcher.
      const next = lines.findIndex((line, position) => position > at && /^a \d/.test(line));
      const swapped = lines.map((line, position) =>
        position === at ? (lines[next] ?? '') : position === next ? event : line,
      );
      for (const bad of [lines.toSpliced(at, 1), lines.toSpliced(at, 0, event), swapped]) {
        expect(verdict(...bad)).toContain('false');
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});

/** Three watchers of one stream at their own pace, with interruptions; `at`: an event of the first one, neither its first nor its last,
 * that the second one has seen, too. */
function drawWatches(dice: Dice): { readonly lines: readonly string[]; readonly at: number } {
  const stream = Array.from({ length: 40 }, (_, n) => `${1 + Math.floor(n / 2)}.${n % 2}`);
  const next = new Map(['a', 'b', 'c'].map((name) => [name, dice.below(5) * 2]));
  const lines: string[] = [];
  while ([...next.values()].some((n) => n < stream.length)) {
    const name = dice.pick(['a', 'b', 'c']);
    const n = next.get(name) ?? 0;
    if (n >= stream.length) continue;
    const isWhole = n % 2 === 0;
    if (isWhole && n > 0 && dice.chance(0.1)) lines.push(`${name} > ${n / 2 + 1}`);
    lines.push(`${name} ${stream[n]}`);
    next.set(name, n + 1);
  }
  const own = lines.flatMap((line, at) => (/^a \d/.test(line) ? [at] : []));
  // What nobody else has seen cannot be missed.
  const shared = own.slice(1, -1).filter((at) => lines.includes(`b ${lines[at]?.slice(2)}`));
  return { lines, at: dice.pick(shared) };
}
