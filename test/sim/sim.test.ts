/** The real node, raft, machine and log under simulated trouble (architecture, decision 12). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runSim } from './command.ts';

const TIMEOUT_MS = 120_000;

/** Of the network, of processes, of disks, of the operator and of recoveries. */
const FAULTS = [
  ...['lost', 'duplicated', 'straggled', 'partition', 'bridge', 'isolateLeader', 'cutImage', 'cutJoint'],
  ...['crash', 'kill', 'stop', 'pause', 'wallJump', 'transfer'],
  ...['disk slow', 'disk torn', 'bitFlip', 'zeroedSector', 'misdirectedWrite', 'storeLost', 'storeRow', 'fullDisk'],
  ...['swappedFolders', 'healed', 'add', 'replace', 'remove', 'remove leader'],
  ...['dead for good', 'cut off for good', 'upgraded'],
  ...['performed', 'compensator done', 'compensator failed', 'documents rolled back', 'override resume'],
  ...['RECONCILE>CLEAN_EXIT', 'ROLLBACK>CLEAN_EXIT', 'ROLLBACK>BLOCKED_COMPENSATOR', 'BLOCKED_COMPENSATOR>HARD_FAILED'],
];
/** Branches that say that the trouble led somewhere. */
const MARKS = ['compacted', 'snapshotInstalled', 'recovered', 'leave_joint', 'featureLevel', 'removed_leader_resigns'];

const regressions = JSON.parse(readFileSync(new URL('./regressions.json', import.meta.url), 'utf8')) as readonly {
  readonly seed: number;
  readonly members: number | null;
  /** Found in a run with recoveries: `on`. */
  readonly recovery?: 'on';
  /** Found in a run with the options of `swarm-options.ts`: `on`. */
  readonly swarm?: 'on';
  readonly found: string;
}[];

describe('simulated clusters', () => {
  it(
    'break no rule with the seeds 1 to 80',
    async () => {
      const outcome = await runSim(['--start', '1', '--seeds', '80']);
      expect(outcome.violations).toEqual([]);
      expect(outcome.exitCode).toBe(0);
      expect(outcome.seeds).toBe(80);
      // It was no idle run: about two thirds of what these seeds do.
      expect(outcome.operationsDone).toBeGreaterThan(80 * 40);
      expect(outcome.reads).toBeGreaterThan(80 * 15);
      expect(outcome.registerCalls).toBeGreaterThan(80 * 25);
      expect(outcome.undecided).toBeLessThan(8);
      for (const fault of FAULTS) expect(outcome.faults[fault], fault).toBeGreaterThan(0);
      for (const mark of MARKS) expect(outcome.marks[mark], mark).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it(
    'do the same when run again, in whatever order',
    async () => {
      const together = await runSim(['--start', '11', '--seeds', '8', '--workers', '2']);
      const alone = await runSim(['--start', '11', '--seeds', '8', '--workers', '1']);
      const last = await runSim(['--seed', '18']);
      expect(Object.keys(together.hashes)).toHaveLength(8);
      expect(alone.hashes).toEqual(together.hashes);
      expect(last.hashes['18']).toBe(together.hashes['18']);
      expect(new Set(Object.values(together.hashes)).size).toBe(8);
    },
    TIMEOUT_MS,
  );

  it.each(alike(regressions))(
    'seeds that found something, $options.members members, recovery $options.recovery, swarm $options.swarm',
    async ({ options, seeds }) => {
      const { members, recovery, swarm } = options;
      const sized = members === null ? [] : ['--members', String(members)];
      const args = ['--list', seeds.join(','), '--recovery', recovery, '--swarm', swarm, '--keep-going', ...sized];
      const outcome = await runSim(args);
      expect(outcome.violations).toEqual([]);
      expect(outcome.seeds).toBe(seeds.length);
    },
    TIMEOUT_MS,
  );
});

interface Alike {
  readonly options: { readonly members: number | null; readonly recovery: 'on' | 'off'; readonly swarm: 'on' | 'off' };
  readonly seeds: number[];
}

/** Those that run with the same options share a process: most of a single one is the start. */
function alike(all: typeof regressions): readonly Alike[] {
  const groups = new Map<string, Alike>();
  for (const { seed, members, recovery, swarm } of all) {
    const options = { members, recovery: recovery ?? 'off', swarm: swarm ?? 'off' } as const;
    const key = JSON.stringify(options);
    const group = groups.get(key) ?? { options, seeds: [] };
    groups.set(key, group);
    group.seeds.push(seed);
  }
  return [...groups.values()];
}
