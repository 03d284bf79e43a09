/**
 * A command executes no more of the program and takes no more memory than it did, on its way through three members in one process
 * (bench/guard.mjs). Both figures are the same on every machine, however busy it is.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { executedOf } from '../../bench/micro/executed.mjs';
import { projectRoot } from '../tidy/files.ts';

interface Measured {
  readonly executed: number;
  readonly bytes: number;
  readonly cpuRatio: number;
  readonly limits: { readonly executed: number; readonly bytes: number };
  readonly over: readonly string[];
}

/** Several measurements of two processes each, while the machine does other work. */
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

describe('what a command costs', { timeout: TIMEOUT_MS }, () => {
  it('is within the limits', async () => {
    const { code, found } = await guard();
    for (const { executed, bytes, cpuRatio, limits } of found)
      console.log(
        `guard: ${Math.round(executed)} characters executed of ${Math.round(limits.executed)}, ${Math.round(bytes)} bytes of ${Math.round(limits.bytes)}, CPU ratio ${cpuRatio.toFixed(2)}`,
      );
    expect(found.at(-1)?.over).toEqual([]);
    expect(code).toBe(0);
  });

  it('is noticed to take 30 % more CPU time', async () => {
    const { code, found } = await guard('--attempts', '1', '--spin', '30');
    expect(found[0]?.over).toContain('executed');
    expect(code).toBe(1);
  });

  it('is noticed to take 30 % more memory', async () => {
    const { code, found } = await guard('--attempts', '1', '--allocate', '30');
    expect(found[0]?.over).toContain('bytes');
    expect(code).toBe(1);
  });
});

describe('what is executed', () => {
  it('is the length of each block times how often it ran, without the blocks in it', () => {
    const range = (startOffset: number, endOffset: number, count: number) => ({ startOffset, endOffset, count });
    const outer = { ranges: [range(0, 100, 2), range(10, 20, 0), range(30, 60, 50)] };
    const inner = { ranges: [range(40, 50, 7)] };
    expect(executedOf([inner, outer])).toBe(2 * 60 + 0 * 10 + 50 * 20 + 7 * 10);
    expect(executedOf([])).toBe(0);
  });
});
