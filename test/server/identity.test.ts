import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Disk } from '../../src/ports/disk.ts';
import { MemberIdentity } from '../../src/server/identity.ts';
import { type IdentityNames, MemberRemovedError } from '../../src/server/removed.ts';
import { clusterId, memberId } from '../../src/types/ids.ts';
import { IDENTITY_BYTES_MAX } from '../../src/types/limits.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';

const NAMES: IdentityNames = { clusterId: clusterId('prod'), memberId: memberId('a') };
const [B, C] = [memberId('b'), memberId('c')];
const X = 'b'.repeat(32);
const Y = 'c'.repeat(32);
const FILE = 'identity.json';
const TEMPORARY = `${FILE}.tmp`;
const SEGMENT = 'wal/000000000001.wal';

/** A data folder: with folders in it. */
class DataFolder extends MemoryDisk {
  override async list(folder: string): Promise<readonly string[]> {
    const prefix = folder === '' ? '' : `${folder}/`;
    const below = this.paths().filter((path) => path.startsWith(prefix));
    return [...new Set(below.map((path) => path.slice(prefix.length).split('/')[0] ?? ''))];
  }

  put(path: string, text: string): void {
    this.replace(path, new TextEncoder().encode(text));
  }

  text(path: string): string {
    return new TextDecoder().decode(this.bytes(path));
  }

  get json(): Record<string, unknown> {
    return JSON.parse(this.text(FILE)) as Record<string, unknown>;
  }
}

const open = (disk: Disk, names: IdentityNames = NAMES): Promise<MemberIdentity> => MemberIdentity.open(disk, names);

/** A folder whose member has served. */
async function used(): Promise<DataFolder> {
  const disk = new DataFolder();
  const identity = await open(disk);
  disk.put(SEGMENT, 'log');
  await identity.markBootstrapped();
  await identity.admit(B, X);
  return disk;
}

/** The folder refuses, and is as it was. */
async function refuses(disk: DataFolder, message: RegExp, names = NAMES): Promise<void> {
  const before = disk.paths().map((path) => `${path} ${disk.text(path)}`);
  await expect(open(disk, names)).rejects.toThrow(message);
  expect(disk.paths().map((path) => `${path} ${disk.text(path)}`)).toEqual(before);
}

describe('a data folder', () => {
  it('draws an incarnation when it is new, and keeps it', async () => {
    const disk = new DataFolder();
    const first = await open(disk);
    expect(first.incarnation).toMatch(/^[0-9a-f]{32}$/);
    expect(first.bootstrapped).toBe(false);
    expect(first.unknownToPeers).toBe(true);
    expect((await open(disk)).incarnation).toBe(first.incarnation);
    expect((await open(new DataFolder())).incarnation).not.toBe(first.incarnation);
    expect(disk.json).toEqual({
      version: 1,
      clusterId: 'prod',
      memberId: 'a',
      incarnation: first.incarnation,
      bootstrapped: false,
      peers: {},
    });
  });

  it('remembers that its log was started', async () => {
    const disk = await used();
    expect((await open(disk)).bootstrapped).toBe(true);
  });

  it('ID2: is refused without its log, and does not start another one', async () => {
    const disk = await used();
    disk.delete(SEGMENT);
    await refuses(disk, /wal holds no log, but member a of cluster prod has used one: .* Put it back\./);
    disk.put('wal/lost+found', '');
    await refuses(disk, /holds no log/);
  });

  it('W4: may be without its log while a recovery is under way, which has moved it aside', async () => {
    const disk = await used();
    disk.delete(SEGMENT);
    disk.put('recovering.json', '{}');
    expect((await open(disk)).bootstrapped).toBe(true);
  });

  it('ID2: is refused with a log in which nothing was started', async () => {
    const identity = await open(await used());
    expect(() => identity.checkLog(true)).not.toThrow();
    expect(() => identity.checkLog(false)).toThrow(/Put it back/);
  });

  it('may lose its log before it was used: the process died between the two', async () => {
    const disk = new DataFolder();
    const { incarnation } = await open(disk);
    const again = await open(disk);
    again.checkLog(false);
    expect(again.incarnation).toBe(incarnation);
  });

  it('without an identity is refused when it is a log itself: the member would begin anew beside it', async () => {
    const disk = new DataFolder();
    disk.put('000000000001.wal', 'x');
    await refuses(
      disk,
      /000000000001\.wal is a segment of a log: .* Name the folder that has it as wal, with its identity/,
    );
  });

  it.each([
    ['a log', SEGMENT],
    ['a store', 'store/CURRENT'],
  ])('without an identity is refused when there is %s in it', async (_, path) => {
    const disk = new DataFolder();
    disk.put(path, 'x');
    await refuses(disk, /identity\.json is missing, but (wal|store) beside it was used before: .*Put the file back/);
    // Also at the second attempt.
    await refuses(disk, /identity\.json is missing/);
  });

  it('without an identity is new when its folders are empty', async () => {
    const disk = new DataFolder();
    disk.put('wal/lost+found', '');
    disk.put('lock/CURRENT', '');
    expect((await open(disk)).bootstrapped).toBe(false);
  });

  it('of another member or cluster is refused with both names', async () => {
    const disk = await used();
    await refuses(disk, /belongs to member a of cluster prod, but this is member b of cluster prod\. Set the data/, {
      ...NAMES,
      memberId: B,
    });
    await refuses(disk, /belongs to member a of cluster prod, but this is member a of cluster test/, {
      ...NAMES,
      clusterId: clusterId('test'),
    });
  });
});

