/**
 * What a command costs, in figures that another process on the machine hardly changes: bytes allocated, CPU time as a ratio to that of the
 * calibration, and, where start-counting.mjs is imported before, how much of the program is executed (nothing else then). Prints them as
 * JSON; ../guard.mjs judges them.
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
/** Each turn executes the same, but for what comes round only sometimes (a batch of rows, a new segment, a snapshot). */
const COUNT_WARM_UP_TURNS = 20;
const COUNT_TURNS = 100;
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
let spun = 1;

async function spinFor(us: number): Promise<void> {
  const since = process.cpuUsage();
  for (let spent = 0; spent < us; ) {
    for (let n = 0; n < 1_000; n += 1) spun = (Math.imul(spun, 1_664_525) + 1_013_904_223) >>> 0;
    const { user, system } = process.cpuUsage(since);
    spent = user + system;
  }
}

async function allocateBytes(bytes: number): Promise<void> {
  ballast = [];
  // An array of 16 small integers takes 16 words, two heads, and its place in the list.
  for (let made = 0; made < bytes; made += 200) ballast.push(new Array(16).fill(made));
}

async function commandsOfTurn(): Promise<Cost> {
  const commands = await measure(() => cluster.run(BATCH));
  const slower = spin === 0 ? commands : charge(commands, await measure(() => spinFor(commands.cpuUs * spin)));
  return allocate === 0 ? slower : charge(slower, await measure(() => allocateBytes(commands.bytes * allocate)));
}

async function countExecuted(executed: () => number): Promise<object> {
  for (let n = 0; n < COUNT_WARM_UP_TURNS; n += 1) await commandsOfTurn();
  // The first look executes something itself.
  executed();
  executed();
  for (let n = 0; n < COUNT_TURNS; n += 1) await commandsOfTurn();
  return { executed: executed() / (COUNT_TURNS * BATCH) };
}

async function turn(): Promise<{ readonly commands: Cost; readonly calibration: Cost }> {
  return { commands: await commandsOfTurn(), calibration: await measure(() => calibrate(CALIBRATION_ROUNDS)) };
}

async function measureCost(): Promise<object> {
  for (let n = 0; n < WARM_UP_TURNS; n += 1) await turn();
  const turns = [];
  for (let n = 0; n < TURNS; n += 1) turns.push(await turn());
  const undisturbed = turns.filter(({ commands }) => !commands.collected);
  const ratios = turns.map(({ commands, calibration }) => commands.cpuUs / calibration.cpuUs);
  return {
    cpuRatio: quantile(ratios, CPU_QUANTILE),
    bytes: median(undisturbed.map(({ commands }) => commands.bytes)) / BATCH,
    cpuUs: median(turns.map(({ commands }) => commands.cpuUs)) / BATCH,
    undisturbed: undisturbed.length,
    kept: ballast.length + spun,
  };
}

const executed = (globalThis as { readonly executedCharacters?: () => number }).executedCharacters;
console.log(JSON.stringify(executed === undefined ? await measureCost() : await countExecuted(executed)));
process.exit(0);
