/**
 * What a run draws beside `options.ts`, from a stream of random numbers of its own: seeds that found something keep their meaning
 * without it (`--swarm off`).
 */
import type { SimOptions } from './options.ts';

export type SwarmWanted = 'on' | 'off';

const MS = 1_000;
/** The level of the cluster rises within some hundreds of milliseconds when the leader looks that often. */
const DUTY_PERIOD_MS_MAX = 100;
/** Of the time that `options.ts` gives for it, this is not needed then. */
const SPARED_US = 1_800 * MS;

export function withSwarm(options: SimOptions, wanted: SwarmWanted): SimOptions {
  if (wanted === 'off') return options;
  return options.membership.everyUs === 0 ? options : withQuickLevels(options);
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