describe('identity.json', () => {
  const valid = { version: 1, clusterId: 'prod', memberId: 'a', incarnation: X, bootstrapped: false, peers: { b: Y } };

  it.each([4, 0, 1.5])('of version %d is refused', async (version) => {
    const disk = new DataFolder();
    // A later version may have other fields.
    disk.put(FILE, JSON.stringify({ version, anything: [] }));
    await refuses(
      disk,
      new RegExp(`identity.json has version ${version}, which this version of quorate does not know`),
    );
  });

  it.each([
    ['empty', ''],
    ['cut', JSON.stringify(valid).slice(0, 60)],
    ['no object', '[]'],
    ['without a version', JSON.stringify({ ...valid, version: undefined })],
    ['without an incarnation', JSON.stringify({ ...valid, incarnation: undefined })],
    ['with a short incarnation', JSON.stringify({ ...valid, incarnation: 'abc' })],
    ['with a peer that has no name', JSON.stringify({ ...valid, peers: { 'B B': Y } })],
    ['with a peer of no incarnation', JSON.stringify({ ...valid, peers: { b: '' } })],
    ['with an unknown field', JSON.stringify({ ...valid, more: 1 })],
    [
      'with too many peers',
      JSON.stringify({ ...valid, peers: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`p${i}`, X])) }),
    ],
    ['of version 2 without what it adds', JSON.stringify({ ...valid, version: 2 })],
    ['with a digest that is none', JSON.stringify({ ...valid, version: 2, removed: false, membersDigest: 'abc' })],
    ['of version 1 with what came later', JSON.stringify({ ...valid, removed: false, membersDigest: '' })],
    ['too long', JSON.stringify(valid) + ' '.repeat(IDENTITY_BYTES_MAX)],
  ])('%s is refused as damaged', async (_, text) => {
    const disk = new DataFolder();
    disk.put(FILE, text);
    await refuses(
      disk,
      /identity\.json is damaged: it is not what quorate wrote\. Put an intact copy of this file back/,
    );
  });

  it('is not disturbed by a temporary file that a crash has torn', async () => {
    const disk = new DataFolder();
    disk.put(TEMPORARY, '{"version":1,"clus');
    const { incarnation } = await open(disk);
    disk.put(TEMPORARY, '');
    const again = await open(disk);
    expect(again.incarnation).toBe(incarnation);
    expect(await again.admit(B, X)).toEqual({ ok: true, value: undefined });
    expect(disk.json).toMatchObject({ incarnation, peers: { b: X } });
    expect(disk.paths()).toEqual([FILE]);
  });
});

