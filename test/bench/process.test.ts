/** `npm run bench`: what it says to wrong options. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../tidy/files.ts';

function bench(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(projectRoot, 'bench/main.mjs'), ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('npm run bench', () => {
  it.each([
    [['--suite', 'read,nothing'], /there is no suite "nothing"; there are unary-write, read, /],
    [['--peer', 'other'], /--peer: only etcd, not other/],
    [['--runs', '0'], /--runs: a whole number from 1 to 9999, not 0/],
    [['--runs', 'many'], /--runs: a whole number/],
    [['--json', ''], /--json needs a value/],
    [['--data', '/dev/shm'], /\/dev\/shm is in memory/],
    [['--data', '/nowhere'], /there is no \/nowhere/],
    [['--record', '--quick'], /--record keeps no figures of a quick run/],
    [['--fast'], /--fast/],
    [['read'], /read/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await bench(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('says what there is', async () => {
    const { code, stdout } = await bench('--help');
    expect(code).toBe(0);
    for (const option of ['--suite', '--peer', '--runs', '--json', '--record', '--quick'])
      expect(stdout).toContain(option);
  });
});
