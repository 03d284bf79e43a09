/** What came of a run: its files are read again, checked, and summed up in `run.json` and in a few lines. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { HOOKS, type Verdict } from './hooks.ts';
import { type EffectCall, type ServiceLevels, serviceLevels } from './levels.ts';
import type { RunOptions } from './options.ts';
import type { Op } from './record/history.ts';
import { readLines, readOps } from './record/read.ts';
import type { RunOutcome } from './run.ts';
import type { Tools } from './system/tools.ts';

/** Exit codes of a run. */
export const EXIT = { well: 0, violation: 1, cannot: 2, unknown: 3 } as const;

export interface JudgeInput {
  readonly dir: string;
  readonly options: RunOptions;
  readonly tools: Tools;
  /** A line about the run is appended here; null: nowhere. */
  readonly summary: string | null;
  readonly log: (line: string) => void;
}

type Counts = Readonly<Record<'ok' | 'fail' | 'info', number>>;

/** What `run.json` says; `verdicts`: null until the checkers have looked. */
interface Facts {
  readonly seed: number;
  readonly startedAt: string;
  readonly options: RunOptions;
  readonly ground: RunOutcome['ground'];
  readonly versions: { readonly quorate: string; readonly node: string };
  readonly machine: Readonly<Record<string, string | number>>;
  readonly tools: Tools;
  readonly faults: RunOutcome['faults'];
  readonly operations: Readonly<Record<string, Counts>>;
  readonly serviceLevels: ServiceLevels;
  readonly findings: readonly string[];
}

export async function judge(input: JudgeInput, outcome: RunOutcome): Promise<number> {
  const { dir, summary } = input;
  const facts = factsOf(input, outcome);
  const write = (verdicts: readonly Verdict[] | null): void =>
    writeFileSync(join(dir, 'run.json'), `${JSON.stringify({ ...facts, verdicts }, null, 1)}\n`);
  // Checkers find it there.
  write(null);
  const verdicts = await HOOKS.check(dir);
  write(verdicts);
  await HOOKS.report(dir, verdicts);
  say(input, facts, verdicts);
  const code = exitCode(facts, verdicts);
  if (summary !== null) appendFileSync(summary, `${JSON.stringify(summaryOf(facts, verdicts, code))}\n`);
  return code;
}

function factsOf({ dir, options, tools }: JudgeInput, outcome: RunOutcome): Facts {
  const ops = options.workloads.flatMap((name) => readOps(join(dir, `history-${name}.ndjson`)));
  const { findings, startedAt, faults, ground, leaders } = outcome;
  const { version } = JSON.parse(readFileSync(join(process.cwd(), 'package.json'), 'utf8')) as { version: string };
  return {
    seed: options.seed,
    startedAt,
    options,
    ground,
    versions: { quorate: version, node: process.version },
    machine: {
      cpus: cpus().length,
      cpu: cpus()[0]?.model ?? '',
      memoryMiB: Math.round(totalmem() / 2 ** 20),
      kernel: release(),
    },
    tools,
    faults,
    operations: Object.fromEntries(options.workloads.map((name) => [name, countsOf(ops, name)])),
    serviceLevels: serviceLevels({
      ops,
      nemesis: readOps(join(dir, 'nemesis.ndjson')),
      effects: readLines<EffectCall>(join(dir, 'effects-server.ndjson')),
      leaders,
    }),
    findings,
  };
}

function countsOf(ops: readonly Op[], name: string): Counts {
  const counts = { ok: 0, fail: 0, info: 0 };
  for (const { workload, type } of ops) if (workload === name && type !== 'invoke') counts[type] += 1;
  return counts;
}

function say({ dir, log }: JudgeInput, facts: Facts, verdicts: readonly Verdict[]): void {
  const { faults, operations, serviceLevels: levels, findings } = facts;
  for (const [name, { injected, skipped, reasons }] of Object.entries(faults)) {
    const why = reasons.map((reason) => ` (${reason})`).join('');
    if (injected + skipped > 0) log(`${name}: ${injected} injected, ${skipped} skipped${why}`);
  }
  const idle = Object.keys(faults).filter((name) => faults[name]?.injected === 0);
  if (idle.length > 0) log(`NOT INJECTED: ${idle.join(', ')}`);
  for (const [name, { ok, fail, info }] of Object.entries(operations))
    log(`${name}: ${ok} ok, ${fail} fail, ${info} info`);
  const { failovers, failoverMsMedian, failoverMsMax, acceptedByTwo, effectsTwice } = levels;
  const counted = failovers.filter(({ disturbedBy }) => disturbedBy === undefined).length;
  const others = counted === failovers.length ? '' : `, and ${failovers.length - counted} that another fault disturbed`;
  log(`failovers: ${counted}${others}; median ${failoverMsMedian ?? '–'} ms, longest ${failoverMsMax ?? '–'} ms`);
  log(`commands accepted by two leaders: ${acceptedByTwo.length}; side effects twice: ${effectsTwice.length}`);
  for (const line of [...acceptedByTwo, ...effectsTwice, ...findings]) log(`FINDING: ${line}`);
  for (const { checker, workload, valid, detail } of verdicts) log(`${checker} of ${workload}: ${valid} ${detail}`);
  log(`everything is in ${dir}; ${join(dir, 'report.html')} shows it`);
}

export function exitCode(
  facts: Pick<Facts, 'options' | 'faults' | 'serviceLevels' | 'findings'>,
  verdicts: readonly Verdict[],
): number {
  const nothing =
    facts.options.nemeses.length > 0 && Object.values(facts.faults).every(({ injected }) => injected === 0);
  const bad = !facts.serviceLevels.met || facts.findings.length > 0 || verdicts.some(({ valid }) => valid === false);
  if (bad) return EXIT.violation;
  // Faults were asked for and there was none, or nothing was held against a rule: that is no pass.
  const open = nothing || verdicts.length === 0 || verdicts.some(({ valid }) => valid === 'unknown');
  return open ? EXIT.unknown : EXIT.well;
}

/** One line that tells a run from others. */
function summaryOf(facts: Facts, verdicts: readonly Verdict[], code: number): object {
  const { seed, startedAt, options, faults, operations, serviceLevels: levels, findings } = facts;
  const total = (type: keyof Counts): number =>
    Object.values(operations).reduce((sum, counts) => sum + counts[type], 0);
  const { failovers, failoverMsMedian, failoverMsMax, acceptedByTwo, effectsTwice } = levels;
  return {
    seed,
    startedAt,
    code,
    minutes: options.minutes,
    members: options.members,
    pairs: options.pairs,
    operations: { ok: total('ok'), fail: total('fail'), info: total('info') },
    faults: Object.fromEntries(
      Object.entries(faults).map(([name, { injected, skipped }]) => [name, [injected, skipped]]),
    ),
    failovers: {
      count: failovers.filter(({ disturbedBy }) => disturbedBy === undefined).length,
      medianMs: failoverMsMedian,
      maxMs: failoverMsMax,
    },
    acceptedByTwo: acceptedByTwo.length,
    effectsTwice: effectsTwice.length,
    findings,
    verdicts: verdicts.map(({ checker, workload, valid }) => `${checker} of ${workload}: ${valid}`),
  };
}
