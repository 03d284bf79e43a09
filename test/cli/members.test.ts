import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EXIT, exitCodeOf } from '../../src/cli/exit-codes.ts';
import { fileProblem } from '../../src/cli/file-problem.ts';
import { statusError } from '../../src/rpc/status.ts';
import { systemClock } from '../../src/server/system-ports.ts';
import { backupBytes } from '../../src/snapshot/backup.ts';
import { clusterId, DATA_STREAM, logIndex, memberId, term } from '../../src/types/ids.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { openWal } from '../../src/wal/wal.ts';
import { FakeImage } from '../api/fake-image.ts';
import { backupMessage, FakeMember, message, refusal } from '../client/fake-member.ts';
import { cli } from './run-cli.ts';

let member: FakeMember;
let folder: string;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
  folder = mkdtempSync(join(tmpdir(), 'quorate-cli-test-'));
});

afterEach(() => {
  member.crash();
  rmSync(folder, { recursive: true, force: true });
});

function ask(...args: string[]) {
  return cli([...args, '--endpoints', member.address], { cwd: folder });
}

const one = (memberId: string, role: string, fields: object = {}) => ({
  memberId,
  role,
  active: true,
  peerAddress: `${memberId}:1`,
  clientAddress: `${memberId}:2`,
  ...fields,
});
const list = (members: object[], fields: object = {}) => message({ members, settled: true, ...fields });
const three = [one('a', 'voter', { leader: true }), one('b', 'voter'), one('c', 'voter')];

describe('R2: quorate member', () => {
  test('list shows what each is, what is wanted, and whether a change is under way', async () => {
    const coming = one('d', 'learner', { wanted: 'voter', lagEntries: 12n, transfer: { bytesSent: 1_500_000n } });
    member.script('listMembers', list([...three, coming], { joint: true, settled: false }));
    const { code, stdout } = await ask('member', 'list');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^a +voter \(leads\)/m);
    expect(stdout).toMatch(/^d +learner +voter +yes +12 .*image 1\.5 MB sent$/m);
    expect(stdout).toContain('two configurations are in force');
    const json = JSON.parse((await ask('member', 'list', '--json', '--consistency', '250ms')).stdout);
    expect(json).toMatchObject({ joint: true, settled: false, members: [{}, {}, {}, { wanted: 'voter' }] });
    expect(member.requests('listMembers').at(-1)?.request).toMatchObject({ consistency: 2, maxStalenessMs: 250n });
  });

  test('add waits until all are voters, several in one change', async () => {
    const coming = (role: string, fields: object = {}) =>
      ['d', 'e'].map((id) => one(id, role, { wanted: 'voter', ...fields }));
    member.script(
      'listMembers',
      list(three),
      list([...three, ...coming('learner', { lagEntries: 5n })], { settled: false }),
      list([...three, ...coming('voter')], { joint: true, settled: false }),
      list([...three, ...coming('voter')]),
    );
    const { code, stdout, stderr } = await ask('member', 'add', 'd=10.0.0.4:1,10.0.0.4:2', 'e=h:3,h:4');
    expect([code, stderr]).toEqual([0, expect.stringContaining('is being added')]);
    expect(stdout).toMatch(/^e +voter/m);
    expect(member.requests('changeMembers')).toHaveLength(1);
    expect(member.requests('changeMembers')[0]?.request).toMatchObject({
      header: { sessionId: 7n, sequence: 1n },
      changes: [
        { change: { case: 'add', value: { memberId: 'd', peerAddress: '10.0.0.4:1', clientAddress: '10.0.0.4:2' } } },
        { change: { case: 'add', value: { memberId: 'e', peerAddress: 'h:3', clientAddress: 'h:4' } } },
      ],
    });
    expect(member.requests('listMembers')).toHaveLength(4);
  });

  test('--no-wait ends when it is on record; --json gives one object', async () => {
    const { code, stdout } = await ask('member', 'add', 'd=h:1,h:2', '--learner', '--no-wait', '--json');
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ revision: 2, done: false })]);
    expect(member.requests('changeMembers')[0]?.request).toMatchObject({
      changes: [{ change: { value: { learner: true } } }],
    });
    expect(member.requests('listMembers')).toEqual([]);
  });

  test('remove and replace wait until the old one is gone; promote until there is a vote', async () => {
    const left = [three[0], three[1]] as object[];
    member.script('listMembers', list(three, { settled: false }), list(left));
    expect((await ask('member', 'remove', 'c', '--force')).code).toBe(0);
    expect(member.requests('changeMembers').at(-1)?.request).toMatchObject({ force: true });
    member.script('listMembers', list([...left, one('d', 'voter')]));
    expect((await ask('member', 'replace', 'c', 'd=h:1,h:2')).code).toBe(0);
    expect(member.requests('changeMembers').at(-1)?.request).toMatchObject({
      changes: [{ change: { case: 'add', value: { memberId: 'd', replaces: 'c' } } }],
    });
    expect((await ask('member', 'promote', 'd')).code).toBe(0);
  });

  test('4: --timeout ends the wait, not the change', async () => {
    member.script('listMembers', list([...three, one('d', 'learner', { active: false })], { settled: false }));
    const { code, stderr } = await ask('member', 'add', 'd=h:1,h:2', '--timeout', '300ms');
    expect(code).toBe(4);
    expect(stderr).toMatch(/not done within 300 ms \(d: learner, not heard of.*it goes on/);
  });

  test('3: refused, with what to do; also a member that was removed while it was waited for', async () => {
    member.script(
      'changeMembers',
      refusal({ code: Code.FAILED_PRECONDITION, reason: 'QUORUM_AT_RISK', message: 'bring b back' }),
    );
    const refused = await ask('member', 'remove', 'c');
    expect([refused.code, refused.stderr]).toEqual([3, 'quorate: QUORUM_AT_RISK: bring b back\n']);
    member.script('changeMembers', message({ header: { revision: 2n } }));
    member.script('listMembers', list([...three, one('d', '', { wanted: 'removed' })], { settled: false }));
    const lost = await ask('member', 'add', 'd=h:1,h:2');
    expect([lost.code, lost.stderr]).toEqual([3, expect.stringContaining('d was removed meanwhile')]);
  });

  test.each([
    ['member', 'add', 'd'],
    ['member', 'add', 'd=h:1'],
    ['member', 'add', 'D=h:1,h:2'],
    ['member', 'add', 'd=h:1,h:2,h:3'],
    ['member', 'add', 'd=h:99999,h:2'],
    ['member', 'replace', 'd', 'd=h:1,h:2'],
    ['member', 'list', '--consistency', 'fresh'],
    ['feature-level', 'set', '0'],
  ])('2: %s %s %s', async (...args) => {
    expect((await ask(...args)).code).toBe(2);
  });
});

