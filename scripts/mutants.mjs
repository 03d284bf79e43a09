/**
 * Breaks the product in every way of the catalogue, one at a time, and prints what notices, and after how many seeds: see
 * test/mutants/README.md. Exit code 1 when a mutant survives, or an oracle notices that is not named.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './lib.mjs';

const SIM = join(root, 'scripts/sim.mjs');
const MODEL = join(root, 'scripts/model.mjs');
const VITEST = join(root, 'node_modules/vitest/vitest.mjs');
const NOT_APPLICABLE = join(root, 'test/mutants/not-applicable.json');
/** How long the model may look for one mutant, minutes. */
const MODEL_MINUTES = '1';
const MESSAGE_LENGTH_MAX = 110;

/** @param {unknown} error @returns {never} nothing was found out: no mutant has survived, either */
function refuse(error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      catalogue: { type: 'string', default: join(root, 'test/mutants/catalogue.json') },
      only: { type: 'string', multiple: true, default: [] },
      seeds: { type: 'string', default: '500' },
      start: { type: 'string', default: '1' },
      workers: { type: 'string', default: '2' },
      thorough: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  for (const name of /** @type {const} */ (['seeds', 'start', 'workers'])) {
    if (!/^[1-9]\d*$/.test(values[name])) throw new Error(`--${name}: a whole number from 1, not ${values[name]}`);
  }
  /** @type {Mutant[]} */
  const catalogue = JSON.parse(readFileSync(values.catalogue, 'utf8'));
  const wanted = [...positionals, ...values.only.flatMap((ids) => ids.split(','))];
  const unknown = wanted.find((id) => !catalogue.some((mutant) => mutant.id === id));
  if (unknown !== undefined) throw new Error(`no mutant ${unknown} in ${values.catalogue}`);
  return { values, chosen: catalogue.filter(({ id }) => wanted.length === 0 || wanted.includes(id)) };
}

/** @returns {ReturnType<typeof readOptions>} */
function optionsOrEnd() {
  try {
    return readOptions();
  } catch (error) {
    return refuse(error);
  }
}

const { values, chosen } = optionsOrEnd();

/** @typedef {{ seeds: number, violations: { oracle: string, seed: number, message: string }[] }} Outcome */
/** @typedef {{ id: string, seen: string, oracle: string, focus?: string, model?: string, test?: string }} Mutant */
/** `by`: what noticed. `oracle`: '' for a test. `seeds`: of the simulator; of the model, steps to the broken rule. */
/** @typedef {{ by: 'model' | 'test' | 'simulator', oracle: string, effort: number, message: string }} Kill */

/**
 * @param {string[]} args @param {Record<string, string>} [env]
 * @returns {Promise<{ code: number, stdout: string, stderr: string }>}
 */
function node(args, env = {}) {
  const options = { cwd: root, maxBuffer: 2 ** 26, env: { ...process.env, ...env } };
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** @param {{ stdout: string, stderr: string }} output @returns {any} */
function parsed({ stdout, stderr }) {
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(stderr || stdout);
  }
}

/** @param {Mutant} mutant @returns {Promise<Kill | null>} */
async function byModel({ id, model }) {
  if (model === undefined) return null;
  const args = [
    '--mutant',
    id,
    '--catalogue',
    values.catalogue,
    '--scope',
    model,
    '--minutes',
    MODEL_MINUTES,
    '--json',
  ];
  const broken = parsed(await node([MODEL, ...args])).outcomes[0]?.broken;
  if (broken === undefined || broken === null) return null;
  const [oracle = ''] = broken.rule.split(':');
  return { by: 'model', oracle, effort: broken.path.length, message: broken.rule };
}

/** @param {Mutant} mutant @returns {Promise<Kill | null>} */
async function byTest({ id, test }) {
  if (test === undefined) return null;
  for (const file of test.split(',').map((path) => path.trim())) {
    const failed = await failuresOf(file, { QUORATE_MUTANT: id, QUORATE_MUTANTS_FILE: values.catalogue });
    if (failed.length === 0) continue;
    // What fails without the mutant as well says nothing about it.
    const sound = await failuresOf(file, {});
    const own = failed.filter((name) => !sound.includes(name));
    if (own.length > 0) return { by: 'test', oracle: '', effort: own.length, message: `${file}: ${own[0]}` };
    console.error(`${file} fails without ${id}: ${sound[0]}`);
  }
  return null;
}

/** @param {string} file @param {Record<string, string>} env @returns {Promise<string[]>} names of the tests that failed */
async function failuresOf(file, env) {
  const report = parsed(await node([VITEST, 'run', '--project', 'unit', '--reporter', 'json', file], env));
  return report.testResults.flatMap((/** @type {any} */ result) =>
    result.assertionResults
      .filter((/** @type {any} */ one) => one.status === 'failed')
      .map((/** @type {any} */ one) => String(one.fullName ?? one.title)),
  );
}

