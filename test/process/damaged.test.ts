/**
 * W4, S2, S5 with real processes and files: a bit of a member's log flips while it is down. It says which file and where, does not
 * vote, fetches what it lost from the others, and then counts again; a majority that is damaged serves nothing.
 */
import { cp, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { type DevCluster, startDevCluster } from '../../src/server/dev.ts';
import type { DevMember } from '../../src/server/dev-member.ts';
import { cliPath } from '../support/build.ts';
import { waitFor } from './wait.ts';

const LOOPS = 200;
const WAIT_MS = 20_000;
let folder: string;
let dataDir: string;
let cluster: DevCluster;
let client: QuorateClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-damaged-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  dataDir = await mkdtemp(join(folder, 'cluster-'));
  cluster = await startDevCluster({ members: 3, dataDir, cli: cliPath });
  client = await QuorateClient.connect({ endpoints: cluster.endpoints, deadlineMs: WAIT_MS });
  for (let i = 0; i < LOOPS; i += 1) await client.withoutSession.createLoop(`before-${i}`);
  await waitFor(async () => (await applied()).size === 1, WAIT_MS, 'all members have applied everything');
});

afterEach(async () => {
  await client?.close();
  await cluster?.stop();
});

/** What each member has applied, and the hash of its tables: one element when all agree. */
async function applied(): Promise<Set<string>> {
  const answers = await client.status();
  return new Set(
    answers.map((one) =>
      'status' in one ? one.status.streams.map((s) => `${s.appliedIndex}:${s.stateHash}`).join() : one.endpoint,
    ),
  );
}

async function alarmsOf(member: DevMember): Promise<readonly string[] | null> {
  const answer = (await client.status()).find(({ endpoint }) => endpoint === member.clientAddress);
  return answer !== undefined && 'status' in answer ? answer.status.alarms : null;
}

async function kill(member: DevMember): Promise<void> {
  member.kill('SIGKILL');
  await member.exited;
}

/** Flips one bit in the middle of what was written of the member's log. */
async function flipABit(member: DevMember): Promise<string> {
  const wal = join(dataDir, member.id, 'wal');
  const [segment = ''] = (await readdir(wal)).filter((name) => name.endsWith('.wal')).sort();
  const path = join(wal, segment);
  const bytes = await readFile(path);
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const at = Math.floor(end / 2);
  const handle = await open(path, 'r+');
  await handle.write(Uint8Array.of((bytes[at] ?? 0) ^ 0x04), 0, 1, at);
  await handle.close();
  return path;
}

async function loops(): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { name } of client.listLoops()) found.push(name);
  return found;
}

describe('W4: a bit of the log flips', () => {
  it('on one member: it says where, recovers from the others, and then makes a majority with one of them', async () => {
    const leader = await cluster.waitForLeader();
    // The leader knows most, so it has most to lose.
    const [left, gone] = cluster.members.filter((member) => member !== leader) as [DevMember, DevMember];
    await kill(leader);
    const path = await flipABit(leader);
    await client.withoutSession.createLoop('without-it');
    leader.start();
    await waitFor(async () => (await alarmsOf(leader))?.length === 0, WAIT_MS, 'it has recovered');
    const log = await readFile(leader.logFile, 'utf8');
    const [said = ''] = log
      .split('\n')
      .filter((line) => line.includes('a part of the log or of the tables was damaged or lost'));
    expect(said).toContain(path);
    expect(said).toMatch(/is damaged at offset \d+/);
    expect(log).toContain('everything that was lost is back from the cluster; this member votes again');
    const names = await readdir(join(dataDir, leader.id));
    expect(names).not.toContain('recovering.json');
    expect(names.filter((name) => /^damaged-\d+-wal$/.test(name)).length).toBe(1);

    // It counts: without it there is no majority now.
    await kill(gone);
    await client.withoutSession.createLoop('with-it');
    gone.start();
    await waitFor(async () => (await applied()).size === 1, WAIT_MS, 'all members agree on the state');
    expect(new Set(await loops()).size).toBe(LOOPS + 2);
    expect(await alarmsOf(left)).toEqual([]);
  });

  it('on two of three: they end and say so, the third serves nothing, and with one folder whole again all is there', async () => {
    const [whole, ...rest] = cluster.members as [DevMember, DevMember, DevMember];
    const damaged: readonly [DevMember, DevMember] = rest;
    for (const member of cluster.members) await kill(member);
    const [found, lost] = damaged;
    const copy = join(folder, 'copy');
    await cp(join(dataDir, found.id), copy, { recursive: true });
    for (const member of damaged) await flipABit(member);
    for (const member of cluster.members) member.start();
    for (const member of damaged) expect(await member.exited).toEqual({ code: 1, signal: null });
    for (const member of damaged) {
      expect(member.lastWords()).toMatch(
        /a majority of the members \(m2, m3\) has lost parts of its log: nobody can tell what was acknowledged\. Nothing is served/,
      );
    }
    await using impatient = await QuorateClient.connect({ endpoints: [whole.clientAddress], deadlineMs: 2_000 });
    await expect(impatient.getLoop('before-0')).rejects.toThrow();
    await expect(impatient.withoutSession.createLoop('never')).rejects.toThrow();
    expect(whole.pid).not.toBeNull();

    // What the message advises: a folder as it was when the member stopped last.
    await rm(join(dataDir, found.id), { recursive: true });
    await cp(copy, join(dataDir, found.id), { recursive: true });
    found.start();
    expect(new Set(await loops()).size).toBe(LOOPS);
    lost.start();
    await waitFor(async () => (await applied()).size === 1, WAIT_MS, 'all members agree on the state');
    await client.withoutSession.createLoop('after');
    expect((await loops()).length).toBe(LOOPS + 1);
  });
});
