/**
 * Breaks the product in every way of the catalogue, one at a time, and prints which oracle notices after how many seeds.
 * `node scripts/mutants.mjs [--catalogue FILE] [--seeds N] [--start S] [--workers N] [ID...]`. Exit code 1 when a
 * mutant survives or an oracle notices that is not named.
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

/** @param {string} id @returns {Promise<{ seeds: number, violations: { oracle: string, seed: number, message: string }[] }>} */
function run(id) {
  const { catalogue, seeds, start, workers } = values;
  const options = ['--catalogue', catalogue, '--seeds', seeds, '--start', start, '--workers', workers, '--json'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [SIM, '--mutant', id, ...options], { maxBuffer: 2 ** 26 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout));
      } catch {
        reject(new Error(stderr || stdout));
      }
    });
  });
}

/** @type {{ id: string, oracle: string }[]} */
const catalogue = JSON.parse(readFileSync(values.catalogue, 'utf8'));
const chosen = catalogue.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
let failed = 0;
for (const { id, oracle } of chosen) {
  try {
    const { seeds, violations } = await run(id);
    const caught = violations[0];
    const named = caught !== undefined && oracle.split(',').includes(caught.oracle);
    if (!named) failed += 1;
    const verdict = caught === undefined ? 'SURVIVED' : named ? caught.oracle : `${caught.oracle} (not ${oracle})`;
    const message = caught === undefined ? '' : (caught.message.split('\n')[0] ?? '').slice(0, 120);
    console.log(`${id.padEnd(20)} ${verdict.padEnd(10)} ${String(seeds).padStart(4)} seeds  ${message}`);
  } catch (error) {
    failed += 1;
    console.log(`${id.padEnd(20)} ERROR      ${error instanceof Error ? error.message.trim() : error}`);
  }
}
console.log(`${chosen.length - failed} of ${chosen.length} mutants are caught by an oracle that is named for them`);
process.exitCode = failed === 0 ? 0 : 1;
