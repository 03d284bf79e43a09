/** Bundles TypeScript of this project so that Node.js runs it, changed on the way if need be. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './lib.mjs';

/** A bundle may be in use for as long as a run takes. */
const KEPT_MS = 60 * 60 * 1000;

/**
 * Takes `name VALUE` out of the arguments. Throws when there is no value: what is broken on purpose must not run unbroken.
 * @param {string[]} args @param {string} name @returns {string | undefined}
 */
export function take(args, name) {
  const at = args.indexOf(name);
  if (at < 0) return undefined;
  const [, value] = args.splice(at, 2);
  if (value === undefined || value === '' || value.startsWith('--')) throw new Error(`${name} needs a value`);
  return value;
}

/**
 * @param {string} entry a file of the project
 * @param {string} cache name of a folder for bundles
 * @param {import('esbuild').Plugin[]} plugins
 * @returns {Promise<string>} path of the bundle
 */
export async function bundle(entry, cache, plugins) {
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
    plugins,
  });
  const { contents } = result.outputFiles[0] ?? { contents: new Uint8Array() };
  const name = createHash('sha256').update(contents).digest('hex').slice(0, 16);
  const folder = join(root, 'node_modules/.cache', cache);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.mjs`);
  // Several may do this at once; a reader never sees half a file.
  writeFileSync(`${path}.${process.pid}`, contents);
  renameSync(`${path}.${process.pid}`, path);
  for (const old of readdirSync(folder)) {
    const file = join(folder, old);
    if (Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > KEPT_MS)
      rmSync(file, { force: true });
  }
  return path;
}
