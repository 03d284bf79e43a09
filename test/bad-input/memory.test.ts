/**
 * What clients may hold of a member's memory: requests that stop just before their end, and answers that nobody takes,
 * many over one connection. Memory stays bounded, the member tells why, and others are served meanwhile.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type ClientHttp2Session, connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { ReadConsistency } from '../../src/gen/quorate/v1/common_pb.ts';
import { ListSubStepsRequestSchema } from '../../src/gen/quorate/v1/phase_pb.ts';
import { ExecuteRequestSchema } from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import {
  PAGE_BYTES_MAX,
  PARTIAL_CALL_MS_MAX,
  PIPELINE_CALLS_MAX,
  PIPELINES_MAX,
  PIPELINES_PER_CONNECTION_MAX,
  UNTAKEN_ANSWER_BYTES_MAX,
} from '../../src/types/limits.ts';
import { waitFor } from '../process/wait.ts';
import { cliPath } from '../support/build.ts';

const CALLS = 500;
/** 500 calls hold 500 MiB where nothing bounds them. */
const GROWTH_MAX_MIB = 350;
/** RST_STREAM (RFC 9113, section 7). */
const CANCEL = 8;
/** Of a page each, with some to spare. */
const ANSWERS_HELD_MAX = 1.25 * (UNTAKEN_ANSWER_BYTES_MAX / PAGE_BYTES_MAX);
const REF = { loop: 'big', g: 1, phase: 'ANALYZE' };

let folder: string;
let cluster: DevCluster;
let client: QuorateClient;
const connections: ClientHttp2Session[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-memory-'));
  cluster = await startDevCluster({ members: 1, dataDir: folder, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'memory' });
  await client.withoutSession.createLoop(REF.loop);
  const { token } = await client.withoutSession.beginPhase(REF);
  for (let report = 0; report < 4; report += 1) {
    const subSteps = Array.from({ length: 20 }, (_, i) => ({ id: `${report} ${i}`, result: 'x'.repeat(16_000) }));
    await client.withoutSession.reportProgress(REF, token, { subSteps });
  }
});

