/**
 * What a run is made of. All of it is plain data drawn from the seed ("swarm": each run has some kinds of trouble
 * and lacks others, at rates of its own), so seed and commit reproduce a run.
 */
import type { MemberSettings } from '../../src/node/options.ts';
import { Prng } from './kernel/prng.ts';

/** Rates are in events per 1000 where they end in `Permille`, times in microseconds of true time. */
export interface SimOptions {
  readonly seed: number;
  readonly members: 1 | 3 | 5;
  /** How long there is trouble. */
  readonly faultyUs: number;
  readonly settings: MemberSettings;
  readonly walSegmentBytes: number;
  readonly walCompressBytesMin: number;
  readonly network: {
    readonly delayMinUs: number;
    readonly delayMaxUs: number;
    readonly lostPermille: number;
    readonly duplicatedPermille: number;
    /** Delayed by up to `stragglerMaxUs`. */
    readonly stragglerPermille: number;
    readonly stragglerMaxUs: number;
    /** Envelopes of one link arrive in the order sent, as on one connection. */
    readonly inOrder: boolean;
    /** The sender hears of a loss, as when a connection breaks. */
    readonly noticedPermille: number;
    /** Envelopes that travel as bytes, through the codec. */
    readonly encodedPermille: number;
  };
  readonly disk: {
    readonly syncMinUs: number;
    readonly syncMaxUs: number;
    /** Syncs that take up to `slowMaxUs`. */
    readonly slowPermille: number;
    readonly slowMaxUs: number;
    /** Syncs that fail; the member must stop. */
    readonly brokenPermille: number;
  };
  readonly clock: {
    /** Monotonic clocks run at a rate in [1 − n, 1 + n] thousandths. */
    readonly driftPermille: number;
    /** Wall clocks start apart by up to this. */
    readonly skewMaxMs: number;
  };
  readonly nemesis: {
    /** Mean time between two acts; 0: none. */
    readonly everyUs: number;
    readonly lastsMaxUs: number;
    /** What it does, by weight. */
    readonly acts: readonly (readonly [act: NemesisAct, weight: number])[];
  };
  readonly clients: {
    readonly count: number;
    /** Out of 1000 clients, how many use sessions. */
    readonly sessionPermille: number;
    readonly thinkMaxUs: number;
    readonly timeoutUs: number;
    readonly readPermille: number;
    /** How many of them do nothing but read, in quick succession. */
    readonly readers: number;
    /** Watches of all events. */
    readonly watchers: number;
    readonly lostPermille: number;
    readonly payloadMax: number;
    readonly sessionTtlMs: number;
  };
}

export type NemesisAct =
  | 'partition'
  | 'partitionOneWay'
  | 'isolateLeader'
  | 'isolateNewLeader'
  | 'staleLeader'
  | 'bridge'
  | 'crash'
  | 'crashLeader'
  | 'crashLeaderAfterAppend'
  | 'crashAll'
  | 'kill'
  | 'stop'
  | 'pause'
  | 'pauseLeader'
  | 'slowDisk'
  | 'slowDiskLeader'
  | 'wallJump'
  | 'transfer'
  | 'lossyLink';

const ACTS: readonly NemesisAct[] = [
  'partition',
  'partitionOneWay',
  'isolateLeader',
  'isolateNewLeader',
  'staleLeader',
  'bridge',
  'crash',
  'crashLeader',
  'crashLeaderAfterAppend',
  'crashAll',
  'kill',
  'stop',
  'pause',
  'pauseLeader',
  'slowDisk',
  'slowDiskLeader',
  'wallJump',
  'transfer',
  'lossyLink',
];

const MS = 1000;

export function drawOptions(seed: number, membersWanted: number | null): SimOptions {
  const prng = new Prng(seed, 0);
  const size = prng.below(10);
  const drawn = size === 0 ? 1 : size < 7 ? 3 : 5;
  const members = (membersWanted ?? drawn) as SimOptions['members'];
  const tickMs = prng.pick([5, 10, 20]);
  const electionTicks = prng.pick([5, 10, 10, 20]);
  const electionUs = tickMs * electionTicks * MS;
  const some = (permille: number, max: number): number => (prng.chance(permille) ? prng.scale(1, max) : 0);
  return {
    seed,
    members,
    faultyUs: Math.min(prng.between(15, 60) * electionUs, 6_000 * MS),
    settings: {
      tickMs,
      electionTicks,
      heartbeatTicks: prng.pick([1, 2, 3]),
      proposalsMax: prng.pick([4096, 64, 3]),
      proposalBytesMax: 16 * 1024 * 1024,
      uncommittedBytesMax: prng.pick([32 * 1024 * 1024, 32 * 1024 * 1024, 4096]),
      logCacheBytesMax: prng.pick([16 * 1024 * 1024, 16 * 1024 * 1024, 2048, 256]),
      storeFlushMs: prng.pick([1, 10, 50]),
    },
    walSegmentBytes: prng.pick([8, 16, 64]) * 1024,
    walCompressBytesMin: prng.pick([64, 512, 4096]),
    network: drawNetwork(prng, electionUs, some),
    disk: {
      syncMinUs: prng.scale(20, 500),
      syncMaxUs: prng.scale(600, electionUs / 4),
      slowPermille: some(500, 200),
      slowMaxUs: prng.scale(1, 3) * electionUs,
      brokenPermille: prng.chance(100) ? prng.scale(1, 4) : 0,
    },
    clock: { driftPermille: some(500, 200), skewMaxMs: some(500, 3_600_000) },
    nemesis: drawNemesis(prng, electionUs),
    clients: {
      count: prng.between(1, 4),
      sessionPermille: prng.pick([1000, 700, 300]),
      thinkMaxUs: prng.scale(1, 2 * electionUs),
      timeoutUs: prng.pick([1, 3, 8]) * electionUs,
      readPermille: prng.pick([0, 100, 300]),
      readers: prng.pick([0, 0, 0, 1]),
      watchers: prng.pick([0, 1, 2]),
      lostPermille: some(500, 200),
      payloadMax: prng.pick([20, 200, 2000]),
      sessionTtlMs: prng.pick([60_000, 60_000, 1_000]),
    },
  };
}

function drawNetwork(
  prng: Prng,
  electionUs: number,
  some: (permille: number, max: number) => number,
): SimOptions['network'] {
  return {
    delayMinUs: prng.scale(20, 500),
    delayMaxUs: prng.scale(600, Math.max(1_200, electionUs / 4)),
    lostPermille: some(600, 200),
    duplicatedPermille: some(500, 300),
    stragglerPermille: some(500, 100),
    stragglerMaxUs: prng.scale(1, 8) * electionUs,
    inOrder: prng.chance(500),
    noticedPermille: prng.pick([0, 500, 1000]),
    encodedPermille: prng.pick([0, 0, 50, 1000]),
  };
}

function drawNemesis(prng: Prng, electionUs: number): SimOptions['nemesis'] {
  const acts: (readonly [NemesisAct, number])[] = [];
  for (const act of ACTS) if (prng.chance(450)) acts.push([act, prng.between(1, 8)]);
  const quiet = acts.length === 0 || prng.chance(30);
  return {
    everyUs: quiet ? 0 : prng.pick([1, 2, 3, 6]) * electionUs,
    lastsMaxUs: prng.pick([2, 4, 10]) * electionUs,
    acts,
  };
}
