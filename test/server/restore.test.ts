/** U5: a backup as the data folder of a new cluster. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeConfiguration } from '../../src/codec/configuration.ts';
import { createMachine, startLoading } from '../../src/machine/machine.ts';
import type { Command } from '../../src/machine/types.ts';
import type { SnapshotMark } from '../../src/raft/types.ts';
import { MemberIdentity } from '../../src/server/identity.ts';
import { firstDigest, membersDigest } from '../../src/server/members.ts';
import { BUMP_REVISION_DEFAULT, type RestoreOptions, restoreDataFolder } from '../../src/server/restore.ts';
import { systemClock } from '../../src/server/system-ports.ts';
import { backupBytes } from '../../src/snapshot/backup.ts';
import { loadImage } from '../../src/snapshot/load.ts';
import { openLevelStore } from '../../src/store/level-store.ts';
import { must } from '../../src/types/assert.ts';
import { clusterId, clusterTimeMs, DATA_STREAM, logIndex, memberId, term } from '../../src/types/ids.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { openWal } from '../../src/wal/wal.ts';

const OLD = { clusterId: clusterId('old'), memberId: memberId('m1') };
const NEW = { clusterId: clusterId('new'), memberId: memberId('n1') };
const WAL = { segmentBytes: 64 * 1024, compressBytesMin: 1024 };
const VOTERS = ['n1', 'n2', 'n3'].map(memberId);
const LAST = 6;

let folder = '';
let backup: Uint8Array = new Uint8Array();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-restore-'));
  backup = await makeBackup();
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function command(index: number, body: Command['body']) {
  const command: Command = { timeMs: clusterTimeMs(1000 + index), session: null, caller: 'c', traceId: 't', body };
  return { index: logIndex(index), term: term(3), command };
}

/** A state of a few loops, in a real store, as its backup. */
async function makeBackup(): Promise<Uint8Array> {
  const machine = createMachine();
  for (let i = 1; i <= LAST; i += 1) machine.apply(command(i, { kind: 'createLoop', loop: `loop-${i}`, plan: '' }));
  const configuration = { voters: [OLD.memberId], votersOutgoing: [], learners: [] };
  const mark: SnapshotMark = {
    index: logIndex(LAST),
    term: term(3),
    configuration: { index: logIndex(0), configuration },
  };
  const store = await openLevelStore(join(folder, 'old-store'), OLD);
  await store.write(DATA_STREAM, mark, machine.takeChanges());
  const image = must(await store.image(DATA_STREAM), 'an image');
  const pieces: Uint8Array[] = [];
  const origin = { ...OLD, stream: DATA_STREAM, createdAtMs: 1, version: '0' };
  for await (const piece of backupBytes(image, origin)) pieces.push(piece);
  await image.close();
  await store.close();
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}

function options(change: Partial<RestoreOptions> = {}): RestoreOptions {
  return {
    bytes: inPieces(backup),
    dataDir: join(folder, 'data'),
    ...NEW,
    voters: VOTERS,
    bumpRevision: BUMP_REVISION_DEFAULT,
    wal: WAL,
    ...change,
  };
}

/** What a member finds in the folder. */
async function opened(dataDir: string) {
  const identity = await MemberIdentity.open(new NodeDisk(dataDir), NEW);
  const wal = await openWal(new NodeDisk(join(dataDir, 'wal')), systemClock, { ...NEW, ...WAL, decodeConfiguration });
  const store = await openLevelStore(join(dataDir, 'store'), NEW);
  try {
    const image = must(await store.image(DATA_STREAM), 'an image');
    const loader = startLoading();
    await loadImage(
      (after, max) => image.read(after, max),
      loader,
      async () => undefined,
    );
    await image.close();
    const state = await store.state(DATA_STREAM);
    return { identity, log: wal.streams[0], state, machine: loader.finish(image.mark.index) };
  } finally {
    await store.close();
    await wal.close();
  }
}

