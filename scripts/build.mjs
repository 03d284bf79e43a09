/**
 * Compiles `src/` to `dist/` and makes the command executable. `--clean` removes `dist/` first, so that a package
 * holds nothing of deleted files.
 */
import { chmodSync, rmSync } from 'node:fs';
import { root, run } from './lib.mjs';

if (process.argv.includes('--clean')) rmSync(`${root}dist`, { recursive: true, force: true });
const code = await run('tsc', ['-p', 'tsconfig.build.json']);
if (code !== 0) process.exit(code);
chmodSync(`${root}dist/cli/main.js`, 0o755);
