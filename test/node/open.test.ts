/** A member opens only a log and a store that belong together, and starts no log beside a store that has been used. */
import { describe, expect, it } from 'vitest';
import { Member } from '../../src/node/member.ts';
import { DEFAULT_MEMBER_SETTINGS } from '../../src/node/options.ts';
import { systemRandom } from '../../src/server/system-ports.ts';
import { clusterId, logIndex, memberId, term } from '../../src/types/ids.ts';
import { MemoryStore, MemoryStoreData } from '../store/memory-store.ts';
import { MemoryDisk } from '../wal/memory-disk.ts';
import { CONFIGURATION, ManualClock, open, STREAM } from '../wal/support.ts';

const MARK = { index: logIndex(5), term: term(1), configuration: { index: logIndex(0), configuration: CONFIGURATION } };

async function openMember(disk: MemoryDisk, data: MemoryStoreData): Promise<void> {
  const wal = await open(disk);
  try {
    const member = await Member.open({
      clusterId: clusterId('cluster'),
      memberId: memberId('a'),
      initialConfiguration: CONFIGURATION,
      streams: [STREAM],
      clock: new ManualClock(),
      random: systemRandom,
      wal,
      store: new MemoryStore(data),
      network: { send: () => true },
      settings: DEFAULT_MEMBER_SETTINGS,
      recovering: false,
      featureLevelMax: 2,
      peerFeatureLevels: () => new Map(),
      onFatal: (error) => {
        throw error;
      },
    });
    await member.stop();
  } finally {
    await wal.close();
  }
}

async function streamsIn(disk: MemoryDisk): Promise<number> {
  const wal = await open(disk);
  await wal.close();
  return wal.streams.length;
}

describe('a log and a store', () => {
  it('that are new: the log is started', async () => {
    const disk = new MemoryDisk();
    await openMember(disk, new MemoryStoreData());
    expect(await streamsIn(disk)).toBe(1);
    await openMember(disk, new MemoryStoreData());
  });

  it('of which the log is missing are refused, and none is started in its place', async () => {
    const disk = new MemoryDisk();
    const data = new MemoryStoreData();
    await new MemoryStore(data).write(STREAM, MARK, []);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await expect(openMember(disk, data)).rejects.toThrow(/a state without a log/);
      expect(await streamsIn(disk)).toBe(0);
    }
  });

  it('of which the log is another one are refused', async () => {
    const disk = new MemoryDisk();
    await openMember(disk, new MemoryStoreData());
    const data = new MemoryStoreData();
    await new MemoryStore(data).write(STREAM, MARK, []);
    await expect(openMember(disk, data)).rejects.toThrow();
  });
});
