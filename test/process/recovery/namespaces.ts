/** Members in network namespaces, so that the network between them can be cut without a word (root, iproute2, nftables). */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Network } from '../../../bench/lib/network.mjs';
import { cliPath } from '../../support/build.ts';

const PORTS = { client: 7400, peer: 7401, http: 7402 } as const;
/** Not that of the benches. */
const SUBNET = '10.83.8';

/** Why namespaces cannot be made or cut here; null: they can. */
export function refusal(): string | null {
  const probe = new Network(1, SUBNET);
  try {
    probe.up();
    probe.isolate(0);
    return null;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split('\n').slice(0, 2).join(': ');
  } finally {
    probe.down();
  }
}

export class NamespaceCluster {
  readonly #network: Network;
  readonly #folder: string;
  readonly #flags: readonly string[];
  readonly #children: ChildProcess[] = [];
  readonly #exits: Promise<unknown>[] = [];
  readonly #count: number;
  /** However this process ends: namespaces outlive it. */
  readonly #onExit = (): void => this.#network.down();

  private constructor(count: number, folder: string, flags: readonly string[]) {
    this.#network = new Network(count, SUBNET);
    this.#count = count;
    this.#folder = folder;
    this.#flags = flags;
  }

  /** Members m0, m1 and so on. When it fails nothing is left. */
  static async start(count: number, folder: string, flags: readonly string[]): Promise<NamespaceCluster> {
    const cluster = new NamespaceCluster(count, folder, flags);
    process.once('exit', cluster.#onExit);
    try {
      cluster.#network.up();
      for (const i of cluster.all) cluster.#startMember(i);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get all(): readonly number[] {
    return Array.from({ length: this.#count }, (_, i) => i);
  }

  clientAddress(i: number): string {
    return `${this.#network.address(i)}:${PORTS.client}`;
  }

  dataDir(i: number): string {
    return join(this.#folder, `m${i}`);
  }

  /** Silence between the two sides; this process still reaches everybody. */
  cut(side: readonly number[], other: readonly number[]): void {
    this.#network.cut(side, other);
  }

  heal(): void {
    this.#network.heal();
  }

  /** Values of the series without labels, by name. */
  async metrics(i: number): Promise<ReadonlyMap<string, number>> {
    const url = `http://${this.#network.address(i)}:${PORTS.http}/metrics`;
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    const lines = (await response.text()).split('\n');
    return new Map(
      lines.flatMap((line) => {
        const [, name, value] = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, Number(value)] as const];
      }),
    );
  }

  async stop(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(this.#exits);
    this.#network.down();
    process.off('exit', this.#onExit);
  }

  #startMember(i: number): void {
    const members = this.all.map((one) => ({
      id: `m${one}`,
      peerAddress: `${this.#network.address(one)}:${PORTS.peer}`,
      clientAddress: this.clientAddress(one),
    }));
    const own = ['--cluster-id', 'cut', '--member-id', `m${i}`, '--data-dir', this.dataDir(i)];
    const http = ['--http-listen', `${this.#network.address(i)}:${PORTS.http}`];
    const server = [cliPath, 'server', '--exit-with-parent', ...own, ...http, '--members', JSON.stringify(members)];
    const namespace = ['netns', 'exec', this.#network.namespace(i)];
    const log = openSync(join(this.#folder, `m${i}.log`), 'a');
    // `ip netns exec` becomes the member: signals reach it, and the pipe on stdin ties its life to ours.
    const child = spawn('ip', [...namespace, process.execPath, ...server, ...this.#flags], {
      stdio: ['pipe', log, log],
    });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    this.#children.push(child);
    this.#exits.push(
      new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.once('error', () => resolve());
      }),
    );
  }
}
