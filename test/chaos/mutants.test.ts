/** Issue 5, done when 5: what members are broken with, to see that a chaos run says so, is still there to be broken. */
import { describe, expect, it } from 'vitest';
import { parseNemeses } from '../../jepsen-style/nemesis/table.ts';
import { parseWorkloads } from '../../jepsen-style/workloads/table.ts';
import { readText } from '../tidy/files.ts';

interface ChaosMutant {
  readonly id: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly nemesis: string;
  readonly workload: string;
}

const mutants = JSON.parse(readText('test/mutants/chaos.json')) as readonly ChaosMutant[];

describe('mutants of real members', () => {
  it.each(mutants)('$id matches once, and names what is to find it', ({ file, find, replace, nemesis, workload }) => {
    expect(readText(file).split(find)).toHaveLength(2);
    expect(replace).not.toBe(find);
    expect(parseNemeses(nemesis)).not.toEqual([]);
    expect(parseWorkloads(workload)).not.toEqual([]);
  });

  it('are the three that the issue asks for', () => {
    expect(mutants.map(({ id }) => id)).toEqual(['chaos-no-fsync', 'chaos-stale-reads', 'chaos-sessions-lost']);
  });
});