describe('R1, R9: leader and feature level', () => {
  test('leader transfer says who leads', async () => {
    member.script('transferLeadership', message({ leaderId: 'b' }));
    expect((await ask('leader', 'transfer')).stdout).toBe('b leads\n');
    expect(JSON.parse((await ask('leader', 'transfer', 'b', '--json')).stdout)).toEqual({ leader: 'b' });
    expect(member.requests('transferLeadership').at(-1)?.request).toMatchObject({ to: 'b' });
  });

  test('feature-level get and set', async () => {
    member.script('getFeatureLevel', message({ level: 2, used: 1, supported: 2 }));
    expect((await ask('feature-level', 'get')).stdout).toContain('level 2 (all members support 2; 1 is in use');
    expect((await ask('feature-level', 'set', '1', '--pin')).stdout).toBe('level 1, pinned\n');
    expect(member.requests('setFeatureLevel')[0]?.request).toMatchObject({ level: 1, pinned: true });
  });
});

describe('U5: quorate backup and restore', () => {
  const origin = {
    clusterId: clusterId('c'),
    memberId: memberId('m'),
    stream: DATA_STREAM,
    createdAtMs: 1,
    version: '1',
  };

  async function bytesOf(): Promise<Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    for await (const piece of backupBytes(new FakeImage(50, 256), origin)) pieces.push(piece);
    return pieces;
  }

  async function serve(pieces: readonly Uint8Array[]): Promise<void> {
    member.onBackup((stream) => {
      stream.write(backupMessage());
      for (const piece of pieces) stream.write(backupMessage(piece));
      stream.end();
    });
  }

  test('writes a file that verifies, and prints its checksum', async () => {
    await serve(await bytesOf());
    const { code, stdout } = await ask('backup', 'x.qbk', '--json');
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      clusterId: 'c',
      memberId: 'm',
      index: 41,
      rows: 51,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(statSync(join(folder, 'x.qbk')).size).toBe(result.fileBytes);
    expect(readdirSync(folder)).toEqual(['x.qbk']);
    const verified = await ask('backup', 'verify', 'x.qbk');
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringMatching(new RegExp(`${result.sha256}\nsound\n$`)),
    ]);
    const again = await ask('backup', 'x.qbk');
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('it is there already')]);
  });

  test('leaves no file behind when it breaks off, or when a byte is wrong', async () => {
    const pieces = await bytesOf();
    member.onBackup((stream) => {
      stream.write(backupMessage());
      const failed = statusError({ code: Code.ABORTED, reason: 'BACKUP_FAILED', message: 'the disk is gone' });
      stream.write(backupMessage(pieces[0]), () => stream.emit('error', failed));
    });
    const broken = await ask('backup', 'x.qbk');
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('the disk is gone')]);
    const flipped = pieces.map((piece) => Uint8Array.from(piece));
    const [, second] = flipped;
    if (second === undefined) throw new Error('one piece only');
    second[40] = (second[40] ?? 0) ^ 1;
    await serve(flipped);
    const wrong = await ask('backup', 'x.qbk');
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('damaged at byte')]);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('1: verify and restore refuse a backup with one flipped byte; 2: one that is not there', async () => {
    const whole = Buffer.concat(await bytesOf());
    whole[whole.length >> 1] = (whole[whole.length >> 1] ?? 0) ^ 4;
    writeFileSync(join(folder, 'bad.qbk'), whole);
    expect((await ask('backup', 'verify', 'bad.qbk')).code).toBe(1);
    const into = ['--data-dir', 'd', '--cluster-id', 'new', '--member-id', 'a', '--members', 'a,b'];
    const refused = await ask('restore', 'bad.qbk', ...into);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('damaged at byte')]);
    expect(readdirSync(folder)).toEqual(['bad.qbk']);
    expect((await ask('backup', 'verify', 'none.qbk')).code).toBe(2);
    expect((await ask('restore', 'none.qbk', ...into)).code).toBe(2);
    expect((await ask('restore', 'bad.qbk', ...into.slice(2))).code).toBe(2);
    expect((await ask('restore', 'bad.qbk', ...into.slice(0, -1), 'a,B')).code).toBe(2);
  });
});

