/**
 * Bundles the model checker of the core and runs it: see test/model/README.md. The core is the product's own; only its private
 * fields are given other names as it is loaded (`opened_x` for `#x`), so that a state can be copied and compared.
 * `--mutant ID [--catalogue FILE]` breaks it on purpose, as in sim.mjs.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root, run } from './lib.mjs';
import { findMutant, mutate } from './mutate.mjs';

const CACHE = join(root, 'node_modules/.cache/quorate-model');
const RAFT = join(root, 'src/raft/');
/** Megabytes: what is looked up is on the heap, the states are not. */
const HEAP_MB = 6000;

/** @param {string} path @param {string} contents */
function open(path, contents) {
  return path.startsWith(RAFT) ? contents.replace(/(?<![\w/])#(?=[a-z]\w)/g, 'opened_') : contents;
}

/**
 * Takes `name VALUE` out of the arguments.
 * @param {string[]} args @param {string} name @returns {string | undefined}
 */
function take(args, name) {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args.splice(at, 2)[1];
}

/** @param {import('./mutate.mjs').Mutant | null} mutant @returns {Promise<string>} path of the bundle */
async function bundle(mutant) {
  const result = await build({
    entryPoints: [join(root, 'test/model/main.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'error',
    absWorkingDir: root,
    plugins: [mutate(mutant, open)],
  });
  const { contents } = result.outputFiles[0] ?? { contents: new Uint8Array() };
  const name = createHash('sha256').update(contents).digest('hex').slice(0, 16);
  mkdirSync(CACHE, { recursive: true });
  const path = join(CACHE, `${name}.mjs`);
  // Several may do this at once; a reader never sees half a file.
  writeFileSync(`${path}.${process.pid}`, contents);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

const args = process.argv.slice(2);
const id = take(args, '--mutant');
const catalogue = take(args, '--catalogue') ?? join(root, 'test/mutants/catalogue.json');
try {
  const path = await bundle(id === undefined ? null : findMutant(id, catalogue));
  process.exitCode = await run(process.execPath, [`--max-old-space-size=${HEAP_MB}`, path, ...args]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
