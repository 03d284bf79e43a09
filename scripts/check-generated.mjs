/** Fails when `src/gen` is not what `npm run generate` makes of `proto/`: changed by hand, forgotten, or left behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './lib.mjs';

/**
 * Content of every file below a folder, by its path in there.
 * @param {string} folder
 * @returns {Map<string, string>}
 */
function read(folder) {
  const files = new Map();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), readFileSync(path, 'utf8'));
  }
  return files;
}

/**
 * One line for each difference.
 * @param {Map<string, string>} wanted
 * @param {Map<string, string>} found
 */
function differences(wanted, found) {
  const lines = [];
  for (const [path, text] of wanted) {
    const present = found.get(path);
    if (present === undefined) lines.push(`missing: src/gen/${path}`);
    else if (present !== text) lines.push(`differs: src/gen/${path}`);
  }
  for (const path of found.keys()) if (!wanted.has(path)) lines.push(`no proto file for: src/gen/${path}`);
  return lines.sort();
}

const folder = mkdtempSync(join(tmpdir(), 'quorate-gen-'));
try {
  const code = await run('buf', ['generate', '-o', folder]);
  if (code !== 0) process.exit(code);
  const lines = differences(read(join(folder, 'src/gen')), read(`${root}src/gen`));
  for (const line of lines) console.error(line);
  if (lines.length > 0) {
    console.error('The generated code is not up to date: run "npm run generate" and commit src/gen.');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
