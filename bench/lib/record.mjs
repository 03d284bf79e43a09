/** Appends a figure to results.ndjson, with commit, machine and Node.js. */
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** When, what and where. Without git, as in an unpacked archive, the commit is not known. */
export function circumstances() {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const git = (...args) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  let commit = 'unknown';
  try {
    const dirty = git('status', '--porcelain', '--', 'src', 'bench', ':!bench/results.ndjson') === '' ? '' : '+';
    commit = git('rev-parse', '--short', 'HEAD') + dirty;
  } catch {
    // Said by the name.
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${cpus()[0]?.model ?? 'unknown CPU'}`,
    node: process.version,
  };
}

/** `more`: further fields, such as the spread. */
export function record({ figure, value, unit, how, more = {} }) {
  const line = { figure, value: Number(value.toPrecision(6)), unit, ...circumstances(), how, ...more };
  appendFileSync(new URL('../results.ndjson', import.meta.url), `${JSON.stringify(line)}\n`);
}
