/**
 * What a member that lost its disk, or was given another list of members, can do: nothing. Review of safety, findings on
 * wiped members and on lists of members; the rest of the cluster goes on, and the old folder heals it.
 */
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import type { MemberAddress } from '../../src/server/config.ts';
import { type DevCluster, memberOf, startDevCluster } from '../../src/server/dev.ts';
import { DevMember } from '../../src/server/dev-member.ts';
import { memberId } from '../../src/types/ids.ts';
import { freeAddresses } from '../bad-input/member-process.ts';
import { cliPath } from '../support/build.ts';
import { waitFor } from './wait.ts';

const WAIT_MS = 20_000;
/** Several election timeouts. */
const NO_QUORUM_MS = 3_000;

let folder: string;
const clients: QuorateClient[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-identity-'));
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function connect(endpoints: readonly string[], deadlineMs = WAIT_MS): Promise<QuorateClient> {
  const client = await QuorateClient.connect({ endpoints, caller: 'identity', deadlineMs });
  clients.push(client);
  return client;
}

/** What one member says of itself. */
async function streamOf(member: DevMember) {
  await using client = await QuorateClient.connect({ endpoints: [member.clientAddress], deadlineMs: WAIT_MS });
  const [answer] = await client.status();
  if (answer === undefined || !('status' in answer)) throw new Error(`${member.id} answers`);
  const [stream] = answer.status.streams;
  if (stream === undefined) throw new Error('there is a stream');
  return stream;
}

async function logged(member: DevMember, text: string): Promise<void> {
  const said = async (): Promise<boolean> => (await readFile(member.logFile, 'utf8')).includes(text);
  await waitFor(said, WAIT_MS, `${member.id} logs ${text}`);
}

async function names(client: QuorateClient): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { name } of client.listLoops()) found.push(name);
  return found;
}

async function kill(member: DevMember): Promise<void> {
  member.kill('SIGKILL');
  await member.exited;
}

async function follows(member: DevMember): Promise<void> {
  await waitFor(async () => (await streamOf(member)).leaderId !== null, WAIT_MS, `${member.id} has a leader`);
}

/** Starts it, and gives what it says when it ends at once. */
async function refusesToStart(member: DevMember): Promise<string> {
  member.start();
  expect(await member.exited).toEqual({ code: 2, signal: null });
  return member.lastWords();
}

describe('a member that comes back with an empty data folder', () => {
  let cluster: DevCluster;
  let dataDir: string;
  let kept: string;
  let wiped: DevMember;
  let others: readonly DevMember[];

  beforeAll(async () => {
    dataDir = join(folder, 'wiped');
    cluster = await startDevCluster({ members: 3, dataDir, cli: cliPath });
    const client = await connect(cluster.endpoints);
    await client.withoutSession.createLoop('before');
    // The leader: it knows most, so it has most to forget.
    wiped = await cluster.waitForLeader();
    others = cluster.members.filter((member) => member !== wiped);
    kept = join(folder, `kept-${wiped.id}`);
    for (const member of others) await follows(member);
    await kill(wiped);
    await rename(join(dataDir, wiped.id), kept);
    wiped.start();
  });

  afterAll(() => cluster?.stop());

  test('is refused by both others, and told why; they go on', async () => {
    const why = `member ${wiped.id} lost its data folder or has another one; it must not come back under the same id`;
    for (const member of cluster.members) await logged(member, why);
    const client = await connect(others.map((member) => member.clientAddress));
    await client.withoutSession.createLoop('without-it');
    expect(await names(client)).toEqual(['before', 'without-it']);
  });

  test('makes no majority with one of them: it neither votes nor acknowledges nor leads', async () => {
    const [left, gone] = others as [DevMember, DevMember];
    await kill(gone);
    const client = await connect([left.clientAddress, wiped.clientAddress], NO_QUORUM_MS);
    await expect(client.withoutSession.createLoop('never')).rejects.toThrow();
    const stream = await streamOf(wiped);
    // No vote: it is still in the term that it was born in, and knows of no entry.
    expect({ term: stream.term, leader: stream.leaderId, last: stream.lastIndex }).toEqual({
      term: 0,
      leader: null,
      last: 0,
    });
    expect(stream.role).not.toBe('leader');
    expect((await streamOf(left)).role).not.toBe('leader');
    gone.start();
    const again = await connect(others.map((member) => member.clientAddress));
    await again.withoutSession.createLoop('two-again');
  });

  test('is a member again when its old folder is put back', async () => {
    await kill(wiped);
    await rm(join(dataDir, wiped.id), { recursive: true });
    await cp(kept, join(dataDir, wiped.id), { recursive: true });
    wiped.start();
    const [left, gone] = others as [DevMember, DevMember];
    const all = await connect(cluster.endpoints);
    await follows(wiped);
    // Now it counts: without it there is no majority.
    await kill(gone);
    await all.withoutSession.createLoop('healed');
    expect(await names(all)).toEqual(expect.arrayContaining(['before', 'healed', 'two-again', 'without-it']));
    expect((await streamOf(left)).term).toBeGreaterThan(0);
  });
});

