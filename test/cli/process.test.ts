/** What only a real process shows: signals, broken pipes, members that end with their parent. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import { must } from '../../src/types/assert.ts';
import { FakeMember, watchMessage } from '../client/fake-member.ts';
import { buildCli, cliPath } from '../support/build.ts';
import { isAlive, spawnCli } from './run-cli.ts';

const WAIT = { timeout: 30_000 };
let folder: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  await buildCli();
  folder = mkdtempSync(join(tmpdir(), 'quorate-process-test-'));
}, 120_000);

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function fake(): Promise<FakeMember> {
  const member = await FakeMember.start();
  cleanups.push(() => member.crash());
  member.leads(member.address);
  return member;
}

async function cluster(name: string, members = 3): Promise<DevCluster> {
  const started = await startDevCluster({ members, dataDir: join(folder, name), cli: cliPath });
  cleanups.push(() => started.stop());
  return started;
}

describe('U1: as a process', () => {
  test('SIGINT ends a watch with 130', async () => {
    const member = await fake();
    const { child, result } = spawnCli(cliPath, ['watch', '--endpoints', member.address]);
    await expect.poll(() => member.watches.length, WAIT).toBe(1);
    child.kill('SIGINT');
    expect(await result).toEqual({ code: 130, stdout: '', stderr: '' });
  }, 60_000);

  test('a reader that has seen enough (| head) ends it quietly', async () => {
    const member = await fake();
    member.onWatch((stream) => {
      let revision = 1;
      const timer = setInterval(() => stream.write(watchMessage(revision, revision++)), 5);
      stream.once('cancelled', () => clearInterval(timer)).once('close', () => clearInterval(timer));
      cleanups.push(() => clearInterval(timer));
    });
    const line = `"${process.execPath}" "${cliPath}" watch --from 1 --json --endpoints ${member.address} | head -n 3; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', line]);
    expect(stdout.trimEnd().split('\n').length).toBe(4);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('0');
    expect(stderr).toBe('');
  }, 60_000);
});

describe('U1: quorate dev', () => {
  test('members can be killed and started alone, and keep what was acknowledged', async () => {
    const dev = await cluster('kill');
    const leader = await dev.waitForLeader();
    await using client = await QuorateClient.connect({ endpoints: dev.endpoints });
    await using session = await client.openSession();
    await session.createLoop('before');
    leader.kill('SIGKILL');
    expect(await leader.exited).toEqual({ code: null, signal: 'SIGKILL' });
    await session.createLoop('after');
    leader.start();
    await expect
      .poll(async () => (await client.status()).filter((one) => 'status' in one).length, WAIT)
      .toBe(dev.members.length);
    const pids = dev.members.map((member) => must(member.pid, 'it runs'));
    await dev.stop();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(await Promise.all(dev.members.map((member) => member.exited))).toEqual(
      dev.members.map(() => ({ code: 0, signal: null })),
    );
  }, 120_000);

  test('starts on what it kept; refuses another number of members', async () => {
    const first = await cluster('kept', 1);
    {
      await using client = await QuorateClient.connect({ endpoints: first.endpoints });
      await client.withoutSession.createLoop('kept');
    }
    await first.stop();
    const second = await cluster('kept', 1);
    await using client = await QuorateClient.connect({ endpoints: second.endpoints });
    expect((await client.getLoop('kept')).loop.g).toBe(1);
    await expect(startDevCluster({ members: 3, dataDir: join(folder, 'kept'), cli: cliPath })).rejects.toThrow(
      'holds a cluster of 1 members; say --members 1',
    );
  }, 120_000);

  test('no member outlives its parent, even one that was killed with SIGKILL', async () => {
    const args = [
      'dev',
      '--members',
      '1',
      '--data',
      join(folder, 'orphan'),
      '--base-port',
      String(await freePort()),
      '--json',
    ];
    const { child, shows, result } = spawnCli(cliPath, args);
    await shows('"endpoints"');
    child.kill('SIGKILL');
    const pid = Number(JSON.parse((await result).stdout).members[0].pid);
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isAlive(pid), WAIT).toBe(false);
  }, 120_000);

  test('ctrl-C stops everything, and --ephemeral leaves nothing behind', async () => {
    const ephemeral = () => readdirSync(tmpdir()).filter((name) => name.startsWith('quorate-dev-'));
    const before = new Set(ephemeral());
    const args = ['dev', '--ephemeral', '--members', '1', '--base-port', String(await freePort())];
    const { child, shows, result } = spawnCli(cliPath, args);
    await shows('ctrl-C stops them');
    expect(ephemeral().filter((name) => !before.has(name)).length).toBe(1);
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 0, stderr: '' });
    expect(ephemeral().filter((name) => !before.has(name))).toEqual([]);
  }, 120_000);

  test('says so and ends when no member is left', async () => {
    const temporary = mkdtempSync(join(folder, 'alone-'));
    const args = ['dev', '--ephemeral', '--members', '1', '--base-port', String(await freePort()), '--json'];
    const { shows, result, printed } = spawnCli(cliPath, args, { TMPDIR: temporary });
    await shows('"endpoints"');
    process.kill(must(JSON.parse(printed()).members[0].pid as number, 'it runs'), 'SIGKILL');
    const { code, stderr } = await result;
    expect(stderr).toContain('member m1 ended (SIGKILL)');
    expect(stderr).toContain('all members have ended');
    expect(code).toBe(1);
    expect(readdirSync(temporary)).toEqual([]);
  }, 120_000);

  test('a member that was removed is left out: its cluster goes on without it', async () => {
    const data = mkdtempSync(join(tmpdir(), 'quorate-dev-removed-'));
    for (const id of ['m1', 'm2', 'm3']) mkdirSync(join(data, id));
    writeFileSync(join(data, 'm2', 'identity.json'), JSON.stringify({ memberId: 'm2', removed: true }));
    try {
      const without = await startDevCluster({ members: 3, dataDir: data, cli: cliPath });
      expect(without.members.map(({ id }) => id)).toEqual(['m1', 'm3']);
      await without.stop();
      for (const id of ['m1', 'm3']) writeFileSync(join(data, id, 'identity.json'), '{"removed":true}');
      await expect(startDevCluster({ members: 3, dataDir: data, cli: cliPath })).rejects.toThrow(
        /all members of it were removed/,
      );
    } finally {
      rmSync(data, { recursive: true, force: true });
    }
  });

  test('the folder of a member is missing: put it back', async () => {
    for (const name of ['m1', 'm2']) mkdirSync(join(folder, 'lost', name), { recursive: true });
    writeFileSync(join(folder, 'lost', 'm3.log'), '');
    const start = (members: number) => startDevCluster({ members, dataDir: join(folder, 'lost'), cli: cliPath });
    await expect(start(3)).rejects.toThrow(/m3: missing, and the cluster had 3 members; put it back/);
    rmSync(join(folder, 'lost', 'm1'), { recursive: true });
    await expect(start(1)).rejects.toThrow(/m1, .*m3: missing/);
  });

  test('nothing is started for who has left already', async () => {
    const dataDir = join(folder, 'left');
    const signal = AbortSignal.abort(new Error('left'));
    await expect(startDevCluster({ members: 1, dataDir, cli: cliPath, signal })).rejects.toThrow('left');
    expect(existsSync(dataDir)).toBe(false);
  });

  test('a port in use: exit code 2, and what to do', async () => {
    const port = await freePort();
    const server = createServer();
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
    cleanups.push(() => server.close());
    const args = ['dev', '--members', '1', '--data', join(folder, 'port'), '--base-port', String(port)];
    const { code, stderr } = await spawnCli(cliPath, args).result;
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${port}`);
    expect(code).toBe(2);
    expect(stderr.trimEnd().split('\n').length).toBe(1);
  }, 120_000);
});

/** A port with a free one 100 above it, as `quorate dev` wants them. */
async function freePort(): Promise<number> {
  for (;;) {
    // Below the ports of outgoing connections.
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await Promise.all([port, port + 100].map(canListen));
    if (free.every((one) => one)) return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  const listening = await new Promise<boolean>((done) => {
    server.once('error', () => done(false)).listen(port, '127.0.0.1', () => done(true));
  });
  await new Promise((done) => server.close(done));
  return listening;
}