describe('U1: quorate backup and restore say what is wrong with a path', () => {
  const into = ['--data-dir', 'd', '--cluster-id', 'new', '--member-id', 'a', '--members', 'a'];

  test.each([
    [['backup', 'no/x.qbk'], 'no/x.qbk: there is no such folder; make it first'],
    [['backup', ''], 'the name of the file is empty'],
    [['restore', 'none.qbk', ...into], 'none.qbk: there is no such file or folder'],
    [['restore', '.', ...into], '.: it is a folder; give the name of a file'],
    [['restore', 'x', '--data-dir', 'file', ...into.slice(2)], 'file: it, or a part of its path, is no folder'],
    [['restore', 'x', '--data-dir', '', ...into.slice(2)], '--data-dir is empty'],
  ])('2: %j', async (args, text) => {
    writeFileSync(join(folder, 'file'), '');
    const { code, stderr } = await ask(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`quorate: ${text}`)]);
    expect(readdirSync(folder)).toEqual(['file']);
  });

  test('2: what a killed backup left is named, and not taken for a backup', async () => {
    writeFileSync(join(folder, 'x.qbk.partial'), '');
    const { code, stderr } = await ask('backup', 'x.qbk');
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('x.qbk.partial: it is being written by another process'),
    ]);
    expect(readdirSync(folder)).toEqual(['x.qbk.partial']);
  });

  test('1: a full disk is no wrong usage', async () => {
    const full = fileProblem('x', Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }));
    expect([String(full), exitCodeOf(full)]).toEqual(['Error: x: the disk is full', EXIT.unexpected]);
  });
});

