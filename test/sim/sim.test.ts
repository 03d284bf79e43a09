/** The real node, raft, machine and log under simulated trouble (architecture, decision 12). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runSim } from './command.ts';

const TIMEOUT_MS = 120_000;

const regressions = JSON.parse(readFileSync(new URL('./regressions.json', import.meta.url), 'utf8')) as readonly {
  readonly seed: number;
  readonly members: number | null;
  readonly found: string;
}[];

describe('simulated clusters', () => {
  it(
    'break no rule with the seeds 1 to 80',
    async () => {
      const outcome = await runSim(['--start', '1', '--seeds', '80']);
      expect(outcome.violations).toEqual([]);
      expect(outcome.exitCode).toBe(0);
      expect(outcome.seeds).toBe(80);
      // It was no idle run.
      expect(outcome.operationsDone).toBeGreaterThan(80 * 20);
      for (const fault of ['crash', 'kill', 'partition', 'lost', 'duplicated', 'disk slow', 'wallJump']) {
        expect(outcome.faults[fault], fault).toBeGreaterThan(0);
      }
    },
    TIMEOUT_MS,
  );

  it(
    'do the same when run again, in whatever order',
    async () => {
      const together = await runSim(['--start', '11', '--seeds', '8', '--workers', '2']);
      const alone = await runSim(['--start', '11', '--seeds', '8', '--workers', '1']);
      const last = await runSim(['--seed', '18']);
      expect(Object.keys(together.hashes)).toHaveLength(8);
      expect(alone.hashes).toEqual(together.hashes);
      expect(last.hashes['18']).toBe(together.hashes['18']);
      expect(new Set(Object.values(together.hashes)).size).toBe(8);
    },
    TIMEOUT_MS,
  );

  it.each(regressions)(
    'seed $seed: $found',
    async ({ seed, members }) => {
      const sized = members === null ? [] : ['--members', String(members)];
      const outcome = await runSim(['--seed', String(seed), ...sized]);
      expect(outcome.violations).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
