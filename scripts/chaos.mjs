/**
 * Builds dist/, bundles the chaos harness and runs it: `npm run chaos -- --help` is in jepsen-style/README.md.
 * `--mutant ID [--catalogue FILE]`: the members are broken on purpose, by a text replacement on one file of src/. Nemeses and
 * workloads that are to find it are those of the catalogue, unless others are given.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, transform } from 'esbuild';
import { root, run } from './lib.mjs';

const FOLDER = join(root, 'node_modules/.cache/quorate-chaos');
const CATALOGUE = join(root, 'test/mutants/chaos.json');

/** @typedef {{ id: string, file: string, find: string, replace: string, nemesis: string, workload: string }} Mutant */

/**
 * Signals are passed on: the harness has to take down what it has put up. It ends with this process, however that ends.
 * @param {readonly string[]} command @returns {Promise<number>} exit code
 */
function supervise(command) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, { cwd: root, stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
      process.on(signal, () => child.kill(signal));
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 128));
  });
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

/**
 * A copy of dist/ in which one file is another one.
 * @param {Mutant} mutant @returns {Promise<string>} entry of its command line
 */
async function mutate({ id, file, find, replace }) {
  const parts = readFileSync(join(root, file), 'utf8').split(find);
  if (parts.length !== 2)
    throw new Error(`mutant ${id} matches ${parts.length - 1} times in ${file}, not once: ${find}`);
  const { code } = await transform(parts.join(replace), { loader: 'ts', format: 'esm', target: 'node20' });
  const folder = join(FOLDER, `mutant-${id}`);
  rmSync(folder, { recursive: true, force: true });
  for (const part of ['dist', 'proto', 'package.json'])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  const target = file.replace(/^src\//, 'dist/').replace(/\.ts$/, '.js');
  writeFileSync(join(folder, target), code.replaceAll(/(from ["']\.[^"']*)\.ts(["'])/g, '$1.js$2'));
  return join(folder, 'dist/cli/main.js');
}

const args = process.argv.slice(2);
mkdirSync(FOLDER, { recursive: true });
// Several may do this at once; each has its own.
const outfile = join(FOLDER, `${process.pid}.mjs`);
try {
  const id = take(args, '--mutant');
  const mutant = id === undefined ? null : findMutant(id, take(args, '--catalogue') ?? CATALOGUE);
  const built = args.includes('--cli') ? 0 : await run(process.execPath, [join(root, 'scripts/build.mjs')]);
  if (built === 0) {
    if (mutant !== null) {
      if (!args.includes('--nemesis')) args.push('--nemesis', mutant.nemesis);
      if (!args.includes('--workload')) args.push('--workload', mutant.workload);
      args.push('--cli', await mutate(mutant));
    }
    await build({
      entryPoints: [join(root, 'jepsen-style/main.ts')],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      sourcemap: 'inline',
      logLevel: 'error',
      absWorkingDir: root,
    });
    process.exitCode = await supervise(['--enable-source-maps', outfile, ...args]);
  } else process.exitCode = 2;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
} finally {
  rmSync(outfile, { force: true });
}