describe('R9: the file of release 0.1', () => {
  const path = join(import.meta.dirname, '../compat/identity/identity-v1.json');
  const names = { clusterId: clusterId('prod'), memberId: memberId('m1') };

  it('is read, and stays as that release can read it until there is more to say', async () => {
    const disk = new DataFolder();
    disk.put(FILE, readFileSync(path, 'utf8'));
    disk.put(SEGMENT, 'log');
    const identity = await open(disk, names);
    expect(identity).toMatchObject({ incarnation: '0123456789abcdef0123456789abcdef', bootstrapped: true });
    expect(identity.membersDigest).toBeNull();
    expect(await identity.admit(memberId('m2'), '1'.repeat(32))).toMatchObject({ ok: true });
    expect(await identity.admit(memberId('m3'), '1'.repeat(32))).toMatchObject({ ok: false });
    await identity.admit(memberId('m4'), X);
    expect(disk.json.version).toBe(1);
    await identity.keepMembersDigest('ab'.repeat(32));
    expect(disk.json).toMatchObject({ version: 2, membersDigest: 'ab'.repeat(32), removed: false });
    expect((await open(disk, names)).membersDigest).toBe('ab'.repeat(32));
  });
});

describe('R2: a member that was removed', () => {
  it('ID4: is refused from then on, and is told how to come back', async () => {
    const disk = await used();
    const identity = await open(disk);
    await identity.markRemoved();
    await identity.markRemoved();
    await refuses(
      disk,
      /member a was removed from cluster prod: its data folder .* must not come back\..*--join.*quorate member add/,
    );
    await expect(open(disk)).rejects.toBeInstanceOf(MemberRemovedError);
    expect(disk.json).toMatchObject({ version: 2, removed: true, peers: { b: X } });
  });

  it('keeps the digest that was written first', async () => {
    const disk = await used();
    const identity = await open(disk);
    await identity.keepMembersDigest('');
    await identity.keepMembersDigest('ab'.repeat(32));
    expect(identity.membersDigest).toBe('');
    // What the members say of it later is another thing: where its own log begins does not change.
    await identity.learnClusterDigest('cd'.repeat(32));
    await identity.learnClusterDigest('ef'.repeat(32));
    const again = await open(disk);
    expect([again.membersDigest, again.clusterDigest]).toEqual(['', 'cd'.repeat(32)]);
  });

  it('learns with whom the cluster was begun only where its own log never said', async () => {
    const old = await open(await used());
    await old.learnClusterDigest('cd'.repeat(32));
    expect([old.membersDigest, old.clusterDigest]).toEqual([null, 'cd'.repeat(32)]);
    const first = await open(await used());
    await first.keepMembersDigest('ab'.repeat(32));
    await first.learnClusterDigest('cd'.repeat(32));
    expect(first.clusterDigest).toBe('ab'.repeat(32));
  });
});

