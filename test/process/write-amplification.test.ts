/**
 * W6: bytes that a member writes to its disk for each byte that clients propose, by the kernel's own count
 * (`/proc/PID/io`, write_bytes), tables, images and compaction included. In a steady state: the log has gone round once, so
 * that its segments are written again instead of anew.
 *
 * Two kinds of work: checkpoints that replace each other (the same rows again and again), and sub-steps whose results stay
 * for good (each command leaves a new row). Text is random, so that compression does not help.
 *
 * What is guarded: checkpoints of 1 KiB and more, which stay below a ratio. Checkpoints of 128 bytes and sub-steps are measured
 * and printed with AMPLIFICATION_ROWS=all, and only checked to have been counted: with the former the pages of the disk weigh more than the bytes in them,
 * with the latter the tables grow as long as the test runs, and are written beside the log.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { ReportProgressRequestSchema } from '../../src/gen/quorate/v1/phase_pb.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { cliPath } from '../support/build.ts';
import { unaryCall } from './load.ts';
import { beginLongPhase } from './long-phase.ts';

const CLIENTS = 64;
const LOOPS = 64;
const MiB = 2 ** 20;
/** The log keeps this much beside the segments in use; small, so that it goes round within the warm-up. */
const FLAGS = [
  '--wal-keep-bytes',
  String(8 * MiB),
  '--wal-keep-slow-bytes',
  String(8 * MiB),
  '--wal-segment-bytes',
  String(4 * MiB),
];
/** Enough for the log to go round once. */
const WARM_UP_BYTES = 24 * MiB;

interface Row {
  readonly work: 'checkpoints' | 'sub-steps';
  readonly bytes: number;
  /** Proposed before it is measured, and while it is. */
  readonly warmUpBytes: number;
  readonly totalBytes: number;
  /** Guard on every member; null: measured and printed only. */
  readonly ratioMax: number | null;
}

const ALL_ROWS: readonly Row[] = [
  { work: 'checkpoints', bytes: 128, warmUpBytes: 4 * MiB, totalBytes: 4 * MiB, ratioMax: null },
  { work: 'checkpoints', bytes: 1024, warmUpBytes: WARM_UP_BYTES, totalBytes: 16 * MiB, ratioMax: 2.2 },
  { work: 'checkpoints', bytes: 16 * 1024, warmUpBytes: WARM_UP_BYTES, totalBytes: 32 * MiB, ratioMax: 2.2 },
  { work: 'sub-steps', bytes: 1024, warmUpBytes: WARM_UP_BYTES, totalBytes: 32 * MiB, ratioMax: null },
];

/** A minute less in a run of all tests: what is only measured is measured when somebody asks for it. */
const ROWS = process.env.AMPLIFICATION_ROWS === 'all' ? ALL_ROWS : ALL_ROWS.filter(({ ratioMax }) => ratioMax !== null);

async function writtenBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8');
  return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}

describe('W6: write amplification', () => {
  let folder: string;
  let cluster: DevCluster;
  let client: QuorateClient;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quorate-amplification-'));
    cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath, flags: FLAGS });
    client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'amplification' });
  });

  afterEach(async () => {
    await client?.close();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** One running phase for each loop: its token. */
  async function begin(): Promise<readonly number[]> {
    const session = await client.openSession();
    const tokens = await Promise.all(Array.from({ length: LOOPS }, (_, i) => beginLongPhase(session, `loop-${i}`)));
    await session.close();
    return tokens;
  }

  let unique = 0;
  function request(row: Row, loop: number, token: number): Buffer {
    // Half as many bytes as hexadecimal digits.
    const text = randomBytes(Math.ceil(row.bytes / 2))
      .toString('hex')
      .slice(0, row.bytes);
    unique += 1;
    const message = create(ReportProgressRequestSchema, {
      header: { caller: 'load' },
      ref: { loop: `loop-${loop}`, g: 1n, phase: 'ANALYZE' },
      fencingToken: BigInt(token),
      ...(row.work === 'checkpoints' ? { checkpoint: text } : { subSteps: [{ id: `step-${unique}`, result: text }] }),
    });
    return Buffer.from(toBinary(ReportProgressRequestSchema, message));
  }

  /** Proposes about `totalBytes`; returns the exact number. */
  async function propose(row: Row, tokens: readonly number[], address: string, totalBytes: number): Promise<number> {
    const connections = Array.from(
      { length: 8 },
      () => new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 }),
    );
    let bytes = 0;
    const loop = async (i: number): Promise<void> => {
      const connection = connections[i % connections.length];
      if (connection === undefined) throw new Error('there is a connection');
      while (bytes < totalBytes) {
        const body = request(row, i, tokens[i] ?? 0);
        bytes += body.length;
        const error = await unaryCall(connection, body);
        if (error !== null) throw error;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => loop(i)));
    for (const connection of connections) connection.close();
    return bytes;
  }

  it.each(ROWS)('$work of $bytes bytes', { timeout: 180_000 }, async (row) => {
    const tokens = await begin();
    const leader = await cluster.waitForLeader();
    await propose(row, tokens, leader.clientAddress, row.warmUpBytes);
    const pids = cluster.members.map((member) => member.pid ?? -1);
    const before = await Promise.all(pids.map(writtenBytes));
    const proposed = await propose(row, tokens, leader.clientAddress, row.totalBytes);
    const after = await Promise.all(pids.map(writtenBytes));
    const ratios = after.map((bytes, i) => (bytes - (before[i] ?? 0)) / proposed);
    const shown = ratios.map((ratio) => ratio.toFixed(2)).join(', ');
    console.log(`write amplification, ${row.work} of ${row.bytes} bytes: ${shown} (${proposed} bytes proposed)`);
    for (const ratio of ratios) {
      // Less than was proposed cannot be: then the kernel did not count this file system.
      expect(ratio).toBeGreaterThan(0.9);
      if (row.ratioMax !== null) expect(ratio).toBeLessThanOrEqual(row.ratioMax);
    }
  });
});
