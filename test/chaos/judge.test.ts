/** What a chaos run ends with. */
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../jepsen-style/checkers/verdict.ts';
import { EXIT, exitCode } from '../../jepsen-style/judge.ts';
import { serviceLevels } from '../../jepsen-style/levels.ts';

const GOOD: Verdict = { checker: 'set', workload: 'set', valid: true, detail: '' };
const kept = serviceLevels({ ops: [], nemesis: [], effects: [], leaders: new Map() });

interface What {
  readonly nemeses?: readonly string[];
  readonly injected?: readonly number[];
  readonly findings?: readonly string[];
  readonly verdicts?: readonly Verdict['valid'][];
}

function code({
  nemeses = ['kill-one', 'disk-full'],
  injected = [1, 0],
  findings = [],
  verdicts = [true],
}: What): number {
  const options = { seed: 1, minutes: 1, members: 5, nemeses, workloads: ['set'], pairs: false, loopback: false };
  const faults = Object.fromEntries(
    nemeses.map((name, i) => [name, { injected: injected[i] ?? 0, skipped: 1, reasons: ['no room'] }]),
  );
  const facts = { options, faults, serviceLevels: kept, findings };
  return exitCode(
    facts,
    verdicts.map((valid) => ({ ...GOOD, valid })),
  );
}

describe('the exit code of a run', () => {
  it('tells what was found', () => {
    expect(code({})).toBe(EXIT.well);
    expect(code({ verdicts: [true, 'unknown'] })).toBe(EXIT.unknown);
    expect(code({ verdicts: ['unknown', false] })).toBe(EXIT.violation);
    expect(code({ findings: ['m1 ended by itself'] })).toBe(EXIT.violation);
  });

  it('is no pass where every fault that was asked for was skipped, or nothing was checked', () => {
    expect(code({ injected: [0, 0] })).toBe(EXIT.unknown);
    expect(code({ nemeses: [] })).toBe(EXIT.well);
    expect(code({ verdicts: [] })).toBe(EXIT.unknown);
    expect(code({ injected: [0, 0], verdicts: [false] })).toBe(EXIT.violation);
  });
});
