/** Deliberate breaks are noticed by the oracle that is there for them. That the catalogue is not stale: test/mutants. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Mutant } from '../mutants/mutant.ts';
import { runSim } from './command.ts';

const ROOT = new URL('../../', import.meta.url);
const catalogue = JSON.parse(readFileSync(new URL('test/mutants/catalogue.json', ROOT), 'utf8')) as readonly Mutant[];

const SEEDS_MAX = 500;
/** Any would do; from here the rarest of the three is found soon. */
const START = 1031;
const TIMEOUT_MS = 120_000;

describe('mutants', () => {
  it.each(['R1', 'R4', 'vote-not-persisted'])(
    '%s is caught by the named oracle within 500 seeds',
    async (id) => {
      const oracles = catalogue.find((mutant) => mutant.id === id)?.oracle.split(',');
      const outcome = await runSim(['--mutant', id, '--start', String(START), '--seeds', String(SEEDS_MAX)]);
      expect(outcome.exitCode).toBe(1);
      expect(oracles).toContain(outcome.violations[0]?.oracle);
    },
    TIMEOUT_MS,
  );
});
