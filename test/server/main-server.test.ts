/** Whole members in this process, over real sockets and real folders: what the composition root has to get right. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { hashRow, StateHash } from '../../src/machine/hash.ts';
import { TOTAL_HASH_KEY, TOTAL_TABLE } from '../../src/machine/loader.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { DivergedError } from '../../src/node/diverged.ts';
import { loadConfig } from '../../src/server/config.ts';
import { type RunningServer, startServer } from '../../src/server/main-server.ts';
import { MemberRemovedError } from '../../src/server/removed.ts';
import { restoreDataFolder } from '../../src/server/restore.ts';
import { backupBytes } from '../../src/snapshot/backup.ts';
import { openLevelStore } from '../../src/store/level-store.ts';
import { identifyPeer } from '../../src/transport/identify.ts';
import { must } from '../../src/types/assert.ts';
import { FEATURE_LEVEL } from '../../src/types/feature-level.ts';
import { clusterId, DATA_STREAM, memberId } from '../../src/types/ids.ts';
import { freePort } from '../transport/support.ts';

const WAIT = { timeout: 20_000, interval: 10 };

interface Place {
  readonly id: string;
  readonly peerAddress: string;
  readonly clientAddress: string;
}

interface LogLine {
  readonly msg: string;
  readonly problem?: { readonly file: string; readonly message: string };
}

let folder = '';
const running = new Set<RunningServer>();
let lines: LogLine[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-server-'));
  lines = [];
});

afterEach(async () => {
  await Promise.all([...running].map((server) => stop(server)));
  await rm(folder, { recursive: true, force: true });
});

async function places(ids: string): Promise<readonly Place[]> {
  const ports = await Promise.all(Array.from({ length: ids.length * 2 }, () => freePort()));
  return [...ids].map((id, i) => ({
    id,
    peerAddress: `127.0.0.1:${must(ports[2 * i], 'a port')}`,
    clientAddress: `127.0.0.1:${must(ports[2 * i + 1], 'a port')}`,
  }));
}

const dataDirOf = (id: string): string => join(folder, id);

async function start(
  id: string,
  members: readonly Place[],
  flags: Record<string, string> = {},
): Promise<RunningServer> {
  const given = {
    clusterId: 'test',
    memberId: id,
    dataDir: dataDirOf(id),
    members: JSON.stringify(members),
    'wal.segmentBytes': String(4 * 1024 * 1024),
    ...flags,
  };
  const loaded = loadConfig({ flags: new Map(Object.entries(given)), env: {}, file: null }, folder);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) });
  const server = await startServer(loaded.value.config, logger);
  running.add(server);
  return server;
}

async function stop(server: RunningServer): Promise<void> {
  running.delete(server);
  await server.stop();
}

function status(server: RunningServer) {
  return server.member.status(DATA_STREAM);
}

async function leads(server: RunningServer): Promise<void> {
  await vi.waitFor(() => expect(status(server).raft.role).toBe('leader'), WAIT);
}

async function apply(server: RunningServer, body: CommandBody): Promise<void> {
  const outcome = await server.member.mutate(DATA_STREAM, { session: null, caller: 'c', traceId: '', body }, 10_000);
  expect(outcome).toMatchObject({ kind: 'applied', result: { ok: true } });
}

function createLoop(loop: string): CommandBody {
  return { kind: 'createLoop', loop, plan: '' };
}

function loops(server: RunningServer): string[] {
  return server.member
    .local(DATA_STREAM)
    .loops(null, 1000)
    .rows.map(({ loop }) => loop);
}

function voters(server: RunningServer): string {
  return status(server).raft.configuration.voters.join('');
}

describe('R2: members that come and go', () => {
  it('one that joins is identified, added, promoted, removed, told so, and refused from then on', async () => {
    const [a, b] = await places('ab');
    const first = await start('a', [must(a, 'a')]);
    await leads(first);
    await apply(first, createLoop('before'));
    const second = await start('b', [must(a, 'a'), must(b, 'b')], { join: 'true' });
    const answer = await identifyPeer(must(b, 'b').peerAddress, 5_000);
    if (!answer.ok) throw new Error(answer.error);
    expect(answer.value).toMatchObject({
      clusterId: 'test',
      memberId: 'b',
      joining: true,
      featureLevel: FEATURE_LEVEL,
    });
    await vi.waitFor(() => expect(status(first).featureLevel).toBe(FEATURE_LEVEL), WAIT);

    const { incarnation } = answer.value;
    const { peerAddress, clientAddress } = must(b, 'b');
    const member = memberId('b');
    const add = { kind: 'add', member, peerAddress, clientAddress, incarnation, role: 'voter', replaces: '' } as const;
    await apply(first, { kind: 'changeMembers', changes: [add] });
    await vi.waitFor(() => expect([voters(first), voters(second)]).toEqual(['ab', 'ab']), WAIT);
    await apply(second, createLoop('after'));
    await vi.waitFor(() => expect(loops(second)).toEqual(['after', 'before']), WAIT);
    expect((await identifyPeer(peerAddress, 5_000)).ok && status(second).raft.configuration.voters).toHaveLength(2);

    await apply(first, { kind: 'changeMembers', changes: [{ kind: 'remove', member }] });
    expect(await second.failed).toBeInstanceOf(MemberRemovedError);
    await stop(second);
    await vi.waitFor(() => expect(voters(first)).toBe('a'), WAIT);
    await apply(first, createLoop('alone'));
    const again = start('b', [must(a, 'a'), must(b, 'b')]);
    await expect(again).rejects.toThrow('member b was removed from cluster test');
  });

  it('one that was away when it was removed is told so when it comes back', async () => {
    const abc = await places('abc');
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((id) => start(id, abc)));
    const all = [a, b, c].map((server) => must(server, 'a member'));
    await vi.waitFor(() => expect(all.some((server) => status(server).raft.role === 'leader')).toBe(true), WAIT);
    await vi.waitFor(
      () => expect(all.every((server) => status(server).featureLevel === FEATURE_LEVEL)).toBe(true),
      WAIT,
    );
    const leader = must(
      all.find((server) => status(server).raft.role === 'leader'),
      'a leader',
    );
    const away = must(
      all.find((server) => server !== leader),
      'a follower',
    );
    const id = status(away).memberId;
    await stop(away);
    await apply(leader, { kind: 'changeMembers', changes: [{ kind: 'remove', member: id }] });
    await vi.waitFor(() => expect(voters(leader)).not.toContain(id), WAIT);
    const back = await start(id, abc);
    expect(await back.failed).toBeInstanceOf(MemberRemovedError);
    expect(JSON.parse(await readFile(join(dataDirOf(id), 'identity.json'), 'utf8'))).toMatchObject({ removed: true });
  });
});

describe('U5: a backup of a running member', () => {
  it('is restored into a cluster that goes on from it', async () => {
    const old = await places('a');
    const before = await start('a', old);
    await leads(before);
    for (const loop of ['x', 'y', 'z']) await apply(before, createLoop(loop));
    const image = must(await before.member.openImage(DATA_STREAM), 'an image');
    const origin = {
      clusterId: clusterId('test'),
      memberId: memberId('a'),
      stream: DATA_STREAM,
      createdAtMs: 1,
      version: '0',
    };
    const voterIds = ['n', 'o', 'p'].map(memberId);
    const backup: Uint8Array[] = [];
    for await (const piece of backupBytes(image, origin)) backup.push(piece);
    await image.close();
    await stop(before);
    for (const id of voterIds) {
      await restoreDataFolder({
        bytes: (async function* () {
          yield* backup;
        })(),
        dataDir: dataDirOf(id),
        clusterId: clusterId('next'),
        memberId: id,
        voters: voterIds,
        bumpRevision: 1_000,
        wal: { segmentBytes: 4 * 1024 * 1024, compressBytesMin: 1024 },
      });
    }
    const next = await places('nop');
    const servers = await Promise.all(voterIds.map((id) => start(id, next, { clusterId: 'next' })));
    await vi.waitFor(() => expect(servers.every((server) => status(server).raft.leader !== null)).toBe(true), WAIT);
    const one = must(servers[0], 'a member');
    expect(loops(one)).toEqual(['x', 'y', 'z']);
    await apply(one, createLoop('more'));
    // The leader answered; this member applies it a moment later.
    await vi.waitFor(() => expect(loops(one)).toContain('more'), WAIT);
    expect(one.member.local(DATA_STREAM).loop('more')?.createdRevision).toBeGreaterThan(1_000);
    await vi.waitFor(() => expect(new Set(servers.map((server) => status(server).stateHash)).size).toBe(1), WAIT);
  });
});

describe('W4: what is damaged', () => {
  it('in the tables alone is rebuilt from the log, and kept', async () => {
    const members = await places('a');
    const first = await start('a', members);
    await leads(first);
    await apply(first, createLoop('kept'));
    await stop(first);
    const store = join(dataDirOf('a'), 'store');
    const table = must(
      (await readdir(store)).find((name) => name === 'CURRENT'),
      'a file of LevelDB',
    );
    await writeFile(join(store, table), 'garbage');
    const again = await start('a', members);
    await leads(again);
    await vi.waitFor(() => expect(loops(again)).toEqual(['kept']), WAIT);
    expect(lines.map(({ msg }) => msg).join()).toContain(
      'the tables on disk were damaged and are rebuilt from the log',
    );
    expect(await readdir(dataDirOf('a'))).toEqual(
      expect.arrayContaining([expect.stringMatching(/^damaged-\d+-store$/)]),
    );
  });

  it('in the middle of the log is brought back by the others; until then the member does not vote', async () => {
    const abc = await places('abc');
    const servers = await Promise.all([...'abc'].map((id) => start(id, abc)));
    const leader = await leaderOf(servers);
    for (let i = 0; i < 50; i += 1) await apply(leader, createLoop(`loop-${i}`));
    const hurt = must(
      servers.find((server) => server !== leader),
      'a follower',
    );
    const id = status(hurt).memberId;
    await vi.waitFor(() => expect(loops(hurt)).toHaveLength(50), WAIT);
    await stop(hurt);
    await spoil(join(dataDirOf(id), 'wal'));
    await apply(leader, createLoop('meanwhile'));
    const back = await start(id, abc);
    const line = lines.find(({ msg }) => msg.includes('a part of the log or of the tables was damaged or lost'));
    expect(line?.problem?.file).toContain(join(dataDirOf(id), 'wal'));
    await vi.waitFor(() => expect(status(back).raft.recovering).toBe(false), WAIT);
    await vi.waitFor(() => expect(loops(back)).toHaveLength(51), WAIT);
    await vi.waitFor(() => expect(status(back).stateHash).toBe(status(leader).stateHash), WAIT);
    await vi.waitFor(async () => expect(await readdir(dataDirOf(id))).not.toContain('recovering.json'), WAIT);
    expect(await readdir(dataDirOf(id))).toEqual(expect.arrayContaining([expect.stringMatching(/^damaged-\d+-wal$/)]));
    // It is a whole member again: with it the others can lose their leader.
    await stop(leader);
    const next = await leaderOf(servers.filter((server) => running.has(server)).concat(back));
    await apply(next, createLoop('after'));
  });
});

describe('W6: what a member writes', () => {
  it('is in its status', async () => {
    const members = await places('a');
    const server = await start('a', members);
    await leads(server);
    await apply(server, createLoop('x'.repeat(64)));
    const client = await QuorateClient.connect({ endpoints: [must(members[0], 'a').clientAddress], caller: 'c' });
    const [answer] = await client.status();
    await client.close();
    if (answer === undefined || !('status' in answer)) throw new Error('no answer');
    const io = must(answer.status.io, 'the I/O');
    expect(io.bytesProposed).toBeGreaterThan(64);
    expect(io.bytesProposed).toBeLessThan(1024);
    expect(io.fsyncs).toBeGreaterThan(0);
    expect(io.fsyncP99Ms).toBeGreaterThanOrEqual(io.fsyncP50Ms);
    expect(io.maxIoOverheadRatio).toBeCloseTo(io.bytesWritten / io.bytesProposed, 6);
  });
});

describe('R7: a member whose state differs', () => {
  it('stops by itself although the cluster is idle, stays out from then on, and the other two go on', async () => {
    const abc = await places('abc');
    const servers = await Promise.all([...'abc'].map((id) => start(id, abc)));
    const leader = await leaderOf(servers);
    await vi.waitFor(() => expect(status(leader).featureLevel).toBe(FEATURE_LEVEL), WAIT);
    await apply(leader, createLoop('first'));
    const odd = must(
      servers.find((server) => server !== leader),
      'a follower',
    );
    const id = status(odd).memberId;
    await vi.waitFor(() => expect(loops(odd)).toEqual(['first']), WAIT);
    await stop(odd);
    const hash = await changeOneRow(id);
    const { stateHash, appliedIndex } = status(leader);
    expect(hash).not.toBe(stateHash);

    const back = await start(id, abc);
    const why = await back.failed;
    expect(why).toBeInstanceOf(DivergedError);
    expect(why).toMatchObject({ hash, majorityHash: stateHash });
    expect(status(leader).appliedIndex).toBe(appliedIndex);
    await stop(back);
    const written: unknown = JSON.parse(await readFile(join(dataDirOf(id), 'diverged.json'), 'utf8'));
    expect(written).toMatchObject({ index: appliedIndex, hash, majorityHash: stateHash });
    expect(lines).toContainEqual(expect.objectContaining({ diverged: id, hash, majorityHash: stateHash }));
    for (let i = 0; i < 2; i += 1) {
      const again = start(id, abc);
      await expect(again).rejects.toThrow(/keep the folder for study, and replace member .* `quorate member replace`/);
    }
    await apply(leader, createLoop('without-it'));
    expect(status(leader).fault).toBeNull();
  });
});

/** In the tables of a member that is stopped: one row, and the total so that it fits. Returns the state hash that it has now. */
async function changeOneRow(id: string): Promise<string> {
  const store = await openLevelStore(join(dataDirOf(id), 'store'), {
    clusterId: clusterId('test'),
    memberId: memberId(id),
  });
  const image = must(await store.image(DATA_STREAM), 'an image');
  const { rows, next } = await image.read(null, 1024 * 1024);
  expect(next).toBeNull();
  await image.close();
  const loop = must(
    rows.find(({ table, value }) => table === 'loop' && value.includes('first')),
    'the row of the loop',
  );
  // When it was made, in milliseconds.
  const value = loop.value.replace(/\d{13}/, '1000000000001');
  const sum = new StateHash();
  for (const row of rows) {
    if (row.table === TOTAL_TABLE) continue;
    sum.add(hashRow(row.table, row.key, row === loop ? value : row.value));
  }
  const total = { table: TOTAL_TABLE, key: TOTAL_HASH_KEY, value: sum.toHex() };
  await store.write(DATA_STREAM, image.mark, [{ ...loop, value }, total]);
  await store.close();
  return sum.toHex();
}

async function leaderOf(servers: readonly RunningServer[]): Promise<RunningServer> {
  const leader = () => servers.find((server) => status(server).raft.role === 'leader');
  await vi.waitFor(() => expect(leader()).toBeDefined(), WAIT);
  return must(leader(), 'a leader');
}

/** Flips a bit of a record that has others after it, where it is sure to be in one: in a name. */
async function spoil(log: string): Promise<void> {
  for (const name of (await readdir(log)).filter((file) => file.endsWith('.wal'))) {
    const bytes = await readFile(join(log, name));
    const at = bytes.indexOf('loop-7');
    if (at < 0) continue;
    bytes[at] = must(bytes[at], 'a byte') ^ 1;
    await writeFile(join(log, name), bytes);
    return;
  }
  throw new Error('the name is in no segment');
}
