import { describe, expect, it } from 'vitest';
import { checkTrace } from '../trace-check/checker.ts';
import { RandomCluster, type Storyline } from './random-cluster.ts';

/** Seeds that run on every `npm test`; a failure prints its seed, and `QUORATE_RAFT_SEEDS=from-to` runs others. */
const [FIRST_SEED = 1, LAST_SEED = 100] = (process.env.QUORATE_RAFT_SEEDS ?? '1-100').split('-').map(Number);
const RUNS = LAST_SEED - FIRST_SEED;
const QUIET: Storyline = { changes: false, compaction: false, losses: false };

function runAll(members: number, story: Storyline): { committed: number; reads: number; configurations: number } {
  const total = { committed: 0, reads: 0, configurations: 0 };
  for (let seed = FIRST_SEED; seed <= LAST_SEED; seed++) {
    const cluster = new RandomCluster(seed, members, story);
    try {
      cluster.run(1000);
      cluster.heal();
      const traces = [...cluster.traces].map(([member, events]) => ({ member, events, complete: true }));
      expect(checkTrace(traces)).toEqual([]);
    } catch (error) {
      throw new Error(`seed ${seed}, ${members} members: ${(error as Error).message}`, { cause: error });
    }
    total.committed += cluster.committedCommands;
    total.reads += cluster.readsAnswered;
    total.configurations += cluster.configurationsCommitted;
  }
  return total;
}

describe('a random cluster keeps the Raft properties (Raft paper, figure 3)', () => {
  for (const members of [1, 2, 3, 4, 5]) {
    it(`${members} members: election safety, log matching, completeness, durability, reads, liveness`, () => {
      const { committed, reads } = runAll(members, QUIET);
      expect(committed).toBeGreaterThan(RUNS);
      expect(reads).toBeGreaterThan(RUNS);
    });
  }

  for (const members of [1, 3, 5]) {
    it(`R2, R4: ${members} members: the same while voters and learners come and go and logs are cut`, () => {
      const { committed, reads, configurations } = runAll(members, { changes: true, compaction: true, losses: false });
      expect(committed).toBeGreaterThan(RUNS);
      expect(reads).toBeGreaterThan(RUNS);
      expect(configurations).toBeGreaterThan(RUNS);
    });
  }

  for (const members of [2, 3, 4, 5]) {
    it(`W4: ${members} members: the same while one disk after the other loses its log`, () => {
      const { committed, reads } = runAll(members, { changes: false, compaction: true, losses: true });
      expect(committed).toBeGreaterThan(RUNS);
      expect(reads).toBeGreaterThan(RUNS);
    });

    it(`R2, R4, W4: ${members} members: all of that at once`, () => {
      const { committed, configurations } = runAll(members, { changes: true, compaction: true, losses: true });
      expect(committed).toBeGreaterThan(RUNS);
      expect(configurations).toBeGreaterThan(RUNS);
    });
  }
});
