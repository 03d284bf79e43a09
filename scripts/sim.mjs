/**
 * Bundles the simulator and runs it: `npm run sim -- --help` is in test/sim/README.md.
 * `--mutant ID [--catalogue FILE]` breaks the product on purpose: a text replacement on one file of src/ as it is
 * loaded. A replacement that does not match exactly once is an error.
 */
import { join } from 'node:path';
import { bundle, take } from './bundle.mjs';
import { root, run } from './lib.mjs';
import { findMutant, mutate } from './mutate.mjs';

/** Runs leave much garbage and little else: with more room, less of it is looked at before it is dropped. Workers inherit them. */
const NODE_FLAGS = ['--enable-source-maps', '--max-semi-space-size=32'];
const CATALOGUE = join(root, 'test/mutants/catalogue.json');

const args = process.argv.slice(2);
const id = take(args, '--mutant');
const catalogue = take(args, '--catalogue') ?? CATALOGUE;
const again = id === undefined ? [] : ['--again', `npm run sim -- --mutant ${id}`];
try {
  const part = ['crash-points', 'every-bit'].find((name) => args.includes(`--${name}`));
  const entry = part === undefined ? 'test/sim/main.ts' : `test/sim/${part}/main.ts`;
  const plugins = id === undefined ? [] : [mutate(findMutant(id, catalogue))];
  const path = await bundle(entry, 'quorate-sim', plugins);
  process.exitCode = await run(process.execPath, [...NODE_FLAGS, path, ...args, ...again]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
