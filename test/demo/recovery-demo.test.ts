/** Issue 4: the demo of what is left half done, from end to end, as users run it. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EffectLine } from '../../src/demo/recovery-checks.ts';
import type { RecoveryDemoResult } from '../../src/demo/recovery-demo.ts';
import { isAlive, spawnCli } from '../cli/run-cli.ts';
import { buildCli, cliPath } from '../support/build.ts';
import { processesBelow } from './processes.ts';

/** A tick of the detector and the way through the log, on a busy machine. */
const DETECT_SLACK_MS = 1_000;

let folder: string;
/** Temporary folders of the processes under test, so that what they leave behind is seen. */
let temporary: string;

beforeAll(buildCli, 120_000);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-recovery-demo-test-'));
  temporary = join(folder, 'tmp');
  mkdirSync(temporary);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function demo(...args: string[]) {
  return spawnCli(cliPath, ['demo', '--scenario', 'recovery', ...args], { TMPDIR: temporary });
}

/** What the outside world did of an attempt, in the order in which it was made. */
function ofAttempt(ledger: readonly EffectLine[], attempt: number) {
  return ledger.filter((line) => line.attempt === attempt);
}

describe('issue 4: quorate demo --scenario recovery', () => {
  test('the dead are undone once, the next leader ends it, the second agent comes through; nothing is left behind', async () => {
    const { code, stdout, stderr } = await demo('--json').result;
    expect(stderr).toContain('agent-1 killed');
    expect(stderr).toContain('killing the leader');
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const result = JSON.parse(stdout) as RecoveryDemoResult;
    expect(result).toMatchObject({
      ok: true,
      scenario: 'recovery',
      effects: 14,
      compensated: 6,
      ranTwice: 0,
      staleRefused: 3,
      barrierRefusals: 1,
      leaderKills: 1,
      agentKills: 1,
      problems: [],
    });
    expect(result.detectMs).toBeGreaterThanOrEqual(result.timeoutMs);
    expect(result.detectMs).toBeLessThanOrEqual(result.timeoutMs + DETECT_SLACK_MS);
    expect(result.recoveryMs).toBeGreaterThan(0);
    const undone = ofAttempt(result.ledger, 1);
    expect(undone.map(({ state, made, unmade }) => `${state} ${made} ${unmade}`)).toEqual(
      Array.from({ length: 6 }, () => 'COMPENSATED 1 1'),
    );
    // The token rose with the leader, and the call of the dead one came to nothing.
    const asked = undone.flatMap((line) => line.asked);
    expect(new Set(asked.filter(({ outcome }) => outcome === 'done').map(({ token }) => token)).size).toBe(2);
    expect(asked.filter(({ outcome }) => outcome === 'stale')).toHaveLength(1);
    expect(ofAttempt(result.ledger, 2).map(({ state, made, unmade }) => `${state} ${made} ${unmade}`)).toEqual(
      Array.from({ length: 8 }, () => 'CONFIRMED 1 0'),
    );
    expect(code).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);

  test('for people: a table of every effect, and the verdict', async () => {
    const { code, stdout } = await demo().result;
    expect(stdout).toMatch(/^attempt +effect +in the ledger +undone with token +made +unmade$/m);
    expect(stdout).toMatch(/^1 +server +COMPENSATED +\d+ +1 +1$/m);
    expect(stdout).toMatch(/^1 +\w+ +COMPENSATED +\d+, \d+ \(stale\) +1 +1$/m);
    expect(stdout).toMatch(/^2 +address +CONFIRMED +– +1 +0$/m);
    expect(stdout).toMatch(/^had effect twice +0$/m);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('Everything held.');
    expect(code).toBe(0);
  }, 120_000);

  test.each([
    ['while the agent works', 'begins CONSTRUCT', 4],
    ['while nobody has noticed yet', 'nobody says so', 3],
    ['while a compensator is held and the leader is dead', 'killing the leader', 2],
  ])(
    'ctrl-C %s: 130, no process and no folder left',
    async (_name, text, processes) => {
      const { child, shows, result } = demo();
      await shows(text);
      const before = processesBelow(child.pid ?? 0);
      expect(before.length).toBeGreaterThanOrEqual(processes);
      child.kill('SIGINT');
      expect((await result).code).toBe(130);
      await expect.poll(() => before.filter(isAlive), { timeout: 20_000 }).toEqual([]);
      expect(readdirSync(temporary)).toEqual([]);
    },
    120_000,
  );

  test('SIGKILL in the middle: every process of it ends by itself', async () => {
    const { child, shows, result } = demo();
    await shows('begins CONSTRUCT');
    const before = processesBelow(child.pid ?? 0);
    child.kill('SIGKILL');
    await result;
    await expect.poll(() => before.filter(isAlive), { timeout: 20_000 }).toEqual([]);
  }, 120_000);

  test.each([
    [['--rounds', '2'], '--rounds belongs to the scenario archive'],
    [['--dir', '.'], '--dir belongs to the scenario archive'],
    [['--out', 'x'], '--out belongs to the scenario archive'],
  ])('refuses %j with exit code 2', async (args, text) => {
    const { code, stderr } = await demo(...args).result;
    expect(stderr).toContain(text);
    expect(code).toBe(2);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('refuses a scenario that does not exist', async () => {
    const { code, stderr } = await spawnCli(cliPath, ['demo', '--scenario', 'other']).result;
    expect(stderr).toContain('archive, recovery');
    expect(code).toBe(2);
  });
});
