/**
 * A constant load through the client library, as users have it, that keeps account: what was acknowledged, what failed, and the
 * longest time in which nothing was written.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { QuorateClient, type Session } from '../../src/client/client.ts';
import { beginLongPhase } from './long-phase.ts';

const PHASE = 'ANALYZE';

interface Client {
  readonly client: QuorateClient;
  readonly session: Session;
  readonly loop: string;
  readonly token: number;
  next: number;
}

export class SteadyLoad {
  readonly failures: string[] = [];
  readonly latenciesMs: number[] = [];
  readonly #clients: Client[];
  readonly #pauseMs: number;
  /** Sub-steps that were acknowledged, by loop. */
  readonly #acknowledged = new Map<string, string[]>();
  #lastMs = performance.now();
  #stallMs = 0;
  #count = 0;
  #stopping = false;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(clients: Client[], pauseMs: number) {
    this.#clients = clients;
    this.#pauseMs = pauseMs;
  }

  /** `clients` of their own, each with a loop and a session; `pauseMs` between an answer and the next write, to leave others the machine. */
  static async start(endpoints: readonly string[], clients: number, pauseMs = 0): Promise<SteadyLoad> {
    const open = await Promise.all(
      Array.from({ length: clients }, async (_, i) => {
        const client = await QuorateClient.connect({ endpoints, caller: `steady-${i}` });
        const session = await client.openSession({ ttlMs: 600_000 });
        const loop = `steady-${i}`;
        const token = await beginLongPhase(session, loop);
        return { client, session, loop, token, next: 0 };
      }),
    );
    const load = new SteadyLoad(open, pauseMs);
    load.#lastMs = performance.now();
    load.#work = Promise.all(open.map((one) => load.#run(one)));
    return load;
  }

  get count(): number {
    return this.#count;
  }

  async #run(one: Client): Promise<void> {
    const { session, loop, token } = one;
    const acknowledged: string[] = [];
    this.#acknowledged.set(loop, acknowledged);
    while (!this.#stopping) {
      const id = `step-${one.next++}`;
      const sentMs = performance.now();
      try {
        const { subStepsKnown } = await session.reportProgress(
          { loop, g: 1, phase: PHASE },
          token,
          { subSteps: [{ id, result: id }] },
          { deadlineMs: 20_000 },
        );
        if (subStepsKnown.length > 0) this.failures.push(`${loop} ${id} was carried out twice`);
        acknowledged.push(id);
      } catch (error) {
        this.failures.push(`${loop} ${id}: ${error instanceof Error ? error.message : String(error)}`);
      }
      this.#wrote(performance.now(), sentMs);
      if (this.#pauseMs > 0) await delay(this.#pauseMs);
    }
  }

  #wrote(nowMs: number, sentMs: number): void {
    this.latenciesMs.push(nowMs - sentMs);
    this.#stallMs = Math.max(this.#stallMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#count += 1;
  }

  /** Longest time without a write since the last call, milliseconds; the time that runs now included. */
  takeStallMs(): number {
    const stallMs = Math.max(this.#stallMs, performance.now() - this.#lastMs);
    this.#stallMs = 0;
    return stallMs;
  }

  /** Latency at quantile `q` of the calls since the last call of this, milliseconds. */
  takeLatencyMs(q: number): number {
    const sorted = this.latenciesMs.splice(0).sort((a, b) => a - b);
    return sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#work;
  }

  /** Acknowledged sub-steps that the cluster does not have; empty when nothing was lost. */
  async lost(): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const { client, loop } of this.#clients) {
      const found = new Set<string>();
      for await (const { id } of client.listSubSteps({ loop, g: 1, phase: PHASE })) found.add(id);
      for (const id of this.#acknowledged.get(loop) ?? []) if (!found.has(id)) lost.push(`${loop} ${id}`);
    }
    return lost;
  }

  async close(): Promise<void> {
    await this.stop();
    await Promise.allSettled(this.#clients.map(({ client }) => client.close()));
  }
}
