/** R9: a data folder that this version wrote (`test/compat/data-v2`) stays readable, and means the same. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeConfiguration } from '../../src/codec/configuration.ts';
import { startLoading } from '../../src/machine/machine.ts';
import { MemberIdentity } from '../../src/server/identity.ts';
import { loadImage } from '../../src/snapshot/load.ts';
import { readMarker } from '../../src/storage/marker.ts';
import { openStorage } from '../../src/storage/open-storage.ts';
import { openLevelStore } from '../../src/store/level-store.ts';
import { clusterId, memberId, streamId } from '../../src/types/ids.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { decodeSegmentHeader } from '../../src/wal/record.ts';
import { ManualClock } from '../wal/support.ts';

const GOLDEN = new URL('../compat/data-v2/', import.meta.url).pathname;
const NAMES = { clusterId: clusterId('golden'), memberId: memberId('a') };
const STREAM = streamId(1);

interface Expected {
  readonly report: string;
  readonly stream: Record<string, unknown>;
  readonly mark: unknown;
  readonly stateHash: string;
}

const expected = JSON.parse(readFileSync(join(GOLDEN, 'expected.json'), 'utf8')) as Expected;
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-golden-'));
  cpSync(join(GOLDEN, 'data'), folder, { recursive: true });
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open() {
  return openStorage({
    root: new NodeDisk(folder),
    logFolder: 'wal',
    clock: new ManualClock(),
    wal: { ...NAMES, segmentBytes: 8 * 1024, compressBytesMin: 512, decodeConfiguration },
    streams: [STREAM],
    founding: null,
    openStore: () => openLevelStore(join(folder, 'store'), NAMES),
    moveStoreAside: async () => expect.unreachable('nothing is damaged'),
  });
}

describe('R9: a data folder of feature level 2', () => {
  it('holds segments of both formats, a compacted log, and a mark of an image', () => {
    const headers = readdirSync(join(folder, 'wal')).map((name) => {
      return decodeSegmentHeader(readFileSync(join(folder, 'wal', name)));
    });
    const recycled = headers.map((header) => (header.kind === 'good' ? header.header.recycled : null));
    expect(new Set(recycled)).toEqual(new Set([true, false]));
    expect(readdirSync(join(folder, 'wal'))).not.toContain('000000000001.wal');
  });

  it('is read as it was written: log, votes, configurations, tables', async () => {
    const { wal, store, report } = await open();
    expect(report.kind).toBe(expected.report);
    expect(JSON.parse(JSON.stringify(wal.streams[0]))).toEqual(expected.stream);
    const image = await store.image(STREAM);
    expect(image?.mark).toEqual(expected.mark);
    if (image === null) throw new Error('the store has rows');
    const loader = startLoading();
    await loadImage(
      (after, bytesMax) => image.read(after, bytesMax),
      loader,
      async () => undefined,
    );
    const machine = loader.finish(image.mark.index);
    expect(machine.stateHash()).toBe(expected.stateHash);
    expect(machine.featureLevel()).toEqual({ level: 2, used: 2, pinned: false });
    expect(machine.members()).toMatchObject([{ member: 'd', wanted: 'voter', replaces: 'c' }]);
    await image.close();
    await store.close();
    await wal.close();
  });

  it('says whose it is', async () => {
    const identity = await MemberIdentity.open(new NodeDisk(folder), NAMES);
    expect(identity.bootstrapped).toBe(true);
    expect(identity.membersDigest).toBe('ab'.repeat(32));
    await identity.close();
  });

  it('and the word of a member that recovers', async () => {
    const marker = await readMarker(new NodeDisk(join(GOLDEN, 'marker')));
    expect(marker).toMatchObject({ phase: 'running', log: 'damaged-1-wal', store: null });
    expect(marker?.hardStates.get(STREAM)).toEqual({ term: 7, votedFor: 'b' });
  });
});
