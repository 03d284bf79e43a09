import { execFileSync } from 'node:child_process';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { bashCompletion } from '../../src/cli/commands/completion.ts';
import type { Shell } from '../../src/cli/context.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { SETTINGS } from '../../src/server/config-settings.ts';
import { cli } from './run-cli.ts';

const shell: Shell = {
  stdout: { write: () => undefined },
  stderr: { write: () => undefined },
  env: {},
  cwd: '/',
  signal: new AbortController().signal,
  exitCode: EXIT.ok,
};

/** What the demos start; nobody else does. */
const HIDDEN: ReadonlySet<string> = new Set(['demo-agent', 'demo-provision-agent']);

/** Commands that do something, by their words. */
function leaves(command: Command, path: readonly string[] = []): string[] {
  const subs = command.commands.filter((sub) => sub.name() !== 'help' && !HIDDEN.has(sub.name()));
  if (subs.length === 0) return [path.join(' ')];
  return subs.flatMap((sub) => leaves(sub, [...path, sub.name()]));
}

const program = buildProgram(shell, SETTINGS);

describe('U1: help', () => {
  test.each(leaves(program))('%s has a description and an example', async (path) => {
    const { code, stdout } = await cli([...path.split(' '), '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples?:\n {2}\S/);
    expect(stdout).toMatch(/^Usage: quorate/);
    expect(stdout).toMatch(/^Global Options:[\s\S]* {2}--endpoints <list>[\s\S]* {2}--json /m);
    expect(stdout).not.toContain('Default: .');
  });

  test('lists every exit code', async () => {
    const { stdout } = await cli(['--help']);
    for (const code of Object.values(EXIT)) expect(stdout).toMatch(new RegExp(`^  ${code} +\\S`, 'm'));
    for (const hidden of HIDDEN) expect(stdout).not.toContain(hidden);
  });
});

describe('U1: bash completion', () => {
  const script = bashCompletion(program);
  const complete = (...words: string[]): string[] => {
    const array = words.map((word) => `'${word}'`).join(' ');
    const run = `${script}\nCOMP_WORDS=(quorate ${array}); COMP_CWORD=${words.length}; _quorate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', run], { encoding: 'utf8' }).trim().split('\n');
  };

  test.each<[string[], string[]]>([
    [['st'], ['status']],
    [['phase', 'c'], ['commit']],
    [
      ['--json', 'loop', ''],
      ['create', 'list', 'show'],
    ],
    [['phase', 'commit', 'nightly', 'ANALYZE', '--tok'], ['--token']],
    [['server', '--raft-t'], ['--raft-tick-ms']],
  ])('%j', (words, expected) => {
    const found = complete(...words);
    expect(words.at(-1) === '' ? found.filter((word) => !word.startsWith('-')) : found).toEqual(expected);
  });
});
