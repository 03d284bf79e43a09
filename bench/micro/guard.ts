/**
 * What a command costs, in figures that another process on the machine hardly changes: CPU time as a ratio to that of the calibration, and
 * bytes allocated. Prints them as JSON; ../guard.mjs judges them.
 *
 * --spin N       as if a command took N % more CPU time
 * --allocate N   as if it allocated N % more
 */
import { parseArgs } from 'node:util';
import { calibrate } from './calibration.ts';
import { MicroCluster } from './cluster.ts';
import { type Cost, charge, measure, median, quantile } from './slices.ts';

const BATCH = 32;
const CALIBRATION_ROUNDS = 48;
/** Until V8 has compiled what is hot. */
const WARM_UP_TURNS = 150;
const TURNS = 300;
/**
 * Which of the ratios counts. Others that use the caches make both dearer, the commands more so: among the lower ones that shows least.
 * At load averages from 9 to 20 on two cores it was 1.46 to 1.66 with Node.js 20, while the median went from 1.89 to 2.15.
 */
const CPU_QUANTILE = 0.15;

const { values } = parseArgs({
  options: { spin: { type: 'string', default: '0' }, allocate: { type: 'string', default: '0' } },
});
const [spin, allocate] = [Number(values.spin) / 100, Number(values.allocate) / 100];
const cluster = await MicroCluster.open();
/** Keeps what `allocate` makes for as long as one turn. */
let ballast: unknown[] = [];

async function spinFor(us: number): Promise<void> {
  const since = process.cpuUsage();
  for (let spent = 0; spent < us; ) {
    const { user, system } = process.cpuUsage(since);
    spent = user + system;
  }
}

async function allocateBytes(bytes: number): Promise<void> {
  ballast = [];
  // An array of 16 small integers takes 16 words, two heads, and its place in the list.
  for (let made = 0; made < bytes; made += 200) ballast.push(new Array(16).fill(made));
}

async function turn(): Promise<{ readonly commands: Cost; readonly calibration: Cost }> {
  const commands = await measure(() => cluster.run(BATCH));
  const slower = spin === 0 ? commands : charge(commands, await measure(() => spinFor(commands.cpuUs * spin)));
  const all = allocate === 0 ? slower : charge(slower, await measure(() => allocateBytes(commands.bytes * allocate)));
  return { commands: all, calibration: await measure(() => calibrate(CALIBRATION_ROUNDS)) };
}

for (let n = 0; n < WARM_UP_TURNS; n += 1) await turn();
const turns = [];
for (let n = 0; n < TURNS; n += 1) turns.push(await turn());
const undisturbed = turns.filter(({ commands }) => !commands.collected);
const ratios = turns.map(({ commands, calibration }) => commands.cpuUs / calibration.cpuUs);
console.log(
  JSON.stringify({
    cpuRatio: quantile(ratios, CPU_QUANTILE),
    bytes: median(undisturbed.map(({ commands }) => commands.bytes)) / BATCH,
    cpuUs: median(turns.map(({ commands }) => commands.cpuUs)) / BATCH,
    undisturbed: undisturbed.length,
    ballast: ballast.length,
  }),
);
process.exit(0);
