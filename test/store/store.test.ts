import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevelStore } from '../../src/store/level-store.ts';
import { clusterId, memberId } from '../../src/types/ids.ts';
import { storeContract } from './contract.ts';
import { MemoryStore, MemoryStoreData } from './memory-store.ts';

storeContract('memory', async () => {
  const data = new MemoryStoreData();
  return { open: async () => new MemoryStore(data), remove: async () => data.streams.clear() };
});

storeContract('level', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'quorate-store-'));
  return {
    open: () => openLevelStore(join(folder, 'store'), { clusterId: clusterId('test'), memberId: memberId('a') }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
});
