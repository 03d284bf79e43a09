/** Every state near the start keeps the rules, and the model finds what was broken on purpose. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/raft/types.ts';
import { logIndex, memberId, term } from '../../src/types/ids.ts';
import type { Outcome } from './explore.ts';
import { quorumsIntersect } from './quorums.ts';
import { logsMatch } from './rules.ts';
import { SCOPES } from './scopes.ts';
import { FingerprintSet, Numbers, PairTable } from './tables.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/model.mjs', import.meta.url));
const TIMEOUT_MS = 60_000;

function runModel(args: readonly string[]): Promise<{ exitCode: number; outcomes: readonly Outcome[] }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [SCRIPT, ...args, '--json'], (error, stdout, stderr) => {
      try {
        resolve({ exitCode: error === null ? 0 : Number(error.code), ...JSON.parse(stdout) });
      } catch {
        reject(new Error(`the model ended with ${String(error?.code)}: ${stderr || stdout}`));
      }
    });
  });
}

describe('every state', () => {
  it(
    'up to depth 7 of every scope keeps the rules',
    async () => {
      const { exitCode, outcomes } = await runModel(['--depth', '7']);
      expect(outcomes.map(({ broken }) => broken)).toEqual(SCOPES.map(() => null));
      expect(exitCode).toBe(0);
      for (const { scope, depth, states, transitions } of outcomes) {
        expect(depth, scope).toBe(7);
        expect(states, scope).toBeGreaterThan(500);
        expect(transitions, scope).toBeGreaterThan(states);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'is one of at most six that differ in names only',
    async () => {
      const args = ['--scope', 'replication', '--depth', '5'];
      const [one, all] = await Promise.all([runModel(args), runModel([...args, '--no-symmetry'])]);
      const [few, many] = [one.outcomes[0]?.states ?? 0, all.outcomes[0]?.states ?? 0];
      expect(few).toBeGreaterThan(100);
      expect(many).toBeGreaterThan(5 * few);
      expect(many).toBeLessThanOrEqual(6 * few);
    },
    TIMEOUT_MS,
  );
});

describe('what is broken on purpose', () => {
  it.each([
    { mutant: 'R4', scope: 'disks', rule: /^DG: acknowledged entries are durable/, steps: 6 },
    { mutant: 'R1', scope: 'figure-8', rule: /^CL: leader b of 4 lacks 1 of term 1/, steps: 13 },
  ])(
    '$mutant is found in the scope $scope, by the shortest way',
    async ({ mutant, scope, rule, steps }) => {
      const { exitCode, outcomes } = await runModel(['--mutant', mutant, '--scope', scope, '--minutes', '0.5']);
      expect(exitCode).toBe(1);
      expect(outcomes[0]?.broken?.rule).toMatch(rule);
      expect(outcomes[0]?.broken?.path).toHaveLength(steps);
    },
    TIMEOUT_MS,
  );
});

describe('the rules', () => {
  const entry = (index: number, of: number): Entry => ({
    index: logIndex(index),
    term: term(of),
    kind: 'noop',
    payload: new Uint8Array(0),
  });
  const log = (...terms: number[]): Entry[] => terms.map((of, at) => entry(at + 1, of));
  const voters = (text: string, outgoing = ''): Parameters<typeof quorumsIntersect>[0] => ({
    voters: [...text].map(memberId),
    votersOutgoing: [...outgoing].map(memberId),
    learners: [],
  });

  it('see logs that agree behind a difference', () => {
    expect(logsMatch(log(1, 2), log(1, 3))).toBe(true);
    expect(logsMatch(log(1, 1, 3), log(1, 2, 3))).toBe(false);
    expect(logsMatch(log(1, 1, 3), log(1, 2))).toBe(true);
    expect(logsMatch([], log(1))).toBe(true);
  });

  it('see quorums with nobody in common', () => {
    expect(quorumsIntersect(voters('abc'), voters('ab'))).toBe(true);
    expect(quorumsIntersect(voters('abc'), voters('a'))).toBe(false);
    expect(quorumsIntersect(voters('abc'), voters('a', 'abc'))).toBe(true);
  });
});

describe('the tables', () => {
  it('hold what is put into them while they grow', () => {
    const pairs = new PairTable(2);
    const prints = new FingerprintSet(2);
    const numbers = new Numbers();
    for (let at = 0; at < 5000; at++) {
      pairs.set(at % 70, at, at * 3);
      expect(prints.add(at % 50, -at)).toBe(true);
      numbers.push(at ^ 7);
    }
    for (let at = 0; at < 5000; at++) {
      expect(pairs.get(at % 70, at)).toBe(at * 3);
      expect(prints.add(at % 50, -at)).toBe(false);
      expect(numbers.get(at)).toBe(at ^ 7);
    }
    expect([pairs.get(3, 5000), pairs.size, prints.size, numbers.length]).toEqual([-1, 5000, 5000, 5000]);
  });
});
