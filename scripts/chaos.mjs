/** Builds dist/, bundles the chaos harness and runs it: `npm run chaos -- --help` is in jepsen-style/README.md. */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root, run } from './lib.mjs';

const FOLDER = join(root, 'node_modules/.cache/quorate-chaos');

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

const args = process.argv.slice(2);
mkdirSync(FOLDER, { recursive: true });
// Several may do this at once; each has its own.
const outfile = join(FOLDER, `${process.pid}.mjs`);
try {
  const own = args.includes('--cli');
  const built = own ? 0 : await run(process.execPath, [join(root, 'scripts/build.mjs')]);
  if (built === 0) {
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
