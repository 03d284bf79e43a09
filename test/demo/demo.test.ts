/** The demo from end to end, as users run it. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isAlive, spawnCli } from '../cli/run-cli.ts';
import { buildCli, cliPath } from '../support/build.ts';
import { processesBelow } from './processes.ts';

let folder: string;
/** Temporary folders of the processes under test, so that what they leave behind is seen. */
let temporary: string;

beforeAll(buildCli, 120_000);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-demo-test-'));
  temporary = join(folder, 'tmp');
  mkdirSync(temporary);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function demo(...args: string[]) {
  return spawnCli(cliPath, ['demo', ...args], { TMPDIR: temporary });
}

describe('issue 2: quorate demo', () => {
  test('a sample survives the kills; the last line says so; nothing is left behind', async () => {
    const { code, stdout, stderr } = await demo('--json').result;
    expect(stderr).toContain('killing the leader');
    const result = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    expect(result).toMatchObject({
      ok: true,
      files: 320,
      verified: 320,
      rounds: 1,
      leaderKills: 1,
      agentKills: 1,
      subStepsRunTwice: 0,
      staleTokenRefusals: 2,
      barrierRefusals: 1,
      problems: [],
    });
    expect(result.failoverMs).toBeGreaterThan(0);
    expect(code).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);

  test('one file and two rounds are enough; archives go where they are wanted', async () => {
    const dir = join(folder, 'in');
    mkdirSync(dir);
    writeFileSync(join(dir, 'only.txt'), 'one');
    symlinkSync('only.txt', join(dir, 'link'));
    const out = join(folder, 'out');
    const { code, stdout } = await demo('--dir', dir, '--out', out, '--rounds', '2').result;
    expect(stdout).toContain('Everything held.');
    expect(stdout).toMatch(/archives read back and equal +1 of 1/);
    expect(stdout).toMatch(/leaders killed +2/);
    expect(code).toBe(0);
    expect(readdirSync(out)).toEqual(['only.txt.lz4']);
  }, 180_000);

  test('ctrl-C in the middle: 130, no process and no folder left', async () => {
    const { child, shows, result } = demo();
    await shows('begins CONSTRUCT');
    const before = processesBelow(child.pid ?? 0);
    expect(before.length).toBeGreaterThanOrEqual(4);
    child.kill('SIGINT');
    expect((await result).code).toBe(130);
    await expect.poll(() => before.filter(isAlive), { timeout: 20_000 }).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);

  test('ctrl-C while the sample is made: no folder left', async () => {
    const { child, result } = demo();
    await expect.poll(() => samples(), { timeout: 20_000, interval: 1 }).toBeGreaterThan(0);
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 130, stderr: '' });
    expect(readdirSync(temporary)).toEqual([]);
  }, 60_000);

  test('ctrl-C while the members start: no process and no folder left', async () => {
    const { child, shows, result } = demo();
    await shows('files, ');
    child.kill('SIGINT');
    expect((await result).code).toBe(130);
    expect(readdirSync(temporary)).toEqual([]);
  }, 60_000);

  test('variables that are meant for a server do not reach the members', async () => {
    const { child, shows, result } = spawnCli(cliPath, ['demo'], {
      TMPDIR: temporary,
      QUORATE_CLIENT_LISTEN: '127.0.0.1:7401',
      QUORATE_PEER_LISTEN: '127.0.0.1:7501',
      QUORATE_DATA_DIR: join(folder, 'shared'),
    });
    await shows('begins CONSTRUCT');
    child.kill('SIGINT');
    expect((await result).code).toBe(130);
  }, 60_000);

  test('SIGKILL in the middle: every process of it ends by itself', async () => {
    const { child, shows, result } = demo();
    await shows('begins CONSTRUCT');
    const before = processesBelow(child.pid ?? 0);
    child.kill('SIGKILL');
    await result;
    await expect.poll(() => before.filter(isAlive), { timeout: 20_000 }).toEqual([]);
  }, 120_000);

  test.each<[string, (dir: string) => string[], string]>([
    ['an empty folder', (dir) => ['--dir', dir], 'holds no files; choose another folder with --dir'],
    ['a folder that is a file', (dir) => ['--dir', join(dir, '..', 'file')], 'is no folder; choose one with --dir'],
    [
      'archives inside of what is archived',
      (dir) => ['--dir', dir, '--out', join(dir, 'x')],
      'choose one outside of it',
    ],
    ['a folder for archives that is not empty', (dir) => ['--dir', dir, '--out', join(dir, '..')], 'is not empty'],
  ])(
    'refuses %s with exit code 2',
    async (_name, args, text) => {
      const dir = join(folder, 'in');
      mkdirSync(dir);
      writeFileSync(join(folder, 'file'), 'x');
      const { code, stderr } = await demo(...args(dir)).result;
      expect(stderr).toContain(text);
      expect(code).toBe(2);
      expect(readdirSync(temporary)).toEqual([]);
    },
    60_000,
  );
});

/** How many kinds of sample files are there. */
function samples(): number {
  const [scratch] = readdirSync(temporary);
  if (scratch === undefined) return 0;
  try {
    return readdirSync(join(temporary, scratch, 'sample')).length;
  } catch {
    return 0;
  }
}
