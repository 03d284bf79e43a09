/** One member as a process: started again and again, killed, paused, and its log kept. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';

export interface MemberPlace {
  /** Slot of the cluster, from 0: a machine. The id changes when a new member comes to it. */
  readonly slot: number;
  readonly peerAddress: string;
  readonly clientAddress: string;
  readonly httpAddress: string;
  readonly dataDir: string;
  readonly logFile: string;
  /** What has to come before the command for it to run in this place. */
  readonly prefix: readonly string[];
}

export interface MemberCommand {
  readonly id: string;
  /** Flags of `quorate server`. */
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What a member that ended by itself ended with. */
export interface UnexpectedExit {
  readonly slot: number;
  readonly id: string;
  readonly code: number | null;
  readonly signal: string | null;
}

export class Member {
  readonly place: MemberPlace;
  readonly #cli: string;
  readonly #onExit: (exit: UnexpectedExit) => void;
  #command: MemberCommand;
  #child: ChildProcess | null = null;
  #gone: Promise<void> = Promise.resolve();
  /** Its end was wanted. */
  #asked = false;

  constructor(place: MemberPlace, cli: string, command: MemberCommand, onExit: (exit: UnexpectedExit) => void) {
    this.place = place;
    this.#cli = cli;
    this.#command = command;
    this.#onExit = onExit;
  }

  get id(): string {
    return this.#command.id;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  /** null while it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** From the next start on. */
  set command(command: MemberCommand) {
    this.#command = command;
  }

  /** Does nothing while it runs; does not wait until it serves. */
  start(): void {
    if (this.#child !== null) return;
    this.#asked = false;
    const { id, flags, env } = this.#command;
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const wrapped = variables.length === 0 ? [] : ['env', ...variables];
    const server = [process.execPath, this.#cli, 'server', '--exit-with-parent', ...flags];
    const [file = '', ...args] = [...this.place.prefix, ...wrapped, ...server];
    const log = openSync(this.place.logFile, 'a');
    writeSync(log, `--- ${new Date().toISOString()} starting ${id}\n`);
    // `nsenter` and `env` become the member: signals reach it, and the pipe on stdin ties its life to ours.
    const child = spawn(file, args, { stdio: ['pipe', log, log] });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        if (this.#child === child) this.#child = null;
        if (!this.#asked) this.#onExit({ slot: this.place.slot, id, code, signal });
        resolve();
      };
      child.once('exit', end);
      child.once('error', () => end(null, null));
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** kill -9, and until it is gone. */
  async kill(): Promise<void> {
    this.#asked = true;
    this.signal('SIGKILL');
    await this.#gone;
  }

  /** Asks it to end, and insists. */
  async stop(graceMs = 10_000): Promise<void> {
    this.#asked = true;
    this.signal('SIGTERM');
    const insist = setTimeout(() => this.signal('SIGKILL'), graceMs);
    await this.#gone;
    clearTimeout(insist);
  }

  /** It may end by itself from now on: it was told to. */
  expectExit(): void {
    this.#asked = true;
  }

  async exited(): Promise<void> {
    await this.#gone;
  }

  /** On the way out. */
  killNow(): void {
    this.#asked = true;
    this.#child?.kill('SIGKILL');
  }
}