describe('U5: a restored data folder', () => {
  it('holds the state of the backup, above everything that the old cluster numbered', async () => {
    const seen: number[] = [];
    const restored = await restoreDataFolder(options({ onProgress: (bytes) => seen.push(bytes) }));
    expect(restored.index).toBe(LAST + BUMP_REVISION_DEFAULT);
    expect(restored.backup).toMatchObject({ fileBytes: backup.length, header: { clusterId: 'old' } });
    expect(seen.at(-1)).toBeGreaterThan(0);
    const { machine, state, log, identity } = await opened(join(folder, 'data'));
    expect(machine.stateHash()).toBe(restored.stateHash);
    expect(machine.loops(null, 100).rows.map(({ loop }) => loop)).toHaveLength(LAST);
    expect(machine.firstEventRevision()).toBe(restored.index + 1);
    expect(state).toMatchObject({ installing: false, mark: { index: restored.index, term: 3 } });
    expect(log).toMatchObject({
      hardState: { term: 3, votedFor: null },
      baseTerm: 3,
      firstIndex: restored.index + 1,
      lastIndex: restored.index,
    });
    expect(identity.bootstrapped).toBe(true);
    expect(await readdir(folder)).toEqual(expect.not.arrayContaining([expect.stringContaining('restoring')]));
  });

  it('is refused by a member while only a part of it is there (RS1)', async () => {
    const dataDir = join(folder, 'data');
    await restoreDataFolder(options());
    for (const gone of ['identity.json', 'hard-state', 'store']) {
      await rm(join(dataDir, gone), { recursive: true });
      await expect(MemberIdentity.open(new NodeDisk(dataDir), NEW)).rejects.toThrow(/identity\.json is missing/);
    }
  });

  it('is the start of a new cluster: its members, its digest', async () => {
    await restoreDataFolder(options({ voters: [...VOTERS].reverse() }));
    const { log } = await opened(join(folder, 'data'));
    const placed = must(log, 'a stream').configurations;
    expect(placed).toEqual([{ index: 0, configuration: { voters: VOTERS, votersOutgoing: [], learners: [] } }]);
    const first = { voters: [], votersOutgoing: [], learners: [] };
    expect(firstDigest(log, first)).toBe(membersDigest(VOTERS));
  });

  it('is the same state on each member that restores the backup', async () => {
    const one = await restoreDataFolder(options());
    const dataDir = join(folder, 'other');
    const two = await restoreDataFolder(options({ bytes: inPieces(backup), dataDir, memberId: memberId('n2') }));
    expect([two.stateHash, two.index]).toEqual([one.stateHash, one.index]);
  });

  it('is told from one with other members, another index, or no backup: they must not meet (RS3)', async () => {
    const digestOf = async (name: string, change: Partial<RestoreOptions>): Promise<string | null> => {
      const dataDir = join(folder, name);
      await restoreDataFolder(options({ bytes: inPieces(backup), dataDir, ...change }));
      return (await opened(dataDir)).identity.membersDigest;
    };
    const digest = await digestOf('one', {});
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(digest).not.toBe(membersDigest(VOTERS));
    expect(await digestOf('two', { voters: [...VOTERS].reverse() })).toBe(digest);
    expect(await digestOf('three', { bumpRevision: 1 })).not.toBe(digest);
    expect(await digestOf('four', { voters: VOTERS.slice(0, 2) })).not.toBe(digest);
  });

  it('fills an empty folder, which may be a mount point, and makes one that is not there yet, and its parents', async () => {
    const dataDir = join(folder, 'empty');
    await mkdir(join(dataDir, 'lost+found'), { recursive: true });
    const { ino } = await stat(dataDir);
    await restoreDataFolder(options({ dataDir }));
    expect((await stat(dataDir)).ino).toBe(ino);
    expect((await readdir(dataDir)).sort()).toEqual(['hard-state', 'identity.json', 'lost+found', 'store', 'wal']);
    expect((await opened(dataDir)).identity.bootstrapped).toBe(true);
    const deep = join(folder, 'some', 'where', 'else');
    await restoreDataFolder(options({ bytes: inPieces(backup), dataDir: deep }));
    expect(await readdir(deep)).toContain('identity.json');
  });
});

describe('U5: nothing is restored', () => {
  async function refuses(change: Partial<RestoreOptions>, message: RegExp): Promise<void> {
    const before = (await readdir(folder)).sort();
    await expect(restoreDataFolder(options(change))).rejects.toThrow(message);
    expect((await readdir(folder)).sort()).toEqual(before);
  }

  it('into a folder that holds something', async () => {
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'precious'), 'x');
    await refuses({}, /holds something already/);
    expect(await readFile(join(folder, 'data', 'precious'), 'utf8')).toBe('x');
  });

  it('from a backup with one byte that is not as it was written, wherever it is', async () => {
    for (let i = 0; i < 40; i += 1) {
      const at = Math.floor((i * (backup.length - 1)) / 39);
      const spoilt = Uint8Array.from(backup);
      spoilt[at] = (spoilt[at] ?? 0) ^ 1;
      await expect(restoreDataFolder(options({ bytes: inPieces(spoilt) })), `byte ${at}`).rejects.toThrow(/backup/i);
    }
    expect(await readdir(folder)).toEqual(['old-store']);
  });

  it('from a backup that is cut short', async () => {
    await refuses({ bytes: inPieces(backup.subarray(0, -1)) }, /backup/i);
    await refuses({ bytes: inPieces(backup.subarray(0, 100)) }, /backup/i);
    await refuses({ bytes: inPieces(new Uint8Array()) }, /backup/i);
  });

  it('into the cluster that it was taken from', async () => {
    await refuses({ clusterId: OLD.clusterId }, /give the new cluster another id/);
  });

  it('for a member that is not in the list, or lists that are none', async () => {
    await refuses({ memberId: memberId('x') }, /member x is not among the members/);
    await refuses({ voters: [] }, /1 to 7 members/);
    await refuses({ voters: [...VOTERS, memberId('n1')] }, /each named once/);
    await refuses({ bumpRevision: -1 }, /not by -1/);
    await refuses({ bumpRevision: Number.MAX_SAFE_INTEGER }, /can be bumped by 45\d+ at most, not by 90\d+/);
  });
});
