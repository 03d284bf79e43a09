/**
 * What a run is made of. All of it is plain data drawn from the seed ("swarm": each run has some kinds of trouble
 * and lacks others, at rates of its own), so seed and commit reproduce a run.
 */
import type { MemberSettings } from '../../src/node/options.ts';
import { Prng } from './kernel/prng.ts';
import { DAMAGE_KINDS, type DamageKind } from './ports/disk-damage.ts';
import type { RecoveryOptions } from './recovery-options.ts';

/** Rates are in events per 1000 where they end in `Permille`, times in microseconds of true time. */
export interface SimOptions {
  readonly seed: number;
  /** Voters of the first configuration, and its learners. */
  readonly members: number;
  readonly learners: number;
  /** When trouble ends, a minority stays dead or cut off for good, in so many of 1000 runs. */
  readonly forGoodPermille: number;
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
  readonly membership: {
    /** Mean time between two changes; 0: none. */
    readonly everyUs: number;
    /** Machines in the configuration at most. */
    readonly membersMax: number;
    /** Changes of several members at once. */
    readonly severalPermille: number;
    /** First members of the release before, which are upgraded at their next start. */
    readonly oldReleasePermille: number;
    /** At a start, a member of the old release is upgraded. */
    readonly upgradePermille: number;
    /** Feature level of the release, without recoveries. */
    readonly releaseLevel: number;
  };
  readonly storage: {
    /** Bad disks: mean time between two of them; 0: none. */
    readonly everyUs: number;
    /** Kinds of damage that happen, by weight. */
    readonly kinds: readonly (readonly [kind: StorageFault, weight: number])[];
  };
  readonly nemesis: {
    /** Mean time between two acts; 0: none. */
    readonly everyUs: number;
    readonly lastsMaxUs: number;
    /** What it does, by weight. */
    readonly acts: readonly (readonly [act: NemesisAct, weight: number])[];
  };
  /** Trouble at moments that are rarely met by chance. */
  readonly aimed: {
    /** A piece of an image, not the first, finds its stream cut. */
    readonly imagePermille: number;
    /** The leader is cut off when it has sent the entry that makes the configuration joint. */
    readonly jointPermille: number;
    /** The leader is cut off when a follower has taken over an image, and has no entries. */
    readonly installedPermille: number;
    readonly lastsMaxUs: number;
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
    /** Reads by lease, and reads with bounded staleness of up to `staleMaxMs`. */
    readonly leasePermille: number;
    readonly boundedPermille: number;
    readonly staleMaxMs: number;
    /** Clients of the shared registers, and how many of those there are. */
    readonly registerClients: number;
    readonly registers: number;
    /** Watches of all events. */
    readonly watchers: number;
    readonly lostPermille: number;
    readonly payloadMax: number;
    readonly sessionTtlMs: number;
  };
  /** Phases with effects and documents, and their recoveries. Left out: feature level 2, and none of it. */
  readonly recovery?: RecoveryOptions;
}

export type StorageFault = DamageKind | 'storeUnreadable' | 'storeRow' | 'storeLost' | 'fullDisk' | 'swappedFolders';

const STORAGE_FAULTS: readonly StorageFault[] = [
  ...DAMAGE_KINDS,
  'storeUnreadable',
  'storeRow',
  'storeLost',
  'fullDisk',
  'swappedFolders',
];

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

/** What a run is mostly about, for those who look for one thing. */
export const FOCUSES = ['images', 'joint', 'leases', 'recovery'] as const;
export type Focus = (typeof FOCUSES)[number];

export function drawOptions(seed: number, membersWanted: number | null, focus: Focus | null = null): SimOptions {
  const drawn = drawAll(seed, membersWanted, focus);
  const electionUs = drawn.settings.electionTicks * drawn.settings.tickMs * MS;
  const { clients, membership, settings, aimed } = drawn;
  const leaderSuffers: SimOptions['nemesis'] = {
    everyUs: 3 * electionUs,
    lastsMaxUs: 4 * electionUs,
    acts: [
      ['isolateLeader', 2],
      ['staleLeader', 2],
      ['crashLeader', 1],
      ['partition', 2],
      ['crash', 2],
    ],
  };
  switch (focus) {
    case 'images':
      return {
        ...drawn,
        settings: { ...settings, logKeepBytes: 0, logKeepSlowBytes: 0, snapshotChunkBytes: 300, storeFlushBytes: 256 },
        nemesis: leaderSuffers,
        aimed: { ...aimed, imagePermille: 200, installedPermille: 700 },
        clients: { ...clients, count: 4, thinkMaxUs: Math.min(clients.thinkMaxUs, electionUs / 8), payloadMax: 2000 },
      };
    case 'joint':
      return {
        ...drawn,
        membership: { ...membership, everyUs: 2 * electionUs, severalPermille: 700, oldReleasePermille: 0 },
        aimed: { ...aimed, jointPermille: 700 },
      };
    case 'leases':
      return {
        ...drawn,
        nemesis: leaderSuffers,
        clients: { ...clients, count: 3, readers: 2, leasePermille: 1000, thinkMaxUs: Math.ceil(electionUs / 8) },
      };
    default:
      return drawn;
  }
}