describe('a data folder of which a part is missing', () => {
  let cluster: DevCluster;
  let dataDir: string;

  beforeAll(async () => {
    dataDir = join(folder, 'parts');
    cluster = await startDevCluster({ members: 3, dataDir, cli: cliPath });
    await (await connect(cluster.endpoints)).withoutSession.createLoop('before');
  });

  afterAll(() => cluster?.stop());

  test.each([
    ['the log', 'wal', /wal holds no log, but member m1 of cluster dev has used one: .* Put it back\./],
    [
      'the identity',
      'identity.json',
      /identity\.json is missing, but \S+wal beside it was used before: .* Put the file back/,
    ],
  ])('%s: the member does not start, and does when it is back', async (_, part, says) => {
    const member = memberOf(cluster, 'm1');
    await kill(member);
    const path = join(dataDir, 'm1', part);
    await rename(path, join(folder, 'part'));
    expect(await refusesToStart(member)).toMatch(says);
    // Not at the second attempt either.
    expect(await refusesToStart(member)).toMatch(says);
    await rename(join(folder, 'part'), path);
    member.start();
    await follows(member);
    expect(await names(await connect([member.clientAddress]))).toEqual(['before']);
  });
});

/** Members of a cluster `lists`, each with a list of its own: its ids, this member's first. */
async function membersWith(dataDir: string, lists: Readonly<Record<string, readonly string[]>>): Promise<DevMember[]> {
  const ids = [...new Set(Object.values(lists).flat())];
  const addresses = new Map<string, MemberAddress>();
  for (const id of ids) addresses.set(id, { id: memberId(id), ...(await freeAddresses()) });
  return Object.entries(lists).map(([id, list]) => {
    const members = JSON.stringify(list.map((other) => addresses.get(other)));
    const own = ['--cluster-id', 'lists', '--member-id', id, '--data-dir', join(dataDir, id), '--members', members];
    const address = addresses.get(id);
    if (address === undefined) throw new Error(`${id} is on a list`);
    return new DevMember({ address, cli: cliPath, flags: own, env: process.env, logFile: join(dataDir, `${id}.log`) });
  });
}

describe('the list of members', () => {
  const running: DevMember[] = [];

  afterEach(async () => {
    await Promise.all(running.splice(0).map((member) => member.stop(5_000)));
  });

  async function start(dataDir: string, lists: Readonly<Record<string, readonly string[]>>): Promise<DevMember[]> {
    const members = await membersWith(dataDir, lists);
    running.push(...members);
    for (const member of members) member.start();
    return members;
  }

  test('that was extended afterwards: the log counts, and the member says what to do', async () => {
    const dataDir = join(folder, 'extended');
    const [alone] = (await start(dataDir, { a: ['a'] })) as [DevMember];
    await (await connect([alone.clientAddress])).withoutSession.createLoop('of-one');
    await kill(alone);
    const [extended] = (await start(dataDir, { a: ['a', 'b', 'c'] })) as [DevMember];
    expect(await names(await connect([extended.clientAddress]))).toEqual(['of-one']);
    await logged(extended, 'the setting members lists b, c, but the cluster is a');
  });

  test('with a slip in one of three new members: the odd one is refused, the others work; corrected, it joins', async () => {
    const dataDir = join(folder, 'slip');
    const right = ['a', 'b', 'c'];
    const [a, b, c] = (await start(dataDir, { a: right, b: right, c: ['a', 'b', 'c', 'd'] })) as [
      DevMember,
      DevMember,
      DevMember,
    ];
    const client = await connect([a.clientAddress, b.clientAddress]);
    await client.withoutSession.createLoop('of-two');
    for (const member of [a, b, c]) await logged(member, 'different lists of members');
    expect(await streamOf(c)).toMatchObject({ term: 0, leaderId: null, lastIndex: 0 });
    await Promise.all([a, b, c].map(kill));

    const [corrected] = (await membersWith(dataDir, { c: right })) as [DevMember];
    const says = await refusesToStart(corrected);
    expect(says).toContain('was started with a, b, c, d');
    expect(says).toContain('move the folder away to start it anew');
    await rename(join(dataDir, 'c'), join(dataDir, 'c-moved'));
    const all = await start(dataDir, { a: right, b: right, c: right });
    await follows(all[2] as DevMember);
    expect(await names(await connect([(all[2] as DevMember).clientAddress]))).toEqual(['of-two']);
  });
});
