/** `npm run bench`: see README.md in this folder. */
import { execFileSync } from 'node:child_process';
import { existsSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Etcd } from './lib/etcd.mjs';
import { rowsOf, Samples } from './lib/figures.mjs';
import { help, readOptions, UsageError } from './lib/options.mjs';
import { Quorate } from './lib/quorate.mjs';
import { circumstances, record } from './lib/record.mjs';
import { report } from './lib/report.mjs';
import { Context, Runner } from './lib/runner.mjs';
import { table } from './lib/table.mjs';
import { has, Workspace } from './lib/workspace.mjs';
import { SUITES } from './suites/all.mjs';

const REPORT = fileURLToPath(new URL('report.html', import.meta.url));
const NAMES = SUITES.map(({ name }) => name);
/** `f_type` of statfs(2): files in memory, where fsync costs nothing. */
const TMPFS = 0x0102_1994;
const INSTALL = 'scripts/install-bench-deps.sh installs it on Debian';

/** What a suite needs and this machine lacks; null: nothing. */
const MISSING = {
  h2load: async () => ((await has('h2load', ['--version'])) ? null : `h2load is not on PATH; ${INSTALL}`),
  root: async () =>
    process.getuid?.() === 0 && (await has('ip', ['-V'])) && (await has('nft', ['--version']))
      ? null
      : 'it takes root, iproute2 and nftables',
};

function optionsOrEnd() {
  try {
    const options = readOptions(process.argv.slice(2), NAMES);
    if (options.help) {
      console.log(help(NAMES));
      process.exit(0);
    }
    return options;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n--help says what there is`);
    return process.exit(2);
  }
}

/** The suites that can run; each that cannot is named. One that was asked for by name and cannot ends the whole. */
async function possible(options) {
  const chosen = [];
  for (const suite of SUITES.filter(({ name }) => options.suites.includes(name))) {
    const reasons = (await Promise.all(suite.needs.map((need) => MISSING[need]()))).filter((why) => why !== null);
    if (reasons.length === 0) chosen.push(suite);
    else if (options.suite !== undefined) throw new UsageError(`${suite.name}: ${reasons.join('; ')}`);
    else console.error(`NOT RUN: ${suite.name}: ${reasons.join('; ')}`);
  }
  return chosen;
}

function versionOfPeer() {
  return execFileSync('etcd', ['--version'], { encoding: 'utf8' }).split('\n')[0];
}

/** Throws where the figures would say nothing of a disk. */
function checkDisk({ data = tmpdir(), quick }) {
  if (!existsSync(data)) throw new UsageError(`--data: there is no ${data}`);
  if (!quick && statfsSync(data).type === TMPFS)
    throw new UsageError(`${data} is in memory, where fsync costs nothing: name a folder on a disk with --data`);
}

/** What repeats the run. */
function commandOf({ suites, runs, peer, data }) {
  const more = [peer === undefined ? '' : ` --peer ${peer}`, data === undefined ? '' : ` --data ${data}`];
  return `npm run bench -- --suite ${suites.join(',')} --runs ${runs}${more.join('')}`;
}

function keep(options, rows, systems, facts) {
  const command = commandOf(options);
  if (options.record) {
    for (const { figure, unit, values, ratio } of rows.filter((row, i) => rows[i - 1]?.figure !== row.figure)) {
      for (const [i, value] of values.entries()) {
        if (value === null) continue;
        const { median, min, max, runs } = value;
        const beside = i === 0 && ratio !== null ? { ratio: Number(ratio.toFixed(3)) } : {};
        const how = `${command}: median of ${runs}${i === 0 ? '' : `; ${facts.peer}`}`;
        record({ figure, value: median, unit, how, more: { system: systems[i], min, max, runs, ...beside } });
      }
    }
  }
  const everything = { ...facts, command, systems, rows };
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(everything, null, 2)}\n`);
  writeFileSync(REPORT, report(everything));
}

const options = optionsOrEnd();
try {
  if (!existsSync(new URL('../dist/cli/main.js', import.meta.url)))
    throw new UsageError('dist/ is empty: npm run build');
  if (options.peer === 'etcd' && !(await has('etcd', ['--version'])))
    throw new UsageError(`--peer: etcd is not on PATH; ${INSTALL}`);
  checkDisk(options);
  const suites = await possible(options);
  const kinds = options.peer === undefined ? [Quorate] : [Quorate, Etcd];
  const systems = kinds.map(({ systemName }) => systemName);
  const context = new Context(new Workspace('bench', options.data), options.quick);
  const samples = new Samples();
  const runner = new Runner({ context, kinds, samples, say: (line) => process.stderr.write(`${line}\n`) });
  const facts = { ...circumstances(), quick: options.quick, peer: options.peer === undefined ? null : versionOfPeer() };
  for (const suite of suites) await runner.run(suite, options.runs);
  const rows = rowsOf(samples, systems);
  keep(options, rows, systems, facts);
  console.log(`\n${table(rows, systems)}\n`);
  if (options.quick) console.log('A quick run: it shows that the suites work; its figures say nothing.');
  console.log(`Plots: ${REPORT}`);
  process.exit(0);
} catch (error) {
  console.error(error instanceof UsageError ? error.message : error);
  process.exit(error instanceof UsageError ? 2 : 1);
}
