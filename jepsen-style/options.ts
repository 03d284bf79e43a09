/** What a run is asked to do. */
import { parseArgs } from 'node:util';
import { parseNemeses } from './nemesis/table.ts';
import { parseWorkloads } from './workloads/table.ts';

export interface RunOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly members: number;
  /** Names of nemeses, each one for itself. */
  readonly nemeses: readonly string[];
  readonly workloads: readonly string[];
  readonly pairs: boolean;
  /** Where processes only can be broken, although this machine could do more. */
  readonly loopback: boolean;
}

export interface Request {
  readonly options: RunOptions;
  /** The folder of the run; null: one is made. */
  readonly dir: string | null;
  /** Folder of the run whose schedule is run again; null: it is drawn. */
  readonly replay: string | null;
  /** Entry of the command line that the members run; null: that of dist/. */
  readonly cli: string | null;
  /** A line of JSON about the run is appended here; null: nowhere. */
  readonly summary: string | null;
  readonly probeOnly: boolean;
  /** How often the power of all members fails, and nothing else happens; null: a schedule of faults is carried out. */
  readonly powerCycles: number | null;
}

export const USAGE = `npm run chaos -- [options]

  --minutes N        how long faults are injected; default 2, a decimal number is fine
  --seed S           what everything is drawn from; default: a new one
  --nemesis LIST     names, prefixes, all or none; default partition,kill
  --workload LIST    names or all; default all
  --members N        3, 5 or 7; default 5
  --pairs            two faults at a time
  --loopback         no namespaces and no disks: processes are all that is broken (without root: the only way)
  --dir DIR          where everything is written, empty or not there yet; default .cache/chaos/seed-S-N
  --replay DIR       the schedule, seed and options of that run again
  --cli FILE         entry of the command line that the members run; default dist/cli/main.js
  --summary FILE     a line of JSON about the run is appended to it
  --power-cycles N   nothing but this: the power of all members fails N times; nothing acknowledged may be lost
  --probe            say what can be injected here, and end
  --mutant ID        members that are broken on purpose (test/mutants/chaos.json; --catalogue FILE: another one)
  --help             this`;

/** Throws RangeError or TypeError with what is wrong. `drawSeed`: called when no seed was given. */
export function parseRequest(args: readonly string[], drawSeed: () => number): Request {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string' },
      nemesis: { type: 'string', default: 'partition,kill' },
      workload: { type: 'string', default: 'all' },
      members: { type: 'string', default: '5' },
      pairs: { type: 'boolean', default: false },
      loopback: { type: 'boolean', default: false },
      dir: { type: 'string' },
      replay: { type: 'string' },
      cli: { type: 'string' },
      summary: { type: 'string' },
      probe: { type: 'boolean', default: false },
      'power-cycles': { type: 'string' },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 24 * 60)) throw new RangeError('--minutes: more than 0, at most a day');
  const seed = values.seed === undefined ? drawSeed() : Number(values.seed);
  if (values.seed === '' || !Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError('--seed: a whole number from 0');
  const members = Number(values.members);
  if (![3, 5, 7].includes(members)) throw new RangeError('--members: 3, 5 or 7');
  const nemeses = parseNemeses(values.nemesis).map(({ name }) => name);
  const workloads = parseWorkloads(values.workload).map(({ name }) => name);
  const powerCycles = values['power-cycles'] === undefined ? null : Number(values['power-cycles']);
  if (powerCycles !== null && !(Number.isSafeInteger(powerCycles) && powerCycles > 0))
    throw new RangeError('--power-cycles: a whole number from 1');
  const { pairs, loopback } = values;
  return {
    options: { seed, minutes, members, nemeses, workloads, pairs, loopback },
    dir: values.dir ?? null,
    replay: values.replay ?? null,
    cli: values.cli ?? null,
    summary: values.summary ?? null,
    probeOnly: values.probe,
    powerCycles,
  };
}
