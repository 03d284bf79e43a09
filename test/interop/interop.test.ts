/**
 * Issue 2, done when 6 (U2): a client in another language, made from proto/ with the tools of Debian 12, runs a whole
 * round against three members, and the health and reflection services answer it. Where Python's gRPC is not installed the
 * test reports that it did not run; with INTEROP_TESTS=required, as in CI, that is a failure.
 *
 * The example of the README runs against the same cluster.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transform } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { cliPath } from '../support/build.ts';
import { projectRoot, readText } from '../tidy/files.ts';
import { generateStubs, missingTools, PYTHON } from './stubs.ts';

const COMMAND_MS = 90_000;

interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; it is killed when it takes longer than it may. */
function run(command: string, args: readonly string[]): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: projectRoot, stdio: ['ignore', 'pipe', 'pipe'], timeout: COMMAND_MS });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('U2: clients that are not ours', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-interop-'));
  let cluster: DevCluster | null = null;

  beforeAll(async () => {
    cluster = await startDevCluster({
      members: 3,
      dataDir: join(folder, 'data'),
      cli: cliPath,
    });
  });

  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const endpoints = (): readonly string[] => cluster?.endpoints ?? [];

  it('a Python client runs a round, and health and reflection answer it', async (context) => {
    const missing = missingTools();
    if (missing !== null) {
      if (process.env.INTEROP_TESTS === 'required') throw new Error(missing);
      context.skip(`NOT RUN: ${missing}`);
    }
    const stubs = join(folder, 'stubs');
    generateStubs(stubs);
    const output = await run(PYTHON, [join(projectRoot, 'test/interop/round.py'), stubs, endpoints().join(',')]);
    expect(output.stderr).toBe('');
    expect(output.code).toBe(0);
    const answer = JSON.parse(output.stdout) as { readonly ok: boolean; readonly tokens: readonly number[] };
    expect(answer).toMatchObject({ ok: true, members: 3 });
    expect(answer.tokens).toHaveLength(5);
  });

  it('the example of the README does what it says', async () => {
    const example = /```ts\n([\s\S]*?)```/.exec(readText('README.md'))?.[1] ?? '';
    const local = example.replace(/endpoints: \[.*?\]/, `endpoints: ${JSON.stringify(endpoints())}`);
    expect(local).not.toBe(example);
    const { code } = await transform(local, { loader: 'ts', target: 'es2022' });
    // Inside the project, so that 'quorate/client' means this package as users get it.
    const script = join(projectRoot, '.cache', 'readme-example.mjs');
    mkdirSync(join(projectRoot, '.cache'), { recursive: true });
    writeFileSync(script, code);
    const output = await run(process.execPath, [script]);
    expect(output.stderr).toBe('');
    expect(output.code).toBe(0);
    const kinds = output.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[1]);
    expect(kinds[0]).toBe('loop.created');
    expect(kinds.filter((kind) => kind === 'phase_transition.finished')).toHaveLength(5);
    expect(kinds.at(-1)).toBe('phase_ready');
  });
});