describe('W4: quorate wal', () => {
  /** A data folder with a log of 40 entries, and the path of its only segment. */
  async function makeLog(): Promise<string> {
    const options = {
      clusterId: clusterId('c'),
      memberId: memberId('m'),
      segmentBytes: 64 * 1024,
      compressBytesMin: 1_024,
    };
    const wal = await openWal(new NodeDisk(join(folder, 'data', 'wal')), systemClock, options);
    await wal.bootstrap(DATA_STREAM, { voters: [memberId('m')], votersOutgoing: [], learners: [] });
    for (let i = 1; i <= 40; i++) {
      const payload = Buffer.from(`entry ${i}, which is long enough to be found`);
      const entry = { index: logIndex(i), term: term(1), kind: 'command', payload } as const;
      const hardState = i === 1 ? { term: term(1), votedFor: memberId('m') } : null;
      await wal.append({ stream: DATA_STREAM, hardState, entries: [entry] });
    }
    await wal.close();
    const [name] = readdirSync(join(folder, 'data', 'wal')).filter((one) => one.endsWith('.wal'));
    return join(folder, 'data', 'wal', name ?? 'none');
  }

  test('verify: 0 for a sound log, 1 for a damaged one, which is named and not touched; repair writes another', async () => {
    const segment = await makeLog();
    const sound = await ask('wal', 'verify', 'data');
    expect([sound.code, sound.stdout]).toEqual([0, expect.stringMatching(/entries 1 to 40, term 1, vote m\nsound\n$/)]);
    const bytes = readFileSync(segment);
    const at = bytes.indexOf('entry 20,');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(segment, bytes);
    const damaged = await ask('wal', 'verify', 'data', '--json');
    expect(damaged.code).toBe(1);
    const { sound: isSound, findings } = JSON.parse(damaged.stdout);
    expect(isSound).toBe(false);
    expect(findings[0]).toMatchObject({ file: segment, bad: true });
    expect(findings[0].offset).toBeLessThan(at);
    expect((await ask('wal', 'verify', 'data')).stdout).toContain(`BAD   ${segment} at byte ${findings[0].offset}`);
    const dumped = await ask('wal', 'dump', join('data', 'wal'));
    expect([dumped.code, dumped.stdout]).toEqual([1, expect.stringMatching(/NOT INTACT[\s\S]*entries 40 to 40/)]);
    const repaired = await ask('wal', 'repair', 'data', '--out', 'new');
    expect([repaired.code, repaired.stdout]).toEqual([0, expect.stringContaining('entries 1 to 19')]);
    expect(readFileSync(segment)).toEqual(bytes);
    expect((await ask('wal', 'verify', 'new')).code).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(['data', 'new']);
  });

  test('repair writes nothing into the original, nor over anything; ids that are none are refused', async () => {
    const segment = await makeLog();
    writeFileSync(join(folder, 'file'), '');
    const before = [readdirSync(join(folder, 'data')), readdirSync(join(folder, 'data', 'wal')), readFileSync(segment)];
    for (const [out, text] of [
      ['data', 'is in the folder of the damaged log'],
      [join('data', 'new'), 'is in the folder of the damaged log'],
      [join('data', 'wal', 'new'), 'is in the folder of the damaged log'],
      ['.', 'is not empty'],
      ['file', 'is no folder'],
    ] as const) {
      const { code, stderr } = await ask('wal', 'repair', 'data', '--out', out);
      expect([out, code, stderr]).toEqual([out, 2, expect.stringContaining(text)]);
    }
    expect(readdirSync(folder).sort()).toEqual(['data', 'file']);
    const after = [readdirSync(join(folder, 'data')), readdirSync(join(folder, 'data', 'wal')), readFileSync(segment)];
    expect(after).toEqual(before);
    expect((await ask('wal', 'verify', 'data', '--member-id', 'A b')).code).toBe(2);
    const other = await ask('wal', 'verify', 'data', '--cluster-id', 'other', '--member-id', 'm');
    expect([other.code, other.stdout]).toEqual([1, expect.stringContaining('NOT OF THIS MEMBER')]);
  });

  test('130: verify ends when it is told to', async () => {
    await makeLog();
    const controller = new AbortController();
    controller.abort(new Error('stopped'));
    const { code, stdout } = await cli(['wal', 'verify', 'data'], { cwd: folder, signal: controller.signal });
    expect([code, stdout]).toEqual([130, '']);
  });

  test('2: a folder without a log', async () => {
    for (const name of ['verify', 'dump']) {
      expect((await ask('wal', name, 'nothing')).code).toBe(2);
      expect((await ask('wal', name, '.')).stderr).toContain('there is no log in it');
    }
    expect((await ask('wal', 'repair', '.')).code).toBe(2);
  });
});
