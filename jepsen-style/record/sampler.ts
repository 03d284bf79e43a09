/** Once a second: who leads, and what the operations of that second came to. Also the first to see two leaders of one term. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import type { Op, RunClock } from './history.ts';

const EVERY_MS = 1_000;

/** One line of `samples.ndjson`. `latencyMs`: of what was carried out in that second; null: nothing was. */
export interface Sample {
  readonly time: number;
  readonly leader: string | null;
  readonly term: number;
  readonly ok: number;
  readonly fail: number;
  readonly info: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
}

export class Sampler {
  /** Members that said to lead a term, by term. */
  readonly leaders = new Map<number, Set<string>>();
  readonly #cluster: Cluster;
  readonly #clock: RunClock;
  readonly #out: WriteStream;
  readonly #counts = { ok: 0, fail: 0, info: 0 };
  #latenciesMs: number[] = [];
  #timer: NodeJS.Timeout | null = null;
  #asking: Promise<void> = Promise.resolve();

  constructor(dir: string, cluster: Cluster, clock: RunClock) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#out = createWriteStream(join(dir, 'samples.ndjson'));
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#asking = this.#sample().catch(() => undefined);
    }, EVERY_MS);
  }

  /** Every operation of every history passes here. */
  saw(op: Op, latencyMs: number | null): void {
    if (op.type === 'invoke' || latencyMs === null) return;
    this.#counts[op.type] += 1;
    if (op.type === 'ok') this.#latenciesMs.push(latencyMs);
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#asking;
    await new Promise<void>((resolve) => this.#out.end(() => resolve()));
  }

  async #sample(): Promise<void> {
    const time = this.#clock.nowNs();
    const counts = { ...this.#counts };
    Object.assign(this.#counts, { ok: 0, fail: 0, info: 0 });
    const sorted = this.#latenciesMs.sort((a, b) => a - b);
    this.#latenciesMs = [];
    const statuses = await this.#cluster.statuses();
    let leader: string | null = null;
    let term = 0;
    for (const { status } of statuses) {
      const [stream] = status.streams;
      if (stream === undefined) continue;
      term = Math.max(term, stream.term);
      if (stream.role !== 'leader') continue;
      this.leaders.set(stream.term, (this.leaders.get(stream.term) ?? new Set()).add(status.memberId));
      if (stream.term === term) leader = status.memberId;
    }
    const latencyMs = sorted.length === 0 ? null : { p50: at(sorted, 0.5), p99: at(sorted, 0.99), max: at(sorted, 1) };
    const sample: Sample = { time, leader, term, ...counts, latencyMs };
    this.#out.write(`${JSON.stringify(sample)}\n`);
  }
}

function at(sorted: readonly number[], q: number): number {
  return Math.round((sorted[Math.floor(q * (sorted.length - 1))] ?? 0) * 100) / 100;
}
