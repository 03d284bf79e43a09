/**
 * Faults on a real cluster: `npm run chaos`. Exit code 0: nothing was found. 1: a violation. 2: it could not be run. 3: nothing was
 * found, but a checker could not decide.
 */
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { HOOKS, type Verdict } from './hooks.ts';
import { serviceLevels } from './levels.ts';
import { NEMESES } from './nemesis/table.ts';
import type { Fault } from './nemesis/types.ts';
import { parseRequest, type Request, type RunOptions, USAGE } from './options.ts';
import { readLines, readOps } from './record/read.ts';
import { Run, type RunOutcome } from './run.ts';
import { drawSchedule } from './schedule.ts';
import { removeLeftovers } from './system/leftovers.ts';
import { loopbackTools, probeTools, TOOL_NAMES, type Tool, type Tools } from './system/tools.ts';

const EXIT = { well: 0, violation: 1, cannot: 2, unknown: 3 } as const;

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${line}\n`);
}

/** A schedule that was written down, and what it was drawn for. */
function readReplay(dir: string): { readonly options: RunOptions; readonly schedule: readonly Fault[] } {
  const run = JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as { options: RunOptions };
  return { options: run.options, schedule: JSON.parse(readFileSync(join(dir, 'schedule.json'), 'utf8')) as Fault[] };
}

function freshFolder(root: string, seed: number): string {
  for (let n = 1; ; n += 1) {
    const dir = join(root, '.cache', 'chaos', `seed-${seed}-${n}`);
    if (existsSync(dir)) continue;
    mkdirSync(dir, { recursive: true });
    return dir;
  }
}

async function probe(loopback: boolean): Promise<Tools> {
  if (loopback) return loopbackTools('--loopback');
  if (process.getuid?.() !== 0) return loopbackTools('this needs root');
  for (const line of removeLeftovers()) log(`left over by a run that was killed, removed: ${line}`);
  return probeTools();
}

function printTools(tools: Tools): void {
  for (const [tool, name] of Object.entries(TOOL_NAMES)) {
    const why = tools[tool as Tool];
    log(`${why === null ? 'available    ' : 'NOT AVAILABLE'} ${name}${why === null ? '' : `: ${why}`}`);
  }
}

function drawn(options: RunOptions): readonly Fault[] {
  const { seed, minutes, members, pairs } = options;
  const nemeses = NEMESES.filter(({ name }) => options.nemeses.includes(name));
  return drawSchedule({ seed, durationMs: minutes * 60_000, members, nemeses, pairs });
}

/** What the run's files say, and the verdict; written to `run.json` beside them. */
async function judge(dir: string, options: RunOptions, outcome: RunOutcome, tools: Tools): Promise<number> {
  const ops = options.workloads.flatMap((name) => readOps(join(dir, `history-${name}.ndjson`)));
  const levels = serviceLevels({
    ops,
    nemesis: readOps(join(dir, 'nemesis.ndjson')),
    effects: readLines(join(dir, 'effects-server.ndjson')),
    leaders: outcome.leaders,
  });
  const ended = ops.filter(({ type }) => type !== 'invoke');
  const operations = Object.fromEntries(
    options.workloads.map((name) => {
      const mine = ended.filter(({ workload }) => workload === name);
      const count = (wanted: string): number => mine.filter(({ type }) => type === wanted).length;
      return [name, { ok: count('ok'), fail: count('fail'), info: count('info') }];
    }),
  );
  const { findings, startedAt, faults, ground } = outcome;
  const machine = {
    cpus: cpus().length,
    cpu: cpus()[0]?.model ?? '',
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
  };
  const { version } = JSON.parse(readFileSync(join(process.cwd(), 'package.json'), 'utf8')) as { version: string };
  const versions = { quorate: version, node: process.version };
  const facts = {
    seed: options.seed,
    startedAt,
    options,
    ground,
    versions,
    machine,
    tools,
    faults,
    operations,
    serviceLevels: levels,
    findings,
  };
  const write = (verdicts: readonly Verdict[] | null): void =>
    writeFileSync(join(dir, 'run.json'), `${JSON.stringify({ ...facts, verdicts }, null, 1)}\n`);
  // Checkers find it there.
  write(null);
  const verdicts = HOOKS === null ? [] : await HOOKS.check(dir);
  write(verdicts);
  await HOOKS?.report(dir, verdicts);
  return say(dir, facts, verdicts);
}

interface Facts {
  readonly faults: RunOutcome['faults'];
  readonly operations: Readonly<Record<string, { ok: number; fail: number; info: number }>>;
  readonly serviceLevels: ReturnType<typeof serviceLevels>;
  readonly findings: readonly string[];
}

function say(dir: string, facts: Facts, verdicts: readonly Verdict[]): number {
  const { faults, operations, serviceLevels: levels, findings } = facts;
  for (const [name, { injected, skipped, reasons }] of Object.entries(faults)) {
    if (injected + skipped > 0)
      log(`${name}: ${injected} injected, ${skipped} skipped${reasons.map((why) => ` (${why})`).join('')}`);
  }
  for (const [name, { ok, fail, info }] of Object.entries(operations))
    log(`${name}: ${ok} ok, ${fail} fail, ${info} info`);
  const { failovers, failoverMsMedian, failoverMsMax, acceptedByTwo, effectsTwice, met } = levels;
  log(`failovers: ${failovers.length}, median ${failoverMsMedian ?? '–'} ms, longest ${failoverMsMax ?? '–'} ms`);
  log(`commands accepted by two leaders: ${acceptedByTwo.length}; side effects twice: ${effectsTwice.length}`);
  for (const line of [...acceptedByTwo, ...effectsTwice, ...findings]) log(`FINDING: ${line}`);
  for (const { checker, workload, valid, detail } of verdicts) log(`${checker} of ${workload}: ${valid} ${detail}`);
  if (HOOKS === null) log('no checker of histories is plugged in: service levels and findings only');
  log(`everything is in ${dir}`);
  const bad = !met || findings.length > 0 || verdicts.some(({ valid }) => valid === false);
  if (bad) return EXIT.violation;
  return verdicts.some(({ valid }) => valid === 'unknown') ? EXIT.unknown : EXIT.well;
}

async function main(request: Request): Promise<number> {
  const root = process.cwd();
  const replay = request.replay === null ? null : readReplay(resolve(request.replay));
  const options = replay?.options ?? request.options;
  const tools = await probe(options.loopback);
  printTools(tools);
  if (request.probeOnly) return EXIT.well;
  const schedule = replay?.schedule ?? drawn(options);
  const dir = request.dir === null ? freshFolder(root, options.seed) : resolve(request.dir);
  log(`seed ${options.seed}, ${schedule.length} faults in ${options.minutes} min, folder ${dir}`);
  const cli = request.cli === null ? join(root, 'dist', 'cli', 'main.js') : resolve(request.cli);
  const run = new Run({ options, schedule, tools, dir, cli, log });
  // However this process ends: namespaces, mounts and loop devices outlive it.
  process.once('exit', () => run.cleanUpNow());
  return judge(dir, options, await run.carryOut(), tools);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.once(signal, () => process.exit(code));

let request: Request | null = null;
try {
  request = parseRequest(process.argv.slice(2), () => randomInt(2 ** 31));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = EXIT.cannot;
}
if (request !== null) {
  main(request).then(
    (code) => process.exit(code),
    (error: unknown) => {
      console.error(error instanceof Error ? error.stack : error);
      process.exit(EXIT.cannot);
    },
  );
}
