/**
 * Holds the linearizability checker of the chaos runs against recorded histories with known verdicts:
 * `node scripts/check-histories.mjs [FOLDER]` (without one, the selection that the project keeps). Exit code 1 when a verdict differs.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { root, run } from './lib.mjs';

const folder = resolve(process.argv[2] ?? join(root, 'test/sim/oracles/lz/histories'));
const cache = join(root, 'node_modules/.cache/quorate-histories');
const outfile = join(cache, `${process.pid}.mjs`);
mkdirSync(cache, { recursive: true });
try {
  await build({
    entryPoints: [join(root, 'jepsen-style/checkers/linearizability/recorded-main.ts')],
    bundle: true,
    outfile,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
  });
  process.exitCode = await run(process.execPath, [outfile, folder]);
} finally {
  rmSync(outfile, { force: true });
}
