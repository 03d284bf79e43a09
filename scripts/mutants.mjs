/**
 * Breaks the product in every way of the catalogue, one at a time, and prints which oracle notices after how many seeds.
 * `node scripts/mutants.mjs [--catalogue FILE] [--seeds N] [--start S] [--workers N] [ID...]`. Exit code 1 when a
 * mutant survives or an oracle notices that is not named. One with `test` may survive here: it is that test that catches it.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './lib.mjs';

const SIM = join(root, 'scripts/sim.mjs');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    catalogue: { type: 'string', default: join(root, 'test/mutants/catalogue.json') },
    seeds: { type: 'string', default: '500' },
    start: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
  },
});

/** @typedef {{ seeds: number, violations: { oracle: string, seed: number, message: string }[] }} Outcome */

/** @param {string[]} options @returns {Promise<Outcome>} */
function run(options) {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [SIM, ...options, '--json'], { maxBuffer: 2 ** 26 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout));
      } catch {
        reject(new Error(stderr || stdout));
      }
    });
  });
}

/**
 * Seeds are passed over that break a rule without the mutant as well: they say nothing about it.
 * @param {string} id @param {string | undefined} focus @returns {Promise<{ seeds: number, caught: Outcome['violations'][number] | undefined }>}
 */
async function hunt(id, focus) {
  const aim = focus === undefined ? [] : ['--focus', focus];
  const { catalogue, workers } = values;
  const start = Number(values.start);
  const end = start + Number(values.seeds);
  for (let next = start; next < end; ) {
    const range = ['--start', String(next), '--seeds', String(end - next), '--workers', workers, ...aim];
    const { violations } = await run(['--catalogue', catalogue, '--mutant', id, ...range]);
    const caught = violations[0];
    if (caught === undefined) break;
    const sound = await run(['--seed', String(caught.seed), ...aim]);
    next = caught.seed + 1;
    if (sound.violations.length === 0) return { seeds: next - start, caught };
    console.log(`seed ${caught.seed} breaks a rule without ${id}: ${sound.violations[0]?.oracle}`);
  }
  return { seeds: end - start, caught: undefined };
}

/** @type {{ id: string, oracle: string, focus?: string, test?: string }[]} */
const catalogue = JSON.parse(readFileSync(values.catalogue, 'utf8'));
const chosen = catalogue.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
let failed = 0;
for (const { id, oracle, focus, test } of chosen) {
  try {
    const { seeds, caught } = await hunt(id, focus);
    const named = caught !== undefined && oracle.split(',').includes(caught.oracle);
    const outside = caught === undefined && test !== undefined;
    if (!named && !outside) failed += 1;
    const verdict = outside
      ? 'outside'
      : caught === undefined
        ? 'SURVIVED'
        : named
          ? caught.oracle
          : `${caught.oracle} (not ${oracle})`;
    const message = outside
      ? `caught by ${test}`
      : caught === undefined
        ? ''
        : (caught.message.split('\n')[0] ?? '').slice(0, 120);
    console.log(`${id.padEnd(20)} ${verdict.padEnd(10)} ${String(seeds).padStart(4)} seeds  ${message}`);
  } catch (error) {
    failed += 1;
    console.log(`${id.padEnd(20)} ERROR      ${error instanceof Error ? error.message.trim() : error}`);
  }
}
console.log(
  `${chosen.length - failed} of ${chosen.length} mutants are caught by an oracle that is named for them, or by the test that is`,
);
process.exitCode = failed === 0 ? 0 : 1;
