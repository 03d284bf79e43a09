/**
 * How often the adaptive timeout is wrong, by simulation with a seed. A false alarm is a healthy phase that takes longer than its
 * timeout. A slow phase (three times as long as it would have been) is missed when it ends before its timeout. A hang never
 * ends: it is found when its timeout is over, and `hangFactor` says how many times the mean of healthy phases that takes.
 */
import { estimate, timeoutOf } from '../../src/machine/detection/estimate.ts';
import { DURATIONS_KEPT } from '../../src/types/limits.ts';

const K_MILLI = 1_600;
const PRIORS_MS = [15_000, 20_000, 120_000, 30_000, 10_000];

/** Uniform in [0, 1); Marsaglia's xorshift with 32 bits, good enough to draw durations. */
function uniform(seed: number): () => number {
  let x = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 4_294_967_296;
  };
}

/** Box and Muller. */
function normal(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const whole = (ms: number): number => Math.max(1, Math.round(ms));

/** Phases of a fresh cluster in the order of the default plan; what would raise an alarm is recorded all the same. */
export function freshClusters(clusters: number, phasesOfEach: number) {
  let alarms = 0;
  let clustersWithAlarm = 0;
  for (let seed = 1; seed <= clusters; seed++) {
    const draw = normal(uniform(seed));
    const windows = PRIORS_MS.map((): number[] => []);
    let ofCluster = 0;
    for (let i = 0; i < phasesOfEach; i++) {
      const prior = PRIORS_MS[i % PRIORS_MS.length] ?? 1;
      const window = windows[i % PRIORS_MS.length] ?? [];
      const duration = whole(prior + (prior / 2) * draw());
      if (duration > timeoutOf(estimate(window, prior), K_MILLI)) ofCluster++;
      window.push(duration);
    }
    alarms += ofCluster;
    if (ofCluster > 0) clustersWithAlarm++;
  }
  return { clusters, phases: clusters * phasesOfEach, alarms, clustersWithAlarm };
}

/** Share of windows of `n` normal durations whose estimate is at or above the true 95th percentile. */
export function coverage(n: number, windows: number): number {
  const draw = normal(uniform(n));
  let covered = 0;
  for (let i = 0; i < windows; i++) {
    const durations = Array.from({ length: n }, () => 1_000_000 + 100_000 * draw());
    if (estimate(durations, 1).p95Ms >= 1_000_000 + 1.6448536 * 100_000) covered++;
  }
  return covered / windows;
}

export interface Family {
  readonly name: string;
  /** Duration of phase `i` of `PHASES`, from a normal and a uniform draw. */
  readonly durationMs: (i: number, draw: () => number, random: () => number) => number;
}

const PRIOR_MS = 20_000;
const PHASES = 1_000;
const SEEDS = 20;

export const FAMILIES: readonly Family[] = [
  { name: 'normal, sd = mean/2', durationMs: (_, draw) => PRIOR_MS * (1 + 0.5 * draw()) },
  { name: 'log-normal, σ = 0.5', durationMs: (_, draw) => PRIOR_MS * Math.exp(0.5 * draw()) },
  { name: 'log-normal, σ = 1', durationMs: (_, draw) => PRIOR_MS * Math.exp(draw()) },
  {
    name: 'bimodal, 9 of 10 at the prior, 1 at 5 times',
    durationMs: (_, draw, random) => PRIOR_MS * (random() < 0.9 ? 1 : 5) * (1 + 0.1 * draw()),
  },
  {
    name: 'drifting to 4 times in 1,000 phases',
    durationMs: (i, draw) => PRIOR_MS * (1 + (3 * i) / PHASES) * (1 + 0.2 * draw()),
  },
  {
    name: 'a step to 3 times half-way',
    durationMs: (i, draw) => PRIOR_MS * (i < PHASES / 2 ? 1 : 3) * (1 + 0.2 * draw()),
  },
];

export interface Measured {
  readonly name: string;
  readonly falseAlarms: number;
  readonly slowMissed: number;
  readonly hangsMissed: number;
  readonly hangFactor: number;
}

/** Shares of phases. A healthy phase that raised an alarm is not recorded: it was interrupted. */
export function measure({ name, durationMs }: Family): Measured {
  let falseAlarms = 0;
  let slowMissed = 0;
  let hangsMissed = 0;
  let factors = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = uniform(seed);
    const draw = normal(random);
    const window: number[] = [];
    let sum = 0;
    for (let i = 0; i < PHASES; i++) {
      const duration = whole(durationMs(i, draw, random));
      const timeoutMs = timeoutOf(estimate(window, PRIOR_MS), K_MILLI);
      sum += duration;
      factors += timeoutMs / (sum / (i + 1));
      if (!Number.isFinite(timeoutMs)) hangsMissed++;
      if (duration * 3 <= timeoutMs) slowMissed++;
      if (duration > timeoutMs) falseAlarms++;
      else window.push(duration);
      if (window.length > DURATIONS_KEPT) window.shift();
    }
  }
  const all = SEEDS * PHASES;
  return { name, falseAlarms: falseAlarms / all, slowMissed: slowMissed / all, hangsMissed, hangFactor: factors / all };
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

export function measuredTable(rows: readonly Measured[]): string {
  const lines = rows.map(
    ({ name, falseAlarms, slowMissed, hangFactor }) =>
      `| ${name} | ${percent(falseAlarms)} | ${percent(slowMissed)} | ${hangFactor.toFixed(1)} |`,
  );
  return [
    '| Durations | False alarms | Threefold slowness missed | A hang is found after (× mean) |',
    '| --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}
