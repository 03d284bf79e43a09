/**
 * Issue 2, done when 8: random bytes on both ports, and whatever else strangers send. Nothing crashes, nothing is lost,
 * and the cluster goes on serving; who is no member of the cluster is told why.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { IdentifyResponseSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import { GetStatusResponseSchema } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { membersDigest } from '../../src/server/members.ts';
import { memberId } from '../../src/types/ids.ts';
import { PEER_MESSAGE_BYTES_MAX } from '../../src/types/limits.ts';
import { waitFor } from '../process/wait.ts';
import { cliPath } from '../support/build.ts';
import { decoded, RawCaller, shown } from './caller.ts';
import { PEER_ROWS, type PeerNames } from './peer-rows.ts';
import { CALL_ROWS, CONNECTION_ROWS, callHttp2, play } from './raw-connections.ts';
import { unknownFields } from './wire.ts';

const EXCHANGE = '/quorate.internal.v1.PeerService/Exchange';
const IDENTIFY = '/quorate.internal.v1.PeerService/Identify';
/** Connections that say nothing, on each port. */
const SILENT = 200;
let folder: string;
let cluster: DevCluster;
let client: QuorateClient;
let peerAddresses: readonly string[];
let pids: readonly (number | null)[];
let names: PeerNames;
const held: Socket[] = [];
const loops: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-bad-ports-'));
  cluster = await startDevCluster({ members: 3, dataDir: folder, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, caller: 'bad-ports' });
  // A majority is enough for the cluster to have started.
  const serving = async () => (await client.status()).filter((one) => 'status' in one).length === 3;
  await waitFor(serving, 20_000, 'all members answer');
  const caller = new RawCaller(cluster.endpoints[0] ?? '');
  const status = decoded(
    await caller.unary('/quorate.v1.ClusterService/GetStatus', new Uint8Array()),
    GetStatusResponseSchema,
  );
  caller.close();
  peerAddresses = status.members.map((member) => member.peerAddress);
  const { incarnation } = JSON.parse(await readFile(join(folder, 'm2', 'identity.json'), 'utf8')) as PeerNames;
  const digest = membersDigest(status.members.map((member) => memberId(member.memberId)));
  names = { cluster: status.clusterId, self: 'm1', peer: 'm2', incarnation, membersDigest: digest };
  pids = cluster.members.map((member) => member.pid);
  await write();
});

/** After each row: a record is written and all earlier ones are there. */
afterEach(write);

afterAll(async () => {
  for (const socket of held) socket.destroy();
  await client?.close();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function write(): Promise<void> {
  const loop = `loop-${String(loops.length).padStart(4, '0')}`;
  await client.withoutSession.createLoop(loop);
  loops.push(loop);
}

function portsOf(address: string): { readonly host: string; readonly port: number } {
  const [host = '', port = ''] = address.split(':');
  return { host, port: Number(port) };
}

describe('U2: strangers on the client port and the peer port', () => {
  test.each(CONNECTION_ROWS)('$name', async (row) => {
    const ports = [...cluster.endpoints, ...peerAddresses].map(portsOf);
    const sockets = await Promise.all(ports.map(({ host, port }) => play(row, host, port)));
    if (row.afterwards === 'hold') held.push(...sockets);
  });

  test(`${SILENT} connections that say nothing, on each port`, async () => {
    const row = { name: 'silent', bytes: Buffer.alloc(0), afterwards: 'hold' } as const;
    for (const address of [...cluster.endpoints, ...peerAddresses]) {
      const { host, port } = portsOf(address);
      held.push(...(await Promise.all(Array.from({ length: SILENT }, () => play(row, host, port)))));
    }
  });

  test.each(CALL_ROWS)('HTTP/2 that is not quite gRPC: $name', async (row) => {
    expect(await callHttp2(cluster.endpoints[0] ?? '', row)).toMatch(row.answer);
    // The peer port has no such service; it must not trip over it either.
    expect(await callHttp2(peerAddresses[0] ?? '', row)).not.toMatch(/^no answer|^200 0 /);
  });
});

describe('U2: peers that are none', () => {
  test.each(PEER_ROWS)('$name', async ({ frames, answer }) => {
    const caller = new RawCaller(peerAddresses[0] ?? '');
    try {
      expect(shown(await caller.exchange(EXCHANGE, frames(names)))).toMatch(answer);
    } finally {
      caller.close();
    }
  });
});

describe('U2: who are you?', () => {
  test.each([
    ['nothing', new Uint8Array()],
    ['fields that it does not know', unknownFields()],
  ])('asked with %s, a member says who it is', async (_, request) => {
    const caller = new RawCaller(peerAddresses[1] ?? '');
    try {
      const answer = decoded(await caller.unary(IDENTIFY, request), IdentifyResponseSchema);
      const { clusterId, memberId: id, incarnation, joining } = answer;
      expect({ clusterId, id, incarnation, joining }).toEqual({
        clusterId: names.cluster,
        id: 'm2',
        incarnation: names.incarnation,
        // It is a member: nobody can add it to another cluster.
        joining: false,
      });
    } finally {
      caller.close();
    }
  });

  test("asked with more than a message, or at the clients' port, it does not", async () => {
    const large = new Uint8Array(PEER_MESSAGE_BYTES_MAX + 1);
    for (const [address, request, says] of [
      [peerAddresses[1] ?? '', large, /^RESOURCE_EXHAUSTED /],
      [cluster.endpoints[1] ?? '', new Uint8Array(), /^UNIMPLEMENTED /],
    ] as const) {
      const caller = new RawCaller(address);
      try {
        expect(shown(await caller.unary(IDENTIFY, request))).toMatch(says);
      } finally {
        caller.close();
      }
    }
  });
});

describe('W2: afterwards', () => {
  test('the same processes serve, and agree; nothing is lost', async () => {
    expect(cluster.members.map((member) => member.pid)).toEqual(pids);
    const listed: string[] = [];
    for await (const { name } of client.listLoops()) listed.push(name);
    expect(listed).toEqual(expect.arrayContaining(loops));
    const agreed = async (): Promise<number> => {
      const statuses = await client.status();
      return new Set(
        statuses.map((one) =>
          'status' in one ? one.status.streams.map((s) => `${s.appliedIndex}:${s.stateHash}`).join() : one.error,
        ),
      ).size;
    };
    await expect.poll(agreed, { timeout: 20_000 }).toBe(1);
    for (const { logFile } of cluster.members) {
      const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n');
      expect(lines.filter((line) => !line.startsWith('{') || /"level":[56]0/.test(line))).toEqual([]);
    }
  });
});
