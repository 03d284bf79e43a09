/**
 * Slow links: while one lasts, what members send each other goes through a TUN device into a program that holds it up
 * (relay-program.ts). Kernels without netem are common, and this needs no more than /dev/net/tun. Connections that are open stay
 * open.
 */
import { Background, eventually, exec } from './exec.ts';
import type { Network } from './network.ts';
import { RELAY_PROGRAM } from './relay-program.ts';

export interface Slowness {
  /** Each packet is held up for so long, milliseconds. */
  readonly delayMs: number;
  /** And for up to so much more, drawn for each packet: they overtake each other. */
  readonly jitterMs: number;
  /** Shares of packets, 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
}

const READY_MS = 10_000;

export class Relay {
  readonly #network: Network;
  #program: Background | null = null;
  #runs = 0;

  constructor(network: Network) {
    this.#network = network;
  }

  get busy(): boolean {
    return this.#program !== null;
  }

  /** Resolves when packets on `links` ([from, to]) go through the program. One at a time. */
  async start(links: readonly (readonly [number, number])[], slowness: Slowness): Promise<void> {
    if (this.#program !== null) throw new Error('the relay is busy');
    this.#runs += 1;
    const device = `slow${this.#runs}`;
    const nodes = Array.from({ length: this.#network.count }, (_, i) => ({
      namespace: this.#network.namespace(i),
      address: this.#network.address(i),
    }));
    const program = new Background([
      'python3',
      '-c',
      RELAY_PROGRAM,
      JSON.stringify({ device, nodes, links, ...slowness }),
    ]);
    this.#program = program;
    const routed = async (): Promise<boolean> => {
      if (!program.running) throw new Error('the relay has ended');
      const counts = await Promise.all(
        nodes.map(async ({ namespace }) => {
          const routes = await exec(['ip', '-n', namespace, 'route', 'show', 'dev', device]);
          return routes.split('\n').filter((line) => line !== '').length;
        }),
      );
      return counts.reduce((sum, count) => sum + count, 0) === links.length;
    };
    if (await eventually(routed, READY_MS)) return;
    await this.stop();
    throw new Error('the relay did not get ready');
  }

  async stop(): Promise<void> {
    const program = this.#program;
    await program?.stop();
    this.#program = null;
  }

  /** On the way out. */
  killNow(): void {
    this.#program?.killNow();
  }
}
