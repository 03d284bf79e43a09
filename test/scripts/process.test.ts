/** What the scripts say to arguments that are wrong: one clear line, and exit code 2, which is never a verdict. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../tidy/files.ts';

const RUN_MS_MAX = 60_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-arguments-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function script(command: string, args: readonly string[]): Promise<Ended> {
  const [file = '', ...before] = command.split(' ');
  return new Promise((resolve) => {
    execFile(file, [...before, ...args], { cwd: projectRoot, timeout: RUN_MS_MAX }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}

const MUTANTS = 'node scripts/mutants.mjs';
const SIM = 'node scripts/sim.mjs';
const MODEL = 'node scripts/model.mjs';
const TRACE = 'node scripts/check-trace.mjs';
/** With --cli nothing is built. */
const CHAOS = 'node scripts/chaos.mjs --cli package.json';
const SOAK = 'scripts/soak';

describe('wrong arguments', () => {
  it.each([
    [MUTANTS, ['--unknown'], "Unknown option '--unknown'"],
    [MUTANTS, ['--only', 'nobody'], 'no mutant nobody'],
    [MUTANTS, ['--catalogue', '/nowhere/catalogue.json'], 'ENOENT'],
    [MUTANTS, ['--seeds', 'many'], '--seeds: a whole number from 1'],
    [SIM, ['--unknown'], "Unknown option '--unknown'"],
    [SIM, ['--seeds', ''], '--seeds is a whole number'],
    [SIM, ['--mutant'], '--mutant needs a value'],
    [MODEL, ['--unknown'], "Unknown option '--unknown'"],
    [MODEL, ['--members', '9'], '--members: 2 to 5'],
    [MODEL, ['--mutant', '--json'], '--mutant needs a value'],
    [TRACE, [], 'say which one folder'],
    [TRACE, ['/tmp', '/tmp'], 'say which one folder'],
    [CHAOS, ['--unknown'], "Unknown option '--unknown'"],
    [CHAOS, ['--mutant'], '--mutant needs a value'],
    [CHAOS, ['--mutant', 'nobody'], 'no mutant nobody'],
    [CHAOS, ['--replay', '/nowhere'], 'no run that could be replayed'],
    [SOAK, ['--hours'], '--hours needs a value'],
    [SOAK, ['--hours', 'two'], '--hours'],
    [SOAK, ['--hours', '0'], '--hours'],
    [SOAK, ['--seed', 'x'], '--seed'],
  ])('%s %j: says so', { timeout: RUN_MS_MAX }, async (command, args, text) => {
    const { code, stderr } = await script(command, args);
    expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(code).toBe(2);
  });

  it('a folder that holds no traces has not kept the rules', { timeout: RUN_MS_MAX }, async () => {
    const op = {
      index: 0,
      time: 1,
      process: 0,
      type: 'invoke',
      f: 'read',
      workload: 'register',
      key: 'k',
      value: null,
    };
    await writeFile(join(folder, 'history-register.ndjson'), `${JSON.stringify(op)}\n`);
    const { code, stdout, stderr } = await script(TRACE, [folder]);
    expect(stderr).toContain('history-register.ndjson: no event of a trace');
    expect(stdout).not.toContain('all rules hold');
    expect(code).toBe(2);
  });

  it('the folder of another run is not written into', { timeout: RUN_MS_MAX }, async () => {
    await writeFile(join(folder, 'run.json'), '{}');
    const { code, stderr } = await script(CHAOS, ['--loopback', '--dir', folder]);
    expect(stderr).toContain('is not empty');
    expect(code).toBe(2);
  });

  it('--help is no mistake', { timeout: RUN_MS_MAX }, async () => {
    const { code, stdout } = await script(CHAOS, ['--help']);
    expect(stdout).toContain('--minutes N');
    expect(code).toBe(0);
  });
});
