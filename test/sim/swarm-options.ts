/**
 * What a run draws beside `options.ts`, from a stream of random numbers of its own: seeds that found something keep their meaning
 * without it (`--swarm off`).
 */
import { Prng } from './kernel/prng.ts';
import type { SimOptions } from './options.ts';

export type SwarmWanted = 'on' | 'off';

const STREAM = 12;
const MS = 1_000;
/** The level of the cluster rises within some hundreds of milliseconds when the leader looks that often. */
const DUTY_PERIOD_MS_MAX = 100;
/** Of the time that `options.ts` gives for it, this is not needed then. */
const SPARED_US = 1_800 * MS;
/** Voters, by weight: large clusters are slow to simulate. */
const SIZES = [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7];

export function withSwarm(drawn: SimOptions, membersWanted: number | null, wanted: SwarmWanted): SimOptions {
  if (wanted === 'off') return drawn;
  const prng = new Prng(drawn.seed, STREAM);
  const size = prng.pick(SIZES);
  const members = membersWanted ?? size;
  const learners = prng.chance(200) ? prng.between(1, 2) : 0;
  const { membership } = drawn;
  const options: SimOptions = {
    ...drawn,
    members,
    learners: Math.min(learners, 7 - members),
    forGoodPermille: 500,
    membership: {
      ...membership,
      upgradePermille: prng.pick([0, 300, 1000]),
      releaseLevel: prng.pick([2, 2, 3]),
      oldReleasePermille: prng.chance(150) ? prng.pick([300, 1000]) : membership.oldReleasePermille,
    },
  };
  return membership.everyUs === 0 ? options : withQuickLevels(options);
}

/** Members are changed only after the feature level has risen: less of the run is spent waiting for that. */
function withQuickLevels(options: SimOptions): SimOptions {
  const { settings, membership } = options;
  return {
    ...options,
    faultyUs: options.faultyUs - SPARED_US,
    settings: { ...settings, dutyPeriodMs: Math.min(settings.dutyPeriodMs, DUTY_PERIOD_MS_MAX) },
    membership: { ...membership, everyUs: Math.ceil(membership.everyUs * 0.6) },
  };
}
