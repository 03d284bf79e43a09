/** What every demo starts with, and how it ends: whatever happens, nothing of it is left behind. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { QuorateClient } from '../client/client.ts';
import type { AgentProcess } from './agent-process.ts';
import type { DemoCluster } from './cluster.ts';
import type { Provider } from './provider.ts';
import type { LiveView } from './view.ts';

/** How long interrupted work may take to notice it, milliseconds. */
const SETTLE_MAX_MS = 5_000;

export interface DemoDeps {
  /** Starts members that keep their data in the folder; resolves when one leads. */
  readonly startCluster: (members: number, dataDir: string) => Promise<DemoCluster>;
  readonly view: LiveView;
  /** Path of `dist/cli/main.js`. */
  readonly cli: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Everything that must not outlive the demo; also run, as far as it goes without waiting, when the process exits. */
export class Cleanup {
  readonly #folders: string[] = [];
  readonly #agents = new Set<AgentProcess>();
  #done = false;
  client: QuorateClient | null = null;
  cluster: DemoCluster | null = null;
  /** The outside world of the recovery demo. */
  provider: Provider | null = null;
  readonly #onExit = (): void => {
    for (const member of this.cluster?.members ?? []) member.kill('SIGKILL');
    for (const agent of this.#agents) void agent.kill();
    this.#removeFolders();
  };

  constructor() {
    process.once('exit', this.#onExit);
  }

  temporary(prefix: string, keep: boolean): string {
    const folder = mkdtempSync(join(tmpdir(), prefix));
    if (!keep) this.#folders.push(folder);
    return folder;
  }

  agent(agent: AgentProcess): void {
    if (this.#done) void agent.kill();
    this.#agents.add(agent);
    void agent.exited.then(() => this.#agents.delete(agent));
  }

  /** `work`: what may still use the folders; ending the processes is what makes it end too. */
  async run(work: Promise<unknown>): Promise<void> {
    this.#done = true;
    await this.#endProcesses();
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    let timer: ReturnType<typeof setTimeout> | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_MAX_MS);
    });
    await Promise.race([settled, enough]);
    clearTimeout(timer);
    // What was being started meanwhile.
    await this.#endProcesses();
    this.#removeFolders();
    // The work that did not end may write once more; then the exit removes it.
    void settled.then(() => process.off('exit', this.#onExit));
  }

  async #endProcesses(): Promise<void> {
    await this.client?.close();
    await Promise.all([...this.#agents].map((agent) => agent.kill()));
    await this.cluster?.stop();
    await this.provider?.stop();
  }

  #removeFolders(): void {
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a demo. Rejects with the signal's reason when that fires; cleans up either way before it settles. */
export async function runCleanly<Result>(
  { signal, view }: Pick<DemoDeps, 'signal' | 'view'>,
  demo: (cleanup: Cleanup) => Promise<Result>,
): Promise<Result> {
  const cleanup = new Cleanup();
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
  });
  const work = demo(cleanup);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    view.end();
    await cleanup.run(work);
  }
}