afterAll(async () => {
  for (const connection of connections) connection.destroy();
  await client?.close();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function residentMiB(): Promise<number> {
  const text = await readFile(`/proc/${cluster.members[0]?.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) / 1024;
}

interface Seen {
  readonly statuses: string[];
  /** Answers of which the head came. */
  heads: number;
  /** Calls that the member ended before all of their answers were taken. */
  cut: number;
}

/** Sends the same bytes as the body of many calls; the answers are never taken where the window is 0. */
function flood(method: string, body: Buffer, end: boolean, initialWindowSize: number, more: object = {}): Seen {
  const seen: Seen = { statuses: [], heads: 0, cut: 0 };
  floodOver(seen, CALLS, { method, body, end, initialWindowSize, more });
  return seen;
}

interface Flood {
  readonly method: string;
  readonly body: Buffer;
  readonly end: boolean;
  readonly initialWindowSize: number;
  readonly more: object;
}

/** Over one connection. */
function floodOver(seen: Seen, calls: number, { method, body, end, initialWindowSize, more }: Flood): void {
  const connection = connect(`http://${cluster.endpoints[0]}`, {
    settings: { initialWindowSize },
    // Node would take no answers itself while this much waits to be sent, MiB.
    maxSessionMemory: 4_096,
  });
  connection.on('error', () => undefined);
  connections.push(connection);
  const headers = {
    ':method': 'POST',
    ':path': `/quorate.v1.${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  };
  connection.once('remoteSettings', () => {
    for (let call = 0; call < calls; call += 1) {
      const stream = connection.request(headers, { endStream: false });
      stream.on('error', () => undefined);
      stream.once('close', () => {
        if (stream.rstCode === CANCEL) seen.cut += 1;
      });
      stream.once('response', (head) => {
        seen.heads += 1;
        if (head['grpc-status'] !== undefined) seen.statuses.push(String(head['grpc-status']));
      });
      if (end) stream.end(body);
      else stream.write(body);
    }
  });
}

describe('one client that holds many calls', () => {
  it('whose requests do not end: the oldest give way, and the rest when their time is over', async () => {
    const before = await residentMiB();
    const announced = Buffer.from([0, 0x00, 0x0f, 0xff, 0xf0]);
    const seen = flood(
      'PhaseService/ReportProgress',
      Buffer.concat([announced, Buffer.alloc(1_000_000)]),
      false,
      65_535,
    );
    await waitFor(() => seen.statuses.includes('8'), 20_000, 'calls are refused');
    expect((await client.getLoop(REF.loop)).loop.name).toBe(REF.loop);
    await waitFor(() => seen.statuses.length === CALLS, PARTIAL_CALL_MS_MAX + 30_000, 'the last calls are ended');
    expect(new Set(seen.statuses)).toEqual(new Set(['4', '8']));
    expect((await residentMiB()) - before).toBeLessThan(GROWTH_MAX_MIB);
  }, 120_000);

  it('that compresses what it sends: refused before anything is inflated', async () => {
    const before = await residentMiB();
    const bytes = gzipSync(Buffer.alloc(1 << 20));
    const head = Buffer.from([1, 0, 0, 0, 0]);
    head.writeUInt32BE(bytes.length, 1);
    // One frame: a library that is asked for one message inflates all of them.
    const body = Buffer.concat(Array(14).fill([head, bytes]).flat());
    expect(body.length).toBeLessThan(16_384);
    const seen = flood('ClusterService/GetStatus', body, true, 65_535, { 'grpc-encoding': 'gzip' });
    await waitFor(() => seen.statuses.length === CALLS, 30_000, 'every call is refused');
    expect(new Set(seen.statuses)).toEqual(new Set(['12']));
    expect((await residentMiB()) - before).toBeLessThan(100);
  }, 60_000);

  it('that takes no answers: further reads are refused or the oldest give way, and others get theirs', async () => {
    const before = await residentMiB();
    const request = create(ListSubStepsRequestSchema, {
      ref: { loop: REF.loop, g: 1n, phase: REF.phase },
      pageSize: 1_000,
      consistency: ReadConsistency.STALE,
    });
    const bytes = toBinary(ListSubStepsRequestSchema, request);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    const seen = flood('PhaseService/ListSubSteps', Buffer.concat([head, bytes]), true, 0);
    await waitFor(() => seen.heads === CALLS, 30_000, 'every call is answered or refused');
    // Those that nobody has taken for a second give way: a slow machine refuses few, or none.
    const given = (): number => seen.statuses.filter((status) => status === '8').length + seen.cut;
    await waitFor(() => given() >= CALLS - ANSWERS_HELD_MAX, 10_000, 'those for which there is no room are not held');
    expect((await residentMiB()) - before).toBeLessThan(GROWTH_MAX_MIB);
    // Refused reads are tried again; what nobody takes gives way.
    let rows = 0;
    for await (const step of client.listSubSteps(REF)) rows += step.id === '' ? 0 : 1;
    expect(rows).toBe(80);
  }, 60_000);

  it('that takes no answers of its pipelines: those that hold most are cut, others write', async () => {
    const before = await residentMiB();
    const first = { method: `/quorate.v1.Nothing/${'x'.repeat(100)}` };
    const some = create(ExecuteRequestSchema, {
      calls: [first, ...Array.from({ length: PIPELINE_CALLS_MAX - 1 }, () => ({}))],
    });
    const message = toBinary(ExecuteRequestSchema, some);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    // Two bytes for a call, a hundred times as many for its answer.
    const body = Buffer.concat(Array(60).fill([head, message]).flat());
    const seen: Seen = { statuses: [], heads: 0, cut: 0 };
    const perConnection = PIPELINES_PER_CONNECTION_MAX + 4;
    for (let calls = 0; calls < CALLS; calls += perConnection) {
      const pipeline = { method: 'PipelineService/Execute', body, end: false, initialWindowSize: 0, more: {} };
      floodOver(seen, perConnection, pipeline);
    }
    await waitFor(() => seen.heads + seen.cut >= CALLS, 30_000, 'every call is answered, refused or cut');
    const names = Array.from({ length: 200 }, (_, i) => `beside-${i}`);
    await Promise.all(names.map((name) => client.withoutSession.createLoop(name)));
    expect(seen.statuses).toContain('8');
    await waitFor(() => seen.cut > PIPELINES_MAX / 2, 30_000, 'many are cut');
    expect((await residentMiB()) - before).toBeLessThan(GROWTH_MAX_MIB);
  }, 60_000);

  it('that takes nothing of the backups that it starts: memory is bounded, others get theirs', async () => {
    const before = await residentMiB();
    // A request without fields.
    const seen = flood('MaintenanceService/Backup', Buffer.alloc(5), true, 0);
    await waitFor(() => seen.heads === CALLS, 30_000, 'every call is answered or refused');
    expect((await residentMiB()) - before).toBeLessThan(GROWTH_MAX_MIB);
    expect((await client.getLoop(REF.loop)).loop.name).toBe(REF.loop);
    let bytes = 0;
    for await (const piece of client.backup()) bytes += piece.data.length;
    expect(bytes).toBeGreaterThan(1_000);
  }, 60_000);
});
