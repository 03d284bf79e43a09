/** What `npm run chaos` can be asked to do, and what it refuses. */
import { describe, expect, it } from 'vitest';
import { parseRequest } from '../../jepsen-style/options.ts';

const parse = (...args: readonly string[]) => parseRequest(args, () => 7);

describe('the arguments of a run', () => {
  it('have defaults, and name nemeses by prefix', () => {
    expect(parse().options).toMatchObject({ seed: 7, minutes: 2, members: 5, pairs: false, loopback: false });
    expect(parse('--nemesis', 'clock,kill-one').options.nemeses).toEqual(['clock-jump', 'clock-rate', 'kill-one']);
    expect(parse('--nemesis', 'none').options.nemeses).toEqual([]);
    expect(parse('--workload', 'set,register').options.workloads).toEqual(['set', 'register']);
  });

  it.each([
    [['--unknown'], '--unknown'],
    [['more'], 'more'],
    [['--minutes', '0'], '--minutes'],
    [['--minutes', 'ten'], '--minutes'],
    [['--seed', '-1'], '--seed'],
    [['--seed', ''], '--seed'],
    [['--members', '4'], '--members'],
    [['--power-cycles', '0'], '--power-cycles'],
    [['--power-cycles', '1.5'], '--power-cycles'],
    [['--nemesis', 'nothing'], 'there is no nothing'],
    [['--nemesis', ''], '--nemesis'],
    [['--workload', ','], '--workload'],
    [['--workload', 'nothing'], 'there is no nothing'],
  ])('%j are refused', (args, text) => {
    expect(() => parse(...args)).toThrow(text);
  });
});
