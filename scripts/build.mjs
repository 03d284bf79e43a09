/**
 * Compiles `src/` to `dist/` and makes the command `quorate` available to `npx` in this folder, as npm does for packages
 * that are installed. `--clean` removes `dist/` first, so that a package holds nothing of deleted files.
 */
import { chmodSync, rmSync, symlinkSync } from 'node:fs';
import { root, run } from './lib.mjs';

if (process.argv.includes('--clean')) rmSync(`${root}dist`, { recursive: true, force: true });
const code = await run('tsc', ['-p', 'tsconfig.build.json']);
if (code !== 0) process.exit(code);
chmodSync(`${root}dist/cli/main.js`, 0o755);
rmSync(`${root}node_modules/.bin/quorate`, { force: true });
symlinkSync('../../dist/cli/main.js', `${root}node_modules/.bin/quorate`);
