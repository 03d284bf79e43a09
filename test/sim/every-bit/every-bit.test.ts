/** W4: whichever bit of its log or of what it voted is flipped, a member of a cluster loses nothing and serves nothing wrong. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { EveryBitReport } from './main.ts';

const SCRIPT = fileURLToPath(new URL('../../../scripts/sim.mjs', import.meta.url));
/** Each bit of a byte is met in turn. `npm run sim -- --every-bit` flips all of them. */
const STEP = 15;
const TIMEOUT_MS = 600_000;

function flipBits(): Promise<EveryBitReport> {
  const args = [SCRIPT, '--every-bit', '--step', String(STEP), '--json'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { maxBuffer: 2 ** 26 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as EveryBitReport);
      } catch {
        reject(new Error(stderr || stdout));
      }
    });
  });
}

describe('W4: a flipped bit in a small log', () => {
  it(
    'is repaired from the peers, or refused clearly, or does not matter; nothing is wrong or lost',
    async () => {
      const report = await flipBits();
      console.log(`${report.runs} of ${report.bits} bits: ${JSON.stringify(report.verdicts)}`);
      expect(report.wrong).toEqual([]);
      expect(report.verdicts.WRONG).toBe(0);
      expect(report.runs).toBe(Math.ceil(report.bits / STEP));
      expect(report.logBytes).toBeGreaterThan(2_000);
      // A bit of the log that is not noticed would be one that nobody checks.
      expect(report.verdicts['repaired from peers']).toBeGreaterThan((report.logBytes * 8 * 0.9) / STEP);
      expect(report.byFile['hard-state']?.['sound and equal']).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
});
