/** Which faults happen when: drawn from the seed, and nothing else. */
import type { Fault, Nemesis } from './nemesis/types.ts';
import { Random } from './random.ts';

export interface ScheduleOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly members: number;
  readonly nemeses: readonly Pick<Nemesis, 'name' | 'lengthMs' | 'membersMin'>[];
  /** Two at a time, every pair of them in turn. */
  readonly pairs: boolean;
}

/** The cluster is left alone at the beginning, and between two faults. */
const WARM_UP_MS = 2_000;
const GAP_MS = [1_000, 5_000] as const;
const DRAWS = 8;

type Drawn = ScheduleOptions['nemeses'][number];

/**
 * Sorted by start. Every nemesis (with `pairs`: every pair) comes once before one comes again. No fault begins that
 * would not end within the duration, except that each run has one at least.
 */
export function drawSchedule(options: ScheduleOptions): readonly Fault[] {
  const { seed, durationMs, members } = options;
  const random = new Random(seed, 'schedule');
  const fit = options.nemeses.filter(({ membersMin = 3 }) => members >= membersMin);
  const groups = options.pairs ? pairsOf(fit) : fit.map((one) => [one]);
  const faults: Fault[] = [];
  if (groups.length === 0) return faults;
  let bag: (readonly Drawn[])[] = [];
  let atMs = WARM_UP_MS;
  for (;;) {
    if (bag.length === 0) bag = random.shuffle(groups);
    const group = bag.pop() ?? [];
    const drawn = drawGroup(random, group, atMs, members);
    const endMs = Math.max(...drawn.map(({ startMs, lengthMs }) => startMs + lengthMs));
    if (endMs > durationMs && faults.length > 0) return faults.sort((a, b) => a.startMs - b.startMs);
    faults.push(...drawn);
    atMs = endMs + random.between(...GAP_MS);
  }
}

/** The first one begins at once, each other one while the one before it lasts. */
function drawGroup(random: Random, group: readonly Drawn[], atMs: number, members: number): readonly Fault[] {
  const slots = Array.from({ length: members }, (_, slot) => slot);
  let startMs = atMs;
  return random.shuffle(group).map(({ name, lengthMs: [minMs, maxMs] }) => {
    const lengthMs = random.between(minMs, maxMs);
    const fault: Fault = {
      nemesis: name,
      startMs,
      lengthMs,
      order: random.shuffle(slots),
      draws: Array.from({ length: DRAWS }, () => random.next()),
    };
    startMs += random.between(0, Math.floor(lengthMs * 0.7));
    return fault;
  });
}

function pairsOf(nemeses: readonly Drawn[]): (readonly Drawn[])[] {
  return nemeses.flatMap((left, i) => nemeses.slice(i + 1).map((right) => [left, right]));
}