/**
 * Seeds are passed over that break a rule without the mutant as well: they say nothing about it. So are those in which another oracle than
 * a named one is first: it has to be noticed for what it is. If none of those notices it, the first of the others is told.
 * @param {Mutant} mutant @returns {Promise<Kill | null>}
 */
async function bySimulator(mutant) {
  const { id, focus } = mutant;
  /** @type {Kill | null} */
  let other = null;
  const aim = focus === undefined ? [] : ['--focus', focus];
  const { catalogue, workers } = values;
  const start = Number(values.start);
  const end = start + Number(values.seeds);
  /** @param {string[]} options @returns {Promise<Outcome>} */
  const run = async (options) => parsed(await node([SIM, ...options, '--json']));
  for (let next = start; next < end; ) {
    const range = ['--start', String(next), '--seeds', String(end - next), '--workers', workers, ...aim];
    const [caught] = (await run(['--catalogue', catalogue, '--mutant', id, ...range])).violations;
    if (caught === undefined) return null;
    const sound = await run(['--seed', String(caught.seed), ...aim]);
    next = caught.seed + 1;
    const { oracle, message } = caught;
    if (sound.violations.length > 0) {
      console.error(`seed ${caught.seed} breaks a rule without ${id}: ${sound.violations[0]?.oracle}`);
      continue;
    }
    /** @type {Kill} */
    const kill = { by: 'simulator', oracle, effort: next - start, message };
    if (isNamed(mutant, kill)) return kill;
    if (other === null) console.error(`${id}: ${oracle} is first at seed ${caught.seed}; looking for ${mutant.oracle}`);
    other ??= kill;
  }
  return other;
}

/** @param {Mutant} mutant @returns {Promise<Kill[]>} */
async function hunt(mutant) {
  const kills = [];
  for (const way of [byModel, byTest, bySimulator]) {
    const kill = await way(mutant);
    if (kill === null) continue;
    kills.push(kill);
    if (isNamed(mutant, kill) && !values.thorough) break;
  }
  return kills;
}

/** @param {Mutant} mutant @param {Kill} kill */
function isNamed({ oracle }, kill) {
  return kill.by === 'test' || oracle.split(',').includes(kill.oracle);
}

/** @param {Mutant} mutant @param {Kill[]} kills @param {number} tookMs */
function line(mutant, kills, tookMs) {
  const head = `${mutant.id.padEnd(32)} `;
  const seconds = `${(tookMs / 1000).toFixed(0).padStart(4)} s`;
  if (kills.length === 0) return `${head}${'SURVIVED'.padEnd(36)} ${seconds}`;
  return kills
    .map((kill) => {
      const { by, oracle, effort, message } = kill;
      const unit = { model: 'steps', test: 'failures', simulator: 'seeds' }[by];
      const verdict = isNamed(mutant, kill) ? oracle : `${oracle} (not ${mutant.oracle})`;
      const text = (message.split('\n')[0] ?? '').slice(0, MESSAGE_LENGTH_MAX);
      return `${head}${by.padEnd(9)} ${verdict.padEnd(10)} ${`${effort} ${unit}`.padStart(15)} ${seconds}  ${text}`;
    })
    .join('\n');
}

/** @param {readonly number[]} numbers */
function median(numbers) {
  const sorted = numbers.toSorted((left, right) => left - right);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

/** @type {{ row: string, reason: string }[]} */
const notApplicable = JSON.parse(readFileSync(NOT_APPLICABLE, 'utf8'));
const rows = [];
for (const mutant of chosen) {
  const startedMs = performance.now();
  let error = null;
  /** @type {Kill[]} */
  let kills = [];
  try {
    kills = await hunt(mutant);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message.trim() : String(thrown);
  }
  const tookMs = Math.round(performance.now() - startedMs);
  const killed = kills.some((kill) => isNamed(mutant, kill));
  rows.push({ id: mutant.id, seen: mutant.seen, oracles: mutant.oracle, killed, kills, tookMs, error });
  if (values.json) continue;
  console.log(error === null ? line(mutant, kills, tookMs) : `${mutant.id.padEnd(32)} ERROR  ${error}`);
}

const survivors = rows.filter(({ killed }) => !killed).map(({ id }) => id);
const seeds = rows.flatMap(({ kills }) => kills.filter(({ by }) => by === 'simulator').map(({ effort }) => effort));
const summary = {
  killed: rows.length - survivors.length,
  of: rows.length,
  survivors,
  medianSeeds: median(seeds),
  seedsMax: Math.max(0, ...seeds),
};
if (values.json) console.log(JSON.stringify({ ...summary, notApplicable, mutants: rows }));
else {
  for (const { row, reason } of notApplicable) console.log(`${row.padEnd(32)} not applicable: ${reason}`);
  console.log(
    `${summary.killed} of ${summary.of} mutants are killed; seeds: median ${summary.medianSeeds}, most ${summary.seedsMax}`,
  );
  if (survivors.length > 0) console.log(`survivors: ${survivors.join(', ')}`);
}
process.exitCode = survivors.length === 0 ? 0 : 1;
