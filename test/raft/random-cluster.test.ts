import { describe, expect, it } from 'vitest';
import { RandomCluster } from './random-cluster.ts';

/** Seeds that run on every `npm test`; a failure prints its seed, and `QUORATE_RAFT_SEEDS=from-to` runs others. */
const [FIRST_SEED = 1, LAST_SEED = 100] = (process.env.QUORATE_RAFT_SEEDS ?? '1-100').split('-').map(Number);

describe('a random cluster keeps the Raft properties (Raft paper, figure 3)', () => {
  for (const members of [1, 2, 3, 4, 5]) {
    it(`${members} members: election safety, log matching, completeness, durability, reads, liveness`, () => {
      let committed = 0;
      let reads = 0;
      for (let seed = FIRST_SEED; seed <= LAST_SEED; seed++) {
        const cluster = new RandomCluster(seed, members);
        try {
          cluster.run(1000);
          cluster.heal();
        } catch (error) {
          throw new Error(`seed ${seed}, ${members} members: ${(error as Error).message}`, { cause: error });
        }
        committed += cluster.committedCommands;
        reads += cluster.readsAnswered;
      }
      expect(committed).toBeGreaterThan(LAST_SEED - FIRST_SEED);
      expect(reads).toBeGreaterThan(LAST_SEED - FIRST_SEED);
    });
  }
});
