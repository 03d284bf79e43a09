/** Runs the simulator's command as a user would, and reads its JSON. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Totals } from './main.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/sim.mjs', import.meta.url));

export interface SimOutcome extends Omit<Totals, 'violations'> {
  readonly exitCode: number;
  readonly start: number;
  readonly violations: readonly { readonly seed: number; readonly oracle: string; readonly message: string }[];
}

export function runSim(args: readonly string[]): Promise<SimOutcome> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [SCRIPT, ...args, '--json'], { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : Number(error.code);
      try {
        resolve({ ...(JSON.parse(stdout) as SimOutcome), exitCode });
      } catch {
        reject(new Error(`the simulator ended with ${exitCode}: ${stderr || stdout}`));
      }
    });
  });
}
