/** Processes that are killed (kill -9) or stand still (SIGSTOP). */
import type { Cluster } from '../cluster/cluster.ts';
import { type Fault, majority, minority, type Nemesis, SkippedError } from './types.ts';

const SCOPES = ['one', 'minority', 'majority', 'all', 'leader'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who is meant, in the order in which they are taken, and how many of them. */
export async function choose(
  cluster: Cluster,
  fault: Fault,
  scope: Scope,
): Promise<{ readonly wanted: readonly number[]; readonly count: number }> {
  const all = fault.order;
  switch (scope) {
    case 'one':
      return { wanted: all, count: 1 };
    case 'minority':
      return { wanted: all, count: minority(all.length) };
    case 'majority':
      return { wanted: all, count: majority(all.length) };
    case 'all':
      return { wanted: all, count: all.length };
    case 'leader': {
      const leader = await cluster.waitForLeader(2_000);
      if (leader === null) throw new SkippedError('nobody leads');
      return { wanted: [leader], count: 1 };
    }
  }
}

function killNemesis(scope: Scope): Nemesis {
  return {
    name: `kill-${scope}`,
    describe: `kill -9 of ${scope}, and a start after a while`,
    needs: [],
    lengthMs: scope === 'all' ? [500, 3_000] : [500, 8_000],
    begin: async ({ cluster, claim, release }, fault) => {
      const { wanted, count } = await choose(cluster, fault, scope);
      const slots = claim(wanted, count);
      await Promise.all(slots.map((slot) => cluster.member(slot).kill()));
      const end = async (): Promise<void> => {
        for (const slot of slots) cluster.member(slot).start();
        release(slots);
      };
      return { value: { members: slots }, disabled: slots, end };
    },
  };
}

function pauseNemesis(scope: Scope): Nemesis {
  return {
    name: `pause-${scope}`,
    describe: `SIGSTOP of ${scope}, and SIGCONT after a while`,
    needs: [],
    lengthMs: [1_000, 10_000],
    begin: async ({ cluster, claim, release }, fault) => {
      const { wanted, count } = await choose(cluster, fault, scope);
      const slots = claim(wanted, count);
      for (const slot of slots) cluster.member(slot).signal('SIGSTOP');
      const end = async (): Promise<void> => {
        for (const slot of slots) cluster.member(slot).signal('SIGCONT');
        release(slots);
      };
      return { value: { members: slots }, disabled: slots, end };
    },
  };
}

export const PROCESSES: readonly Nemesis[] = [...SCOPES.map(killNemesis), ...SCOPES.map(pauseNemesis)];
