/** A whole member, and its HTTP port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/server/config.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { type RunningServer, startServer } from '../../src/server/main-server.ts';
import { DATA_STREAM } from '../../src/types/ids.ts';

const WAIT = { timeout: 20_000, interval: 10 };
let folder = '';
const running: RunningServer[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-http-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function start(ports: readonly number[]): Promise<RunningServer> {
  const [peer, client, http] = ports;
  const members = [{ id: 'a', peerAddress: `127.0.0.1:${peer}`, clientAddress: `127.0.0.1:${client}` }];
  const given = {
    clusterId: 'test',
    memberId: 'a',
    dataDir: join(folder, 'a'),
    members: JSON.stringify(members),
    httpListen: `127.0.0.1:${http}`,
    'wal.segmentBytes': String(4 * 1024 * 1024),
  };
  const loaded = loadConfig({ flags: new Map(Object.entries(given)), env: {}, file: null }, folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const server = await startServer(loaded.value.config, pino({ level: 'silent' }));
  running.push(server);
  await vi.waitFor(() => expect(server.member.status(DATA_STREAM).raft.role).toBe('leader'), WAIT);
  return server;
}

async function value(base: string, name: string): Promise<number | null> {
  const text = await (await fetch(`${base}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? null : Number(line.slice(name.length + 1));
}

describe('a member with an HTTP port', () => {
  it('serves metrics and health, and counts nothing twice when it is started again', async () => {
    const ports = await freePorts(3);
    const base = `http://127.0.0.1:${ports[2]}`;
    const first = await start(ports);
    const health = await fetch(`${base}/healthz`);
    expect([health.status, await health.text()]).toEqual([200, 'ok\n']);
    const created = 'quorate_events_total{kind="loop.created"}';
    for (const loop of ['x', 'y']) {
      const body = { kind: 'createLoop', loop, plan: '' } as const;
      const request = { session: null, caller: 'c', traceId: '', body };
      expect((await first.member.mutate(DATA_STREAM, request, 10_000)).kind).toBe('applied');
    }
    expect(await value(base, created)).toBe(2);
    expect(await value(base, 'quorate_raft_leader')).toBe(1);
    expect(await value(base, 'quorate_wal_fsync_duration_seconds_count')).toBeGreaterThan(0);
    expect(await value(base, 'partition_duration_seconds')).toBe(0);

    running.splice(0);
    await first.stop();
    await expect(fetch(`${base}/healthz`)).rejects.toThrow();
    await start(ports);
    expect(await value(base, created)).toBeNull();
    expect(await value(base, 'quorate_raft_leader_changes_total')).toBe(1);
  });

  it('that cannot have the port does not start, and says which setting to change', async () => {
    const [peer, client, http, ...more] = await freePorts(5);
    await start([peer ?? 0, client ?? 0, http ?? 0]);
    const dataDir = folder;
    folder = join(dataDir, 'other');
    await expect(start([...more, http ?? 0])).rejects.toThrow(/\(httpListen\): another process uses the port/);
    folder = dataDir;
  });
});