function drawAll(seed: number, membersWanted: number | null, focus: Focus | null): SimOptions {
  const prng = new Prng(seed, 0);
  const size = prng.below(10);
  const drawn = size === 0 ? 1 : size < 7 ? 3 : 5;
  const members = membersWanted ?? drawn;
  const changes = prng.chance(350) || focus === 'joint';
  // What takes seconds costs fewer events where ticks are long.
  const tickMs = prng.pick(changes ? [10, 20, 40] : [5, 10, 20]);
  const electionTicks = prng.pick(changes ? [5, 10] : [5, 10, 10, 20]);
  const electionUs = tickMs * electionTicks * MS;
  const some = (permille: number, max: number): number => (prng.chance(permille) ? prng.scale(1, max) : 0);
  const clock = { driftPermille: some(500, 200), skewMaxMs: some(500, 3_600_000) };
  return {
    seed,
    members,
    learners: 0,
    forGoodPermille: 0,
    // Time to raise the feature level, which comes before any change of the members.
    faultyUs: Math.min(prng.between(10, 30) * electionUs, 3_000 * MS) + (changes ? 2_500 * MS : 0),
    settings: { tickMs, electionTicks, ...drawSettings(prng, tickMs, electionTicks, clock.driftPermille) },
    walSegmentBytes: prng.pick([8, 8, 16, 64]) * 1024,
    walCompressBytesMin: prng.pick([64, 512, 4096]),
    network: drawNetwork(prng, electionUs, some),
    disk: {
      syncMinUs: prng.scale(20, 500),
      syncMaxUs: prng.scale(600, electionUs / 4),
      slowPermille: some(500, 200),
      slowMaxUs: prng.scale(1, 3) * electionUs,
      brokenPermille: prng.chance(100) ? prng.scale(1, 4) : 0,
    },
    clock,
    membership: {
      everyUs: changes ? prng.pick([2, 4, 8]) * electionUs : 0,
      membersMax: prng.pick([4, 5, 6]),
      severalPermille: prng.pick([0, 300, 700]),
      oldReleasePermille: prng.chance(150) ? prng.pick([300, 1000]) : 0,
      upgradePermille: 0,
      releaseLevel: 2,
    },
    storage: drawStorage(prng, electionUs),
    nemesis: drawNemesis(prng, electionUs),
    aimed: drawAimed(new Prng(seed, 7), electionUs),
    clients: {
      count: prng.between(1, 4),
      sessionPermille: prng.pick([1000, 700, 300]),
      thinkMaxUs: prng.scale(1, 2 * electionUs),
      timeoutUs: prng.pick([1, 3, 8]) * electionUs,
      readPermille: prng.pick([0, 100, 300]),
      readers: prng.pick([0, 0, 0, 1]),
      leasePermille: prng.pick([0, 300, 1000]),
      boundedPermille: prng.pick([0, 200]),
      staleMaxMs: prng.pick([1, 4]) * tickMs * electionTicks,
      registerClients: prng.pick([0, 2, 3]),
      registers: prng.pick([1, 2]),
      watchers: prng.pick([0, 1, 2]),
      lostPermille: some(500, 200),
      payloadMax: prng.pick([20, 200, 2000]),
      sessionTtlMs: prng.pick([60_000, 60_000, 1_000]),
    },
  };
}

/** Limits so small that each of them is met, in some of the runs. */
function drawSettings(
  prng: Prng,
  tickMs: number,
  electionTicks: number,
  driftPermille: number,
): Omit<MemberSettings, 'tickMs' | 'electionTicks'> {
  const leaseTicks = Math.max(3, Math.floor(electionTicks / 2));
  // Clocks drift apart by twice the rate of one; a tick of what a follower heard may have passed already.
  const apart = (1000 - driftPermille) / (1000 + driftPermille);
  return {
    heartbeatTicks: prng.pick([1, 2, 3]),
    leaseTicks,
    leaseMs: Math.floor((leaseTicks - 1) * tickMs * apart),
    proposalsMax: prng.pick([4096, 64, 3]),
    proposalBytesMax: 16 * 1024 * 1024,
    uncommittedBytesMax: prng.pick([32 * 1024 * 1024, 32 * 1024 * 1024, 4096]),
    logCacheBytesMax: prng.pick([16 * 1024 * 1024, 16 * 1024 * 1024, 2048, 256]),
    storeFlushMs: prng.pick([1, 10, 50]),
    storeFlushBytes: prng.pick([1024 * 1024, 4096, 256]),
    logKeepBytes: prng.pick([64 * 1024 * 1024, 16 * 1024, 0, 0]),
    logKeepSlowBytes: prng.pick([64 * 1024 * 1024, 32 * 1024, 0]),
    snapshotChunkBytes: prng.pick([128 * 1024, 2048, 300]),
    snapshotChunksInFlight: prng.pick([1, 2, 4]),
    promoteLagEntries: prng.pick([1000, 10, 2]),
    dutyPeriodMs: prng.pick([1000, 200, 50]),
    partitionMs: 4 * electionTicks * tickMs,
  };
}

function drawStorage(prng: Prng, electionUs: number): SimOptions['storage'] {
  const kinds: (readonly [StorageFault, number])[] = [];
  for (const kind of STORAGE_FAULTS) if (prng.chance(400)) kinds.push([kind, prng.between(1, 4)]);
  const happens = kinds.length > 0 && prng.chance(400);
  return { everyUs: happens ? prng.pick([3, 6, 12]) * electionUs : 0, kinds };
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

function drawAimed(prng: Prng, electionUs: number): SimOptions['aimed'] {
  return {
    imagePermille: prng.pick([30, 200, 700]),
    jointPermille: prng.pick([0, 300, 700]),
    installedPermille: prng.pick([0, 300, 700]),
    lastsMaxUs: prng.pick([1, 3, 6]) * electionUs,
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
