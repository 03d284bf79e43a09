/**
 * Faults on a real cluster: `npm run chaos`. Exit code 0: nothing was found. 1: a violation. 2: it could not be run. 3: nothing was
 * found, but a checker could not decide.
 */
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EXIT, judge } from './judge.ts';
import { NEMESES } from './nemesis/table.ts';
import type { Fault } from './nemesis/types.ts';
import { parseRequest, type Request, type RunOptions, USAGE } from './options.ts';
import { powerCycles } from './power-cycles.ts';
import { Run } from './run.ts';
import { drawSchedule } from './schedule.ts';
import { removeLeftovers, removeOwn } from './system/leftovers.ts';
import { loopbackTools, probeTools, TOOL_NAMES, type Tool, type Tools } from './system/tools.ts';

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${line}\n`);
}

/** A schedule that was written down, and what it was drawn for. */
function readReplay(dir: string): { readonly options: RunOptions; readonly schedule: readonly Fault[] } {
  const files = ['run.json', 'schedule.json'].map((name) => join(dir, name));
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined)
    throw new RangeError(`--replay: ${dir} holds no run that could be replayed: no ${missing}`);
  const [run, schedule] = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as unknown);
  return { options: (run as { options: RunOptions }).options, schedule: schedule as Fault[] };
}

/** What one run wrote is evidence: another one does not write over it, and is not judged by it. */
function checkDir(dir: string): void {
  if (existsSync(dir) && readdirSync(dir).length > 0) throw new RangeError(`--dir: ${dir} is not empty`);
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
  for (const line of removeLeftovers()) log(`left over by a run that was killed, removed: ${line}`);
  if (loopback) return loopbackTools('--loopback');
  if (process.getuid?.() !== 0) return loopbackTools('this needs root');
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

async function main(request: Request): Promise<number> {
  const root = process.cwd();
  const replay = request.replay === null ? null : readReplay(resolve(request.replay));
  const options = replay?.options ?? request.options;
  const cli = request.cli === null ? join(root, 'dist', 'cli', 'main.js') : resolve(request.cli);
  if (!request.probeOnly && !existsSync(cli)) throw new RangeError(`--cli: there is no ${cli}`);
  if (request.dir !== null) checkDir(resolve(request.dir));
  let run: Pick<Run, 'cleanUpNow'> | null = null;
  // However this process ends, and whenever: namespaces, mounts and loop devices outlive it.
  process.once('exit', () => {
    run?.cleanUpNow();
    removeOwn();
  });
  const tools = await probe(options.loopback);
  printTools(tools);
  if (request.probeOnly) return EXIT.well;
  if (request.powerCycles !== null) {
    const { seed, members } = options;
    const dir = request.dir === null ? freshFolder(root, seed) : resolve(request.dir);
    log(`seed ${seed}, ${request.powerCycles} power cycles, process ${process.pid}, folder ${dir}`);
    const onCleanUp = (cleanUpNow: () => void): void => {
      run = { cleanUpNow };
    };
    return powerCycles({ cycles: request.powerCycles, members, seed, tools, dir, cli, log, onCleanUp });
  }
  const schedule = replay?.schedule ?? drawn(options);
  const dir = request.dir === null ? freshFolder(root, options.seed) : resolve(request.dir);
  log(
    `seed ${options.seed}, ${schedule.length} faults in ${options.minutes} min, process ${process.pid}, folder ${dir}`,
  );
  const whole = new Run({ options, schedule, tools, dir, cli, log });
  run = whole;
  return judge({ dir, options, tools, summary: request.summary, log }, await whole.carryOut());
}

// The script that started this one has ended, in whatever way.
process.once('disconnect', () => process.exit(129));
process.channel?.unref();
// A mistake of this harness is no violation.
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.once(event, (error: unknown) => {
    console.error(error);
    process.exit(EXIT.cannot);
  });
}
// Not `once`: Ctrl-C comes twice, from the terminal and from the script that started this, and the second one must not cut
// the cleaning up short.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => process.exit(code));

let request: Request | null = null;
try {
  if (process.argv.includes('--help')) console.log(USAGE);
  else request = parseRequest(process.argv.slice(2), () => randomInt(2 ** 31));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = EXIT.cannot;
}
if (request !== null) {
  main(request).then(
    (code) => process.exit(code),
    (error: unknown) => {
      console.error(error instanceof RangeError ? error.message : error);
      process.exit(EXIT.cannot);
    },
  );
}
