/**
 * X2: the chaos harness itself, as `npm run chaos` starts it. On namespaces and disks of their own where root may make them (what a
 * run that was killed has left is removed by the next one), on loopback anywhere. With CHAOS_TESTS=required, as in CI where it
 * works, it is a failure when the former cannot be run.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { readOps } from '../../jepsen-style/record/read.ts';
import { hasGround, loopbackTools, probeTools } from '../../jepsen-style/system/tools.ts';
import { cliPath } from '../support/build.ts';
import { projectRoot } from '../tidy/files.ts';

/** A run of ten seconds, twice; what is left is for a machine that has much else to do. */
const RUN_MS_MAX = 120_000;

interface RunFile {
  readonly ground: string;
  readonly faults: Readonly<Record<string, { readonly injected: number; readonly skipped: number }>>;
  readonly operations: Readonly<Record<string, { readonly ok: number }>>;
  readonly serviceLevels: { readonly met: boolean; readonly failoverMsMax: number | null };
  readonly findings: readonly string[];
}

const tools = process.getuid?.() === 0 ? await probeTools() : loopbackTools('this needs root');
const possible = hasGround(tools) && tools.nft === null && tools.power === null;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-chaos-test-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Started {
  readonly exited: Promise<{ readonly code: number | null; readonly output: string }>;
  /** Resolves with the first output that matches. */
  readonly said: (pattern: RegExp) => Promise<RegExpExecArray>;
}

function chaos(args: readonly string[]): Started {
  const child = spawn(process.execPath, ['scripts/chaos.mjs', '--cli', cliPath, ...args], { cwd: projectRoot });
  let output = '';
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      for (const listener of [...listeners]) listener();
    });
  }
  const exited = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, output }));
  });
  const said = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(output);
        if (match === null) return;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      void exited.then(() => reject(new Error(`it ended without ${pattern}:\n${output}`)));
      look();
    });
  return { exited, said };
}

function read(dir: string): RunFile {
  return JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as RunFile;
}

/** Namespaces, links and folders of a harness. */
function leftovers(pid: string): readonly string[] {
  const namespaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  const links = execFileSync('ip', ['-o', 'link', 'show'], { encoding: 'utf8' });
  const name = new RegExp(`\\bqj${pid}[nvb]`);
  const mine = `${namespaces}\n${links}`.split('\n').filter((line) => name.test(line));
  return [...mine, ...readdirSync(tmpdir()).filter((name) => name.startsWith(`quorate-jepsen-${pid}-`))];
}

/** Short faults of both kinds, one after the other: what is drawn for these seeds is checked by the counts below. */
describe('X2: chaos on loopback', () => {
  it('kills the leader, goes on, and counts what it cannot inject as skipped', { timeout: RUN_MS_MAX }, async () => {
    const dir = join(folder, 'loopback');
    const what = ['--nemesis', 'kill-leader,partition-one', '--workload', 'register,sessions'];
    const run = chaos(['--loopback', '--members', '3', '--minutes', '0.15', '--seed', '14', '--dir', dir, ...what]);
    const { code, output } = await run.exited;
    expect(code, output).toBe(0);
    const { ground, faults, operations, serviceLevels, findings } = read(dir);
    expect(ground).toBe('loopback');
    expect(findings).toEqual([]);
    expect(faults['kill-leader']?.injected).toBeGreaterThan(0);
    expect(faults['partition-one']).toMatchObject({ injected: 0 });
    expect(faults['partition-one']?.skipped).toBeGreaterThan(0);
    expect(operations.register?.ok).toBeGreaterThan(10);
    expect(operations.sessions?.ok).toBeGreaterThan(10);
    expect(serviceLevels.met).toBe(true);
    expect(serviceLevels.failoverMsMax).not.toBeNull();
    const ops = readOps(join(dir, 'history-register.ndjson'));
    // Every operation that began has ended.
    expect(ops.filter(({ type }) => type === 'invoke').length * 2).toBe(ops.length);
    expect(existsSync(join(dir, 'members', 'm2.log'))).toBe(true);
  });
});

const suite = 'X2, X4: chaos on namespaces and small disks';
if (possible) {
  describe(suite, () => {
    it('cleans up after a run that was killed, runs it again, and breaks networks, disks and processes', {
      timeout: 2 * RUN_MS_MAX,
    }, async () => {
      const killed = join(folder, 'killed');
      const what = ['--nemesis', 'partition-one,power-leader', '--workload', 'register,effects,fencing'];
      const first = chaos(['--minutes', '0.17', '--seed', '14', '--dir', killed, ...what]);
      const pid = (await first.said(/process (\d+)/))[1] ?? '';
      await first.said(/members are up/);
      process.kill(Number(pid), 'SIGKILL');
      await first.exited;
      expect(leftovers(pid)).not.toEqual([]);

      const dir = join(folder, 'namespaces');
      const second = chaos(['--replay', killed, '--dir', dir]);
      const own = (await second.said(/process (\d+)/))[1] ?? '';
      const { code, output } = await second.exited;
      expect(code, output).toBe(0);
      expect(output).toContain(`left over by a run that was killed, removed: namespace qj${pid}n0`);
      expect([...leftovers(pid), ...leftovers(own)]).toEqual([]);
      expect(readFileSync(join(dir, 'schedule.json'), 'utf8')).toBe(
        readFileSync(join(killed, 'schedule.json'), 'utf8'),
      );
      const { faults, operations, serviceLevels } = read(dir);
      expect(faults['partition-one']?.injected).toBeGreaterThan(0);
      expect(faults['power-leader']?.injected).toBeGreaterThan(0);
      expect(Object.values(operations).every(({ ok }) => ok > 0)).toBe(true);
      expect(serviceLevels.met).toBe(true);
    });
  });
} else {
  test(`${suite}: why it is not run`, () => {
    const why = Object.entries(tools).flatMap(([tool, reason]) => (reason === null ? [] : [`${tool}: ${reason}`]));
    if (process.env.CHAOS_TESTS === 'required') throw new Error(why.join('; '));
    console.warn(`NOT RUN: ${suite}: ${why.join('; ')}`);
    expect(why).not.toEqual([]);
  });
}
