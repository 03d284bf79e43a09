/**
 * Bundles the simulator and runs it: `npm run sim -- --help` is in test/sim/README.md.
 * `--mutant ID [--catalogue FILE]` breaks the product on purpose: a text replacement on one file of src/ as it is
 * loaded. A replacement that does not match exactly once is an error.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root, run } from './lib.mjs';

const CACHE = join(root, 'node_modules/.cache/quorate-sim');
/** A bundle may be in use for as long as a run takes. */
const KEPT_MS = 60 * 60 * 1000;
/** Runs leave much garbage and little else: with more room, less of it is looked at before it is dropped. Workers inherit them. */
const NODE_FLAGS = ['--enable-source-maps', '--max-semi-space-size=32'];
const CATALOGUE = join(root, 'test/mutants/catalogue.json');

/**
 * `also`: what has to change with it, so that the named oracle is what notices (usually the product's own checks).
 * @typedef {{ file: string, find: string, replace: string }} Edit
 * @typedef {Edit & { id: string, oracle: string, also?: Edit[] }} Mutant
 */

/** @param {Mutant} mutant @returns {import('esbuild').Plugin} */
function mutate(mutant) {
  const edits = [mutant, ...(mutant.also ?? [])];
  return {
    name: 'mutate',
    setup(bundle) {
      /** @type {Set<Edit>} */
      const done = new Set();
      bundle.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const mine = edits.filter((edit) => join(root, edit.file) === path);
        if (mine.length === 0) return null;
        let contents = await readFile(path, 'utf8');
        for (const edit of mine) {
          done.add(edit);
          const parts = contents.split(edit.find);
          if (parts.length !== 2) {
            const text = `mutant ${mutant.id} matches ${parts.length - 1} times in ${edit.file}, not once: ${edit.find}`;
            return { errors: [{ text }] };
          }
          contents = parts.join(edit.replace);
        }
        return { contents, loader: 'ts' };
      });
      bundle.onEnd(() => {
        const missed = edits.find((edit) => !done.has(edit));
        return missed === undefined ? {} : { errors: [{ text: `mutant ${mutant.id}: ${missed.file} is not loaded` }] };
      });
    },
  };
}

/**
 * Takes `name VALUE` out of the arguments.
 * @param {string[]} args @param {string} name @returns {string | undefined}
 */
function take(args, name) {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args.splice(at, 2)[1];
}

/** @param {string} id @param {string} file @returns {Mutant} */
function findMutant(id, file) {
  /** @type {Mutant[]} */
  const catalogue = JSON.parse(readFileSync(file, 'utf8'));
  const found = catalogue.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no mutant ${id} in ${file}`);
  return found;
}

/** @param {Mutant | null} mutant @param {string} entry @returns {Promise<string>} path of the bundle */
async function bundle(mutant, entry) {
  const result = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'error',
    absWorkingDir: root,
    plugins: mutant === null ? [] : [mutate(mutant)],
  });
  const { contents } = result.outputFiles[0] ?? { contents: new Uint8Array() };
  const name = createHash('sha256').update(contents).digest('hex').slice(0, 16);
  mkdirSync(CACHE, { recursive: true });
  const path = join(CACHE, `${name}.mjs`);
  // Several may do this at once; a reader never sees half a file.
  writeFileSync(`${path}.${process.pid}`, contents);
  renameSync(`${path}.${process.pid}`, path);
  for (const old of readdirSync(CACHE)) {
    const file = join(CACHE, old);
    if (Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > KEPT_MS)
      rmSync(file, { force: true });
  }
  return path;
}

const args = process.argv.slice(2);
const id = take(args, '--mutant');
const catalogue = take(args, '--catalogue') ?? CATALOGUE;
const again = id === undefined ? [] : ['--again', `npm run sim -- --mutant ${id}`];
try {
  const part = ['crash-points', 'every-bit'].find((name) => args.includes(`--${name}`));
  const entry = part === undefined ? 'test/sim/main.ts' : `test/sim/${part}/main.ts`;
  const path = await bundle(id === undefined ? null : findMutant(id, catalogue), entry);
  process.exitCode = await run(process.execPath, [...NODE_FLAGS, path, ...args, ...again]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