describe('peers', () => {
  it('A5: are forgotten when there are too many, the current ones last', async () => {
    const disk = await used();
    const met = Object.fromEntries(Array.from({ length: 255 }, (_, i) => [`p${i}`, Y]));
    disk.put(FILE, JSON.stringify({ ...disk.json, peers: { b: X, ...met } }));
    const identity = await open(disk);
    expect(await identity.admit(C, Y, new Set(['b']))).toEqual({ ok: true, value: undefined });
    expect(Object.keys(disk.json.peers as object)).toHaveLength(256);
    expect(disk.json.peers).toMatchObject({ b: X, c: Y });
    const all = new Set(Object.keys(disk.json.peers as object));
    expect(await identity.admit(memberId('d'), Y, all)).toMatchObject({ ok: false });
  });

  it('ID3: are remembered by the first incarnation that was met, over restarts', async () => {
    const disk = await used();
    for (let i = 0; i < 2; i += 1) {
      const identity = await open(disk);
      expect(identity.unknownToPeers).toBe(false);
      expect(await identity.admit(B, X)).toEqual({ ok: true, value: undefined });
      expect(await identity.admit(B, Y)).toEqual({
        ok: false,
        error:
          'member b lost its data folder or has another one; it must not come back under the same id: its votes and ' +
          'acknowledgements are forgotten. Put the old folder back',
      });
    }
    expect(disk.json.peers).toEqual({ b: X });
  });

  it('may have any name', async () => {
    const identity = await open(await used());
    expect(await identity.admit(memberId('constructor'), X)).toEqual({ ok: true, value: undefined });
    expect(await identity.admit(memberId('constructor'), Y)).toMatchObject({ ok: false });
  });

  it('that come at the same time are all kept, and one at a time is admitted', async () => {
    const disk = await used();
    const identity = await open(disk);
    const outcomes = await Promise.all([
      identity.admit(C, Y),
      identity.admit(C, X),
      identity.admit(memberId('d'), X),
      identity.admit(C, Y),
    ]);
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, true, true]);
    expect(disk.json.peers).toEqual({ b: X, c: Y, d: X });
    await identity.close();
  });

  it('are not admitted when the disk fails; a later attempt is', async () => {
    const disk = await used();
    const identity = await open(disk);
    for (const operation of ['write', 'sync', 'rename', 'syncFolder']) {
      disk.before = (at) => {
        if (at === operation) throw new Error('the disk is full');
      };
      await expect(identity.admit(C, Y)).rejects.toThrow('the disk is full');
      // Known ones need no disk.
      expect(await identity.admit(B, X)).toMatchObject({ ok: true });
    }
    disk.before = () => undefined;
    expect(await identity.admit(C, X)).toMatchObject({ ok: true });
    expect(await identity.admit(C, Y)).toMatchObject({ ok: false });
    expect(disk.json.peers).toEqual({ b: X, c: X });
  });
});

describe('power cuts', () => {
  const keeps: readonly (readonly [string, (what: string) => boolean])[] = [
    ['nothing', () => false],
    ['everything', () => true],
    ['names', (what) => what.startsWith('name')],
    ['content', (what) => what.startsWith('sector')],
    ['the new name', (what) => what === `name ${FILE}`],
    ['the old name', (what) => what === `name ${TEMPORARY}`],
  ];

  it.each(keeps)('ID1, ID2, ID3: what was promised is there after any of them that keeps %s', async (_, keep) => {
    let finished = false;
    let cuts = 0;
    for (let at = 1; !finished; at += 1) {
      const disk = new DataFolder();
      const seen = { incarnation: '', bootstrapped: false, admitted: new Map<string, string>() };
      const cut = new Promise<false>((resolve) => {
        let operations = 0;
        disk.before = () => {
          operations += 1;
          if (operations !== at) return;
          disk.crash(keep);
          resolve(false);
        };
      });
      const life = async (): Promise<true> => {
        const identity = await open(disk.process());
        seen.incarnation = identity.incarnation;
        disk.put(SEGMENT, 'log');
        await identity.markBootstrapped();
        seen.bootstrapped = true;
        for (const [peer, incarnation] of [
          [B, X],
          [C, Y],
        ] as const) {
          if ((await identity.admit(peer, incarnation)).ok) seen.admitted.set(peer, incarnation);
        }
        return true;
      };
      finished = await Promise.race([life(), cut]);
      if (!finished) cuts += 1;
      disk.before = () => undefined;
      const after = await open(disk.process());
      if (seen.incarnation !== '') expect(after.incarnation).toBe(seen.incarnation);
      if (seen.bootstrapped) expect(after.bootstrapped).toBe(true);
      for (const [peer, incarnation] of seen.admitted) {
        expect(await after.admit(memberId(peer), incarnation)).toMatchObject({ ok: true });
        expect(await after.admit(memberId(peer), 'f'.repeat(32))).toMatchObject({ ok: false });
      }
    }
    expect(cuts).toBeGreaterThan(10);
  });
});
