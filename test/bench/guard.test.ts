/**
 * A command takes no more CPU time and memory than it did, on its way through three members in one process (bench/guard.mjs). Runs alone: others
 * that use the caches make a command dearer than the calibration.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../tidy/files.ts';

interface Measured {
  readonly cpuRatio: number;
  readonly bytes: number;
  /** null: not known for this processor. */
  readonly limits: { readonly cpuRatio: number | null; readonly bytes: number };
  readonly over: readonly string[];
}

/** Several measurements of one process each, while the machine does other work. */
const TIMEOUT_MS = 240_000;

function guard(...args: readonly string[]): Promise<{ readonly code: number; readonly found: readonly Measured[] }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(projectRoot, 'bench/guard.mjs'), ...args], (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      if (code > 1) reject(new Error(stderr));
      else
        resolve({
          code,
          found: stdout
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as Measured),
        });
    });
  });
}

const least = (found: readonly Measured[]): number => Math.min(...found.map(({ cpuRatio }) => cpuRatio));

describe('what a command costs', { timeout: TIMEOUT_MS }, () => {
  it('is within the limits, and is noticed to take 30 % more CPU time', async () => {
    const plain = await guard();
    const [first] = plain.found;
    if (first === undefined) throw new Error('something was measured');
    for (const { cpuRatio, bytes } of plain.found)
      console.log(
        `guard: CPU ratio ${cpuRatio.toFixed(2)} of ${first.limits.cpuRatio?.toFixed(2)}, ${Math.round(bytes)} bytes`,
      );
    expect(plain.found.at(-1)?.over).toEqual([]);
    expect(plain.code).toBe(0);

    const slower = await guard('--spin', '30');
    for (const { cpuRatio } of slower.found) console.log(`guard: CPU ratio ${cpuRatio.toFixed(2)} with 30 % more`);
    // On a processor that guard-limits.json does not know CPU time is not judged; that it would be noticed is.
    if (first.limits.cpuRatio !== null) {
      for (const { over } of slower.found) expect(over).toContain('cpuRatio');
      expect(slower.code).toBe(1);
    } else expect(least(slower.found)).toBeGreaterThan(1.2 * least(plain.found));
  });

  it('is noticed to take 30 % more memory', async () => {
    const { code, found } = await guard('--attempts', '1', '--allocate', '30');
    expect(found[0]?.over).toContain('bytes');
    expect(code).toBe(1);
  });
});
