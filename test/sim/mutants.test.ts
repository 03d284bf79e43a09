/** Deliberate breaks are noticed by the oracle that is there for them, and the catalogue of breaks is not stale. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runSim } from './command.ts';

interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}
interface Mutant extends Edit {
  readonly id: string;
  /** Oracles that may notice it, separated by commas. */
  readonly oracle: string;
  readonly also?: readonly Edit[];
}

const ROOT = new URL('../../', import.meta.url);
const catalogue = JSON.parse(readFileSync(new URL('test/mutants/catalogue.json', ROOT), 'utf8')) as readonly Mutant[];

const SEEDS_MAX = 500;
/** Any would do; from here the rarest of the three is found soon. */
const START = 1031;
const TIMEOUT_MS = 120_000;

describe('mutants', () => {
  it('each match their files exactly once', () => {
    for (const mutant of catalogue) {
      for (const edit of [mutant, ...(mutant.also ?? [])]) {
        const parts = readFileSync(new URL(edit.file, ROOT), 'utf8').split(edit.find);
        expect(parts.length - 1, `${mutant.id}: ${edit.find}`).toBe(1);
        expect(edit.replace).not.toBe(edit.find);
      }
    }
    expect(new Set(catalogue.map(({ id }) => id)).size).toBe(catalogue.length);
  });

  it.each(['commit-old-term', 'ack-before-fsync', 'vote-not-persisted'])(
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
