/** Appends a figure to results.ndjson, with commit, machine and Node.js. */
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

export function record({ figure, value, unit, how }) {
  const root = new URL('../..', import.meta.url).pathname;
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const dirty = git('status', '--porcelain', '--', 'src', 'bench') === '' ? '' : '+';
  const line = {
    figure,
    value,
    unit,
    date: new Date().toISOString().slice(0, 10),
    commit: git('rev-parse', '--short', 'HEAD') + dirty,
    machine: `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${cpus()[0]?.model ?? 'unknown CPU'}`,
    node: process.version,
    how,
  };
  appendFileSync(new URL('../results.ndjson', import.meta.url), `${JSON.stringify(line)}\n`);
}
