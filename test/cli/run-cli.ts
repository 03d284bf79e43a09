/** The command line, in this process (fast, for most tests) or as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Shell } from '../../src/cli/context.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { runProgram } from '../../src/cli/program.ts';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

class Collector {
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

export interface InProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
}

export async function cli(args: readonly string[], options: InProcessOptions = {}): Promise<CliResult> {
  const stdout = new Collector(options.tty === true);
  const stderr = new Collector(options.tty === true);
  const shell: Shell = {
    stdout,
    stderr,
    env: options.env ?? {},
    cwd: options.cwd ?? process.cwd(),
    signal: options.signal ?? new AbortController().signal,
    exitCode: EXIT.ok,
  };
  await runProgram(shell, args);
  return { code: shell.exitCode, stdout: stdout.text, stderr: stderr.text };
}

export interface CliProcess {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
  /** Resolves when stdout or stderr contains the text. */
  shows(text: string): Promise<void>;
  /** What is on stdout by now. */
  printed(): string;
}

export function spawnCli(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): CliProcess {
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  const waiting: { text: string; done: () => void }[] = [];
  const look = (): void => {
    for (const { text, done } of waiting) if (stdout.includes(text) || stderr.includes(text)) done();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    look();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    look();
  });
  const result = new Promise<CliResult>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  const shows = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.push({ text, done: resolve });
      void result.then(() => reject(new Error(`ended without showing ${JSON.stringify(text)}: ${stdout}${stderr}`)));
      look();
    });
  return { child, result, shows, printed: () => stdout };
}

/** True while a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
