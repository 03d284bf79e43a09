/** One member as a child process that ends when its parent does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { MemberAddress } from './config.ts';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DevMemberOptions {
  readonly address: MemberAddress;
  /** Where it serves HTTP, host:port; left out: nowhere, or the flags say it. */
  readonly httpAddress?: string;
  /** Path of the command line's entry, `dist/cli/main.js`. */
  readonly cli: string;
  /** Flags of `quorate server`. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** stdout and stderr of the process are appended here. */
  readonly logFile: string;
}

/** As in the image (Dockerfile): memory under load is bounded alike on all versions of Node.js. */
const MEMORY_FLAGS = ['--max-semi-space-size=16'];
const MEMORY_ENV = { MALLOC_ARENA_MAX: '2', MALLOC_TRIM_THRESHOLD_: '131072' };

export class DevMember {
  readonly id: string;
  readonly clientAddress: string;
  /** '' when it is not known. */
  readonly httpAddress: string;
  readonly logFile: string;
  readonly #options: DevMemberOptions;
  #child: ChildProcess | null = null;
  #stopped = false;
  #exited: Promise<Exit> = Promise.resolve({ code: null, signal: null });

  constructor(options: DevMemberOptions) {
    this.#options = options;
    this.id = options.address.id;
    this.clientAddress = options.address.clientAddress;
    this.httpAddress = options.httpAddress ?? '';
    this.logFile = options.logFile;
  }

  /** null while it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when the process that was started last has ended. */
  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** Starts the process; does not wait until it serves. Does nothing while it runs, nor after `stop`. */
  start(): void {
    if (this.#child !== null || this.#stopped) return;
    const { cli, flags, env, logFile } = this.#options;
    mkdirSync(dirname(logFile), { recursive: true });
    const log = openSync(logFile, 'a');
    // The pipe on stdin is what ties the child's life to ours: it closes however this process ends.
    const child = spawn(process.execPath, [...MEMORY_FLAGS, cli, 'server', '--exit-with-parent', ...flags], {
      stdio: ['pipe', log, log],
      env: { ...MEMORY_ENV, ...env },
    });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        if (this.#child === child) this.#child = null;
        resolve(exit);
      };
      child.once('exit', (code, signal) => end({ code, signal }));
      child.once('error', () => end({ code: null, signal: null }));
    });
    // Writing to a child that has just died is no news.
    child.stdin?.on('error', () => undefined);
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child?.kill(signal);
  }

  /** Asks it to stop, and insists after `graceMs`. It can not be started again. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    if (this.#child === null) return;
    this.kill('SIGTERM');
    const insist = setTimeout(() => this.kill('SIGKILL'), graceMs);
    await this.#exited;
    clearTimeout(insist);
  }

  /** The last thing that the process said for people, for messages. */
  lastWords(): string {
    try {
      const lines = readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
      return lines.findLast((line) => line.startsWith('quorate: ')) ?? lines.at(-1) ?? '';
    } catch {
      return '';
    }
  }
}
