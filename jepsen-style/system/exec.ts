/** Programs of the system: they end, or they are ended, and a failure says what they had to say. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';

const TIMEOUT_MS = 30_000;

export interface ExecOptions {
  /** For stdin. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Resolves with stdout. Rejects when the program fails, is not there, or takes too long. */
export function exec(command: readonly string[], options: ExecOptions = {}): Promise<string> {
  const [file = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = execFile(file, args, { timeout: options.timeoutMs ?? TIMEOUT_MS }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command.join(' ')}: ${firstLines(stderr) || error.message}`));
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
  });
}

/** The same where nothing may be awaited: on the way out. Returns null instead of throwing. */
export function execNow(command: readonly string[], input = ''): string | null {
  const [file = '', ...args] = command;
  try {
    return execFileSync(file, args, {
      input,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  } catch {
    return null;
  }
}

/** Why the command does not work here; null: it does. */
export async function refusalOf(command: readonly string[], input = ''): Promise<string | null> {
  return exec(command, { input, timeoutMs: 10_000 }).then(
    () => null,
    (error: Error) => error.message,
  );
}

/** A program that runs until it is told to stop. */
export class Background {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;

  constructor(command: readonly string[]) {
    const [file = '', ...args] = command;
    this.#child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    this.#child.stdin?.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.once('error', () => resolve());
    });
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Writes a line to it. */
  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** SIGTERM, and SIGKILL when that is not enough. */
  async stop(graceMs = 2_000): Promise<void> {
    if (!this.running) return;
    this.#child.kill('SIGTERM');
    const insist = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await this.#gone;
    clearTimeout(insist);
  }

  /** On the way out. */
  killNow(): void {
    this.#child.kill('SIGKILL');
  }
}

function firstLines(text: string): string {
  return text.trim().split('\n').slice(0, 3).join('; ');
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks every `everyMs` until it is so. Resolves with false after `timeoutMs`; a question that fails is answered with no. */
export async function eventually(
  question: () => Promise<boolean> | boolean,
  timeoutMs: number,
  everyMs = 100,
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const yes = await Promise.resolve()
      .then(question)
      .catch(() => false);
    if (yes) return true;
    if (performance.now() >= endMs) return false;
    await pause(everyMs);
  }
}
