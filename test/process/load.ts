/**
 * A closed-loop load generator: each client has one call under way at a time and takes the retry hint of a refusal
 * seriously. The request is encoded once, so that the generator costs little beside the members it shares the machine
 * with.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { ReportProgressRequestSchema } from '../../src/gen/quorate/v1/phase_pb.ts';
import { parseStatus } from '../../src/rpc/status.ts';

const PATH = '/quorate.v1.PhaseService/ReportProgress';
const CONNECTIONS = 32;
/** Long: with 2,000 calls in one process grpc-js lets a few wait for ten seconds and more before it sends them. */
const DEADLINE_MS = 60_000;

export interface LoadTarget {
  readonly address: string;
  readonly loop: string;
  readonly token: number;
}

export interface LoadResult {
  readonly clients: number;
  readonly seconds: number;
  readonly ok: number;
  readonly refused: number;
  /** Refusals that did not say RESOURCE_EXHAUSTED, OVERLOADED and when to come back. */
  readonly refusedBadly: number;
  readonly failed: readonly string[];
  /** Median over whole seconds: one stall of the machine, in either direction, does not decide. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One ReportProgress, encoded. */
export function requestOf(target: LoadTarget): Buffer {
  const message = create(ReportProgressRequestSchema, {
    header: { caller: 'load' },
    ref: { loop: target.loop, g: 1n, phase: 'ANALYZE' },
    fencingToken: BigInt(target.token),
    completed: 1n,
    total: 2n,
    note: 'x'.repeat(128),
  });
  return Buffer.from(toBinary(ReportProgressRequestSchema, message));
}

const identity = (bytes: Buffer): Buffer => bytes;

/** One ReportProgress with an encoded request. */
export function unaryCall(client: Client, request: Buffer): Promise<ServiceError | null> {
  return new Promise((resolve) => {
    const deadline = new Date(Date.now() + DEADLINE_MS);
    client.makeUnaryRequest(PATH, identity, identity, request, { deadline }, (error) => resolve(error));
  });
}

/** Runs `clients` closed loops against `targets` for `seconds`. */
export async function runLoad(targets: readonly LoadTarget[], clients: number, seconds: number): Promise<LoadResult> {
  const bodies = targets.map((target) => ({ address: target.address, request: requestOf(target) }));
  const pools = new Map<string, Client[]>();
  for (const { address } of bodies) {
    if (pools.has(address)) continue;
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const pool = Array.from({ length: CONNECTIONS }, () => new Client(address, credentials.createInsecure(), options));
    pools.set(address, pool);
  }
  const latencies: number[] = [];
  const bySecond: number[] = Array.from({ length: Math.floor(seconds) }, () => 0);
  const failed: string[] = [];
  let ok = 0;
  let refused = 0;
  let refusedBadly = 0;
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;

  const loop = async (index: number): Promise<void> => {
    const target = bodies[index % bodies.length];
    const client = target && pools.get(target.address)?.[index % CONNECTIONS];
    if (target === undefined || client === undefined) throw new Error('there is a target');
    while (performance.now() < endMs) {
      const sentMs = performance.now();
      const error = await unaryCall(client, target.request);
      if (error === null) {
        ok += 1;
        const second = Math.floor((performance.now() - startMs) / 1000);
        if (second < bySecond.length) bySecond[second] = (bySecond[second] ?? 0) + 1;
        latencies.push(performance.now() - sentMs);
        continue;
      }
      const { reason, retryAfterMs } = parseStatus(error);
      if (error.code !== status.RESOURCE_EXHAUSTED) {
        failed.push(`${error.code} ${reason}: ${error.message}`);
        continue;
      }
      refused += 1;
      if (reason !== 'OVERLOADED' || retryAfterMs === null || retryAfterMs <= 0) refusedBadly += 1;
      // Full jitter around the hint, as a well-behaved client does.
      await delay((retryAfterMs ?? 1) * (0.5 + Math.random()));
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => loop(index)));
  for (const pool of pools.values()) for (const client of pool) client.close();
  latencies.sort((a, b) => a - b);
  const at = (q: number): number => latencies[Math.floor(q * (latencies.length - 1))] ?? Number.NaN;
  const elapsed = (performance.now() - startMs) / 1000;
  const perSecond = bySecond.sort((a, b) => a - b)[Math.floor(bySecond.length / 2)] ?? Number.NaN;
  return { clients, seconds: elapsed, ok, refused, refusedBadly, failed, perSecond, p50Ms: at(0.5), p99Ms: at(0.99) };
}
