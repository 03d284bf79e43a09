/**
 * Bundles the model checker of the core and runs it: see test/model/README.md. The core is the product's own; only its private
 * fields are given other names as it is loaded (`opened_x` for `#x`), so that a state can be copied and compared.
 * `--mutant ID [--catalogue FILE]` breaks it on purpose, as in sim.mjs.
 */
import { join } from 'node:path';
import { bundle, take } from './bundle.mjs';
import { root, run } from './lib.mjs';
import { findMutant, mutate } from './mutate.mjs';

const RAFT = join(root, 'src/raft/');
/** Megabytes: what is looked up is on the heap, the states are not. */
const HEAP_MB = 6000;

/** @param {string} path @param {string} contents */
function open(path, contents) {
  return path.startsWith(RAFT) ? contents.replace(/(?<![\w/])#(?=[a-z]\w)/g, 'opened_') : contents;
}

const args = process.argv.slice(2);
try {
  const id = take(args, '--mutant');
  const catalogue = take(args, '--catalogue') ?? join(root, 'test/mutants/catalogue.json');
  const mutant = id === undefined ? null : findMutant(id, catalogue);
  const path = await bundle('test/model/main.ts', 'quorate-model', [mutate(mutant, open)]);
  process.exitCode = await run(process.execPath, [`--max-old-space-size=${HEAP_MB}`, path, ...args]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
