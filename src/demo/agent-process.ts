/** An agent as a child process: started, listened to, held, let go and killed by the demo. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { must } from '../types/assert.ts';
import type { AgentMessage } from './protocol.ts';

/** How long the demo waits for the next thing that it expects of an agent, milliseconds. */
const EXPECT_MS = 45_000;

export type MessageOf<Kind extends AgentMessage['kind']> = Extract<AgentMessage, { kind: Kind }>;

export interface AgentProcessOptions {
  /** The hidden command of the agent, with its options. */
  readonly args: readonly string[];
  /** Path of `dist/cli/main.js`. */
  readonly cli: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onMessage: (message: AgentMessage) => void;
}

export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #listeners = new Set<(message: AgentMessage) => void>();
  readonly #seen: AgentMessage[] = [];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  #stderr = '';

  constructor(options: AgentProcessOptions) {
    const { cli, args, env } = options;
    this.#child = spawn(process.execPath, [cli, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env });
    // Writing to an agent that has just been killed is no news.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_096);
    });
    const lines = createInterface({ input: must(this.#child.stdout, 'the agent has a stdout') });
    lines.on('line', (line) => {
      const message = JSON.parse(line) as AgentMessage;
      this.#seen.push(message);
      options.onMessage(message);
      for (const listener of this.#listeners) listener(message);
    });
    this.exited = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => resolve({ code, signal }));
      this.#child.once('error', () => resolve({ code: null, signal: null }));
    });
  }

  /** What it has said so far. */
  get messages(): readonly AgentMessage[] {
    return this.#seen;
  }

  /** Lets it go on after a hold. */
  go(): void {
    this.#child.stdin?.write('go\n');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  /** The next message of a kind that fits. Rejects when the agent ends first, or says nothing of it for long. */
  async next<Kind extends AgentMessage['kind']>(
    kind: Kind,
    fits: (message: MessageOf<Kind>) => boolean = () => true,
  ): Promise<MessageOf<Kind>> {
    let listener: (message: AgentMessage) => void = () => undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const found = new Promise<MessageOf<Kind>>((resolve, reject) => {
      listener = (message) => {
        if (message.kind === kind && fits(message as MessageOf<Kind>)) resolve(message as MessageOf<Kind>);
      };
      timer = setTimeout(
        () => reject(new Error(`the agent did not come to "${kind}" in ${EXPECT_MS / 1000} s`)),
        EXPECT_MS,
      );
      void this.exited.then(({ code, signal }) => reject(new Error(this.#obituary(code, signal))));
    });
    this.#listeners.add(listener);
    try {
      return await found;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    }
  }

  /** Resolves when it has ended well. */
  async done(): Promise<void> {
    const { code, signal } = await this.exited;
    if (code !== 0) throw new Error(this.#obituary(code, signal));
  }

  #obituary(code: number | null, signal: NodeJS.Signals | null): string {
    const words =
      this.#stderr
        .trim()
        .split('\n')
        .at(-1)
        ?.replace(/^quorate: /, '') ?? '';
    return `the agent ended (${signal ?? `exit code ${code}`})${words === '' ? '' : `: ${words}`}`;
  }
}
