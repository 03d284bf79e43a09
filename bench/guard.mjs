/**
 * Does a command cost more than it did? Needs no quiet machine: CPU time is held against a calibration in the same process, a few
 * milliseconds of each in turn, and allocated bytes are counted. What it cost when the file was written is in guard-limits.json, by
 * version of Node.js, and for CPU time by processor. Exit code 1 when it costs more in each of the attempts; 2 when nothing was measured.
 *
 *   node bench/guard.mjs [--attempts 5] [--spin PERCENT] [--allocate PERCENT]
 *
 * `--spin` and `--allocate` make each command that much dearer, to see that it is noticed. After a change that makes commands cheaper: run it
 * some times, and write the least into guard-limits.json.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs, promisify } from 'node:util';
import { bundle } from '../scripts/bundle.mjs';

const run = promisify(execFile);
/** A slow-down of 30 % is beyond these; noise is not. */
const CPU_MARGIN = 1.15;
const BYTES_MARGIN = 1.1;
/** One thread, so that all of V8's work is counted where it falls due; a young generation that is seldom full. */
const FLAGS = ['--single-threaded', '--max-semi-space-size=64'];

const processor = cpus()[0]?.model.trim() ?? 'unknown';

/** Of this version of Node.js, or of the newest one before it that is known. CPU time of that version on that processor only: others are others. */
function expected() {
  const known = JSON.parse(readFileSync(new URL('guard-limits.json', import.meta.url), 'utf8'));
  const [major] = process.versions.node.split('.');
  const versions = Object.keys(known).map(Number);
  const { bytes } = known[Math.max(Math.min(...versions), ...versions.filter((version) => version <= Number(major)))];
  return { bytes, cpuRatio: known[major]?.cpuRatio[processor] ?? null };
}

async function measure(args) {
  const entry = await bundle('bench/micro/guard.ts', 'quorate-bench', []);
  const { stdout } = await run(process.execPath, [...FLAGS, entry, ...args]);
  return JSON.parse(stdout);
}

try {
  const { values } = parseArgs({
    options: {
      attempts: { type: 'string', default: '5' },
      spin: { type: 'string', default: '0' },
      allocate: { type: 'string', default: '0' },
    },
  });
  for (const [name, value] of Object.entries(values))
    if (!/^\d{1,4}$/.test(value)) throw new Error(`--${name}: a whole number, not ${value}`);
  const base = expected();
  const limits = {
    cpuRatio: base.cpuRatio === null ? null : base.cpuRatio * CPU_MARGIN,
    bytes: base.bytes * BYTES_MARGIN,
  };
  if (limits.cpuRatio === null)
    console.error(
      `NOT JUDGED: CPU time; guard-limits.json has none for Node.js ${process.versions.node} on "${processor}"`,
    );
  let over = ['not measured'];
  for (let attempt = 1; attempt <= Number(values.attempts) && over.length > 0; attempt += 1) {
    const { ballast: _, ...found } = await measure(['--spin', values.spin, '--allocate', values.allocate]);
    over = Object.keys(limits).filter((name) => limits[name] !== null && !(found[name] <= limits[name]));
    console.log(JSON.stringify({ ...found, limits, over }));
  }
  process.exitCode = over.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
