/**
 * What the recovery workload of a run is made of: agents that vanish, an outside world that fails, short times. Drawn from a stream of
 * random numbers of its own, so that runs without it are what they were before there was any.
 */
import { Prng } from './kernel/prng.ts';
import type { SimOptions } from './options.ts';

export interface RecoveryOptions {
  readonly agents: number;
  readonly loops: number;
  readonly thinkMaxUs: number;
  /** Before each thing that an agent does: it is gone for up to `lateMaxUs`, and goes on with the token that it had. */
  readonly vanishPermille: number;
  readonly lateMaxUs: number;
  /** Of those that vanish: gone for good. */
  readonly stopPermille: number;
  /** Expected duration of each phase, milliseconds. */
  readonly priorMs: number;
  /** Between two looks of the supervisors. */
  readonly supervisorUs: number;
  /** Of their looks: automation is paused for a while instead. 0 in most runs. */
  readonly pausePermille: number;
  readonly outside: OutsideOptions;
  /** Numbers of the replicated policy, milliseconds where they are times. */
  readonly policy: {
    readonly heartbeatMs: number;
    readonly blockedMs: number;
    readonly compensatorTriesMax: number;
    readonly compensatorBackoffMs: number;
    readonly compensatorBackoffMaxMs: number;
    readonly compensatorDeadlineMs: number;
    readonly circuitMs: number;
  };
}

export interface OutsideOptions {
  /** One way, microseconds. */
  readonly delayMaxUs: number;
  /** Calls and answers that get lost; each way. */
  readonly lostPermille: number;
  /** Calls that are answered with an error, and do nothing. */
  readonly failedPermille: number;
  /** Targets that answer every call with an error until the run heals. */
  readonly downPermille: number;
  /** Calls that arrive long after their deadline. */
  readonly straggledPermille: number;
  readonly stragglerMaxUs: number;
}

export type RecoveryWanted = 'on' | 'off' | 'drawn';

const MS = 1_000;
/** Time to raise the feature level, to set everything up, and for recoveries, beside what there was before. */
const MORE_US = 500 * MS;
const STREAM = 8;
/** They take twice as long as others. */
const SHARE_PERMILLE = 250;

/** The run with or without the workload. */
export function withRecovery(options: SimOptions, wanted: RecoveryWanted): SimOptions {
  const prng = new Prng(options.seed, STREAM);
  const drawn = prng.chance(SHARE_PERMILLE);
  if (wanted === 'off' || (wanted === 'drawn' && !drawn)) return options;
  const { settings, clients, membership, clock, nemesis } = options;
  // Clocks that are hours apart end the runs of the registers: their histories are those of the runs without recoveries then.
  const even = clock.skewMaxMs < 10_000 && !nemesis.acts.some(([act]) => act === 'wallJump');
  return {
    ...options,
    faultyUs: options.faultyUs + MORE_US,
    settings: { ...settings, dutyPeriodMs: Math.min(settings.dutyPeriodMs, 100) },
    membership: { ...membership, oldReleasePermille: 0 },
    clients: {
      ...clients,
      count: 1,
      registerClients: even ? Math.min(clients.registerClients, 2) : 0,
      readers: 0,
    },
    recovery: drawRecovery(prng),
  };
}

function drawRecovery(prng: Prng): RecoveryOptions {
  const triesMs = prng.pick([5, 20]);
  return {
    agents: prng.between(2, 4),
    loops: prng.between(2, 3),
    thinkMaxUs: prng.pick([5, 15]) * MS,
    vanishPermille: prng.pick([20, 60, 120]),
    lateMaxUs: prng.pick([100, 600]) * MS,
    stopPermille: prng.pick([0, 200]),
    priorMs: prng.pick([10, 30, 80]),
    supervisorUs: prng.pick([20, 80]) * MS,
    outside: {
      delayMaxUs: prng.pick([500, 5_000, 40_000]),
      lostPermille: prng.pick([0, 50, 250]),
      failedPermille: prng.pick([0, 100, 400]),
      downPermille: prng.pick([0, 300]),
      straggledPermille: prng.pick([0, 100]),
      stragglerMaxUs: prng.pick([200, 1_000]) * MS,
    },
    policy: {
      heartbeatMs: prng.pick([20, 60]),
      blockedMs: prng.pick([50, 300]),
      compensatorTriesMax: prng.between(1, 4),
      compensatorBackoffMs: triesMs,
      compensatorBackoffMaxMs: 4 * triesMs,
      compensatorDeadlineMs: prng.pick([20, 60]),
      circuitMs: prng.pick([30, 200]),
    },
    // Last, so that what was drawn before it keeps its meaning.
    pausePermille: prng.chance(300) ? 150 : 0,
  };
}
