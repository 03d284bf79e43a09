/**
 * Does a command cost more than it did? Needs no quiet machine. Judged are two figures that do not depend on the machine: how much of the
 * program a command executes (characters of source, by V8's counters of blocks; bench/micro/start-counting.mjs), and the bytes that it
 * allocates. CPU time is printed, held against a calibration in the same process, and not judged: on two machines that call themselves alike
 * it was 1.28 and 1.68. What a command cost when the file was written is in guard-limits.json, by version of Node.js.
 * Exit code 1 when it costs more in each of the attempts; 2 when nothing was measured.
 *
 *   node bench/guard.mjs [--attempts 3] [--spin PERCENT] [--allocate PERCENT]
 *
 * `--spin` and `--allocate` make each command that much dearer, to see that it is noticed. After a change that makes commands cheaper: run it
 * some times, and write the least into guard-limits.json.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseArgs, promisify } from 'node:util';
import { bundle } from '../scripts/bundle.mjs';

const run = promisify(execFile);
/** Of what is seen, 30 % more is beyond these. What is executed varies by less than 1 % between versions of Node.js, and not at all with one. */
const MARGINS = { executed: 1.05, bytes: 1.1 };
/** One thread, so that all of V8's work is counted where it falls due; a young generation that is seldom full. */
const FLAGS = ['--single-threaded', '--max-semi-space-size=64'];
const COUNTER = new URL('micro/start-counting.mjs', import.meta.url).href;

/** Of this version of Node.js, or of the newest one before it that is known. */
function limitsOf() {
  const known = JSON.parse(readFileSync(new URL('guard-limits.json', import.meta.url), 'utf8'));
  const [major] = process.versions.node.split('.');
  const versions = Object.keys(known).map(Number);
  const least = known[Math.max(Math.min(...versions), ...versions.filter((version) => version <= Number(major)))];
  return Object.fromEntries(Object.entries(MARGINS).map(([name, margin]) => [name, least[name] * margin]));
}

async function measure(args) {
  const entry = await bundle('bench/micro/guard.ts', 'quorate-bench', []);
  const counted = await run(process.execPath, [...FLAGS, '--import', COUNTER, entry, ...args]);
  const costs = await run(process.execPath, [...FLAGS, entry, ...args]);
  return { ...JSON.parse(costs.stdout), ...JSON.parse(counted.stdout) };
}

try {
  const { values } = parseArgs({
    options: {
      attempts: { type: 'string', default: '3' },
      spin: { type: 'string', default: '0' },
      allocate: { type: 'string', default: '0' },
    },
  });
  for (const [name, value] of Object.entries(values))
    if (!/^\d{1,4}$/.test(value)) throw new Error(`--${name}: a whole number, not ${value}`);
  const limits = limitsOf();
  let over = ['not measured'];
  for (let attempt = 1; attempt <= Number(values.attempts) && over.length > 0; attempt += 1) {
    const { kept: _, ...found } = await measure(['--spin', values.spin, '--allocate', values.allocate]);
    over = Object.keys(limits).filter((name) => !(found[name] > 0 && found[name] <= limits[name]));
    console.log(JSON.stringify({ ...found, limits, over }));
  }
  process.exitCode = over.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
