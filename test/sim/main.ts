/**
 * The simulator's command: `npm run sim -- [--seeds N] [--start S] [--seed S] [--list S,S,...] [--members N] [--focus F] [--recovery on|off|drawn] [--swarm on|off]
 * [--workers N] [--trace] [--json] [--keep-going]`. Run through scripts/sim.mjs, which bundles it. Exit code 1 when a rule was broken.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { formatNote } from './kernel/journal.ts';
import { missedMarks, SEEDS_FOR_MARKS } from './marks.ts';
import { FOCUSES, type Focus } from './options.ts';
import type { RecoveryWanted } from './recovery-options.ts';
import { type RunReport, runSeed } from './run.ts';
import type { SwarmWanted } from './swarm-options.ts';

interface Settings {
  readonly start: number;
  /** These, and not those from `start` on. */
  readonly list: readonly number[] | null;
  readonly count: number;
  readonly members: number | null;
  readonly focus: Focus | null;
  readonly recovery: RecoveryWanted;
  readonly swarm: SwarmWanted;
  readonly workers: number;
  readonly trace: boolean;
  readonly json: boolean;
  readonly keepGoing: boolean;
  /** Rare branches that are met too rarely fail the run. */
  readonly marks: boolean;
  /** How the same build is run again; for the line that says so. */
  readonly again: string;
}

/** Seeds handed to a worker at once: enough that it is never idle, few enough that the end is even. */
const SEEDS_AT_ONCE = 4;
const FRESH_SEEDS = 2 ** 40;

export interface Totals {
  seeds: number;
  simulatedUs: number;
  events: number;
  entries: number;
  operations: number;
  operationsDone: number;
  reads: number;
  registerCalls: number;
  undecided: number;
  readonly faults: Record<string, number>;
  readonly marks: Record<string, number>;
  readonly violations: RunReport[];
  readonly hashes: Record<string, string>;
}

function readSettings(): Settings {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      start: { type: 'string' },
      seed: { type: 'string' },
      list: { type: 'string' },
      members: { type: 'string' },
      focus: { type: 'string' },
      recovery: { type: 'string', default: 'drawn' },
      swarm: { type: 'string', default: 'on' },
      workers: { type: 'string', default: '2' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      marks: { type: 'boolean', default: false },
      again: { type: 'string', default: 'npm run sim --' },
    },
  });
  const seed = whole(values.seed, 'seed');
  const list = values.list?.split(',').map((text) => whole(text, 'list') as number) ?? null;
  const count = list?.length ?? (seed === null ? (whole(values.seeds, 'seeds') ?? 100) : 1);
  if (count === 0) throw new Error('--seeds is at least 1: no seed is no test');
  const members = whole(values.members, 'members');
  if (members !== null && (members < 1 || members > 7)) throw new Error('--members is 1 to 7');
  const focus = FOCUSES.find((name) => name === values.focus) ?? null;
  if (values.focus !== undefined && focus === null) throw new Error(`--focus is ${FOCUSES.join(', ')}`);
  const recovery = (['on', 'off', 'drawn'] as const).find((name) => name === values.recovery);
  if (recovery === undefined) throw new Error('--recovery is on, off or drawn');
  const swarm = (['on', 'off'] as const).find((name) => name === values.swarm);
  if (swarm === undefined) throw new Error('--swarm is on or off');
  const isDefault =
    members === null && focus === null && recovery === 'drawn' && swarm === 'on' && values.again === 'npm run sim --';
  return {
    start: list?.[0] ?? seed ?? whole(values.start, 'start') ?? randomInt(1, FRESH_SEEDS),
    list,
    count,
    members,
    focus,
    recovery,
    swarm,
    workers: Math.max(1, Math.min(whole(values.workers, 'workers') ?? 2, Math.ceil(count / SEEDS_AT_ONCE))),
    trace: values.trace,
    json: values.json,
    keepGoing: values['keep-going'],
    marks: values.marks || (isDefault && count >= SEEDS_FOR_MARKS),
    again: values.again,
  };
}

function whole(text: string | undefined, name: string): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${name} is a whole number, not ${text}`);
  return value;
}

function seedAt({ list, start }: Settings, at: number): number {
  return list?.[at] ?? start + at;
}

async function runHere(settings: Settings, add: (report: RunReport) => boolean): Promise<void> {
  const sink = settings.trace ? (note: Parameters<typeof formatNote>[0]) => console.log(formatNote(note)) : null;
  for (let at = 0; at < settings.count; at += 1) {
    const { members, focus, recovery, swarm } = settings;
    if (!add(await runSeed({ seed: seedAt(settings, at), members, focus, recovery, swarm, sink }))) return;
  }
}

interface Order {
  readonly seeds: readonly number[];
  readonly members: number | null;
  readonly focus: Focus | null;
  readonly recovery: RecoveryWanted;
  readonly swarm: SwarmWanted;
}

/** A child process: runs what it is sent, and answers with a report for each. */
function work(): void {
  process.on('message', (order: Order) => {
    void (async () => {
      for (const seed of order.seeds) {
        const { members, focus, recovery, swarm } = order;
        process.send?.(await runSeed({ seed, members, focus, recovery, swarm, sink: null }));
      }
    })();
  });
}

function runInWorkers(settings: Settings, add: (report: RunReport) => boolean): Promise<void> {
  let next = 0;
  const end = settings.count;
  let stopped = false;
  const give = (child: ChildProcess): number => {
    if (stopped || next >= end) {
      child.disconnect();
      return 0;
    }
    const seeds = Array.from({ length: Math.min(SEEDS_AT_ONCE, end - next) }, () => seedAt(settings, next++));
    const { members, focus, recovery, swarm } = settings;
    child.send({ seeds, members, focus, recovery, swarm } satisfies Order);
    return seeds.length;
  };
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(process.argv[1] as string, ['--worker']);
      let waiting = 0;
      child.on('message', (report: RunReport) => {
        waiting -= 1;
        if (!stopped && !add(report)) stopped = true;
        if (waiting === 0 && child.connected) waiting = give(child);
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        if (waiting === 0 || stopped) resolve();
        else reject(new Error(`a worker ended with ${signal ?? code} before seed ${seedAt(settings, next)}`));
      });
      waiting = give(child);
    });
  return Promise.all(Array.from({ length: settings.workers }, one)).then(() => undefined);
}

function addTo(totals: Totals, report: RunReport): void {
  totals.seeds += 1;
  totals.simulatedUs += report.simulatedUs;
  totals.events += report.events;
  totals.entries += report.entries;
  totals.operations += report.operations;
  totals.operationsDone += report.operationsDone;
  totals.reads += report.reads;
  totals.registerCalls += report.registerCalls;
  totals.undecided += report.undecided;
  totals.hashes[report.seed] = report.traceHash;
  addCounts(totals.faults, report.faults);
  addCounts(totals.marks, report.marks);
  if (report.violation !== null) totals.violations.push(report);
}

function addCounts(total: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
}

function listed(counts: Readonly<Record<string, number>>): string {
  const names = Object.keys(counts).sort();
  const some = names.filter((name) => (counts[name] ?? 0) > 0);
  return some.map((name) => `${name} ${counts[name]}`).join(', ') || 'none';
}

function printViolation(report: RunReport, settings: Settings): void {
  console.log(`\noptions of seed ${report.seed}: ${JSON.stringify(report.options)}`);
  console.log('last events:');
  for (const line of report.last ?? []) console.log(line);
  console.log(`\n${report.violation?.oracle} broken with seed ${report.seed}: ${report.violation?.message}`);
  const members = settings.members === null ? '' : ` --members ${settings.members}`;
  const focus = settings.focus === null ? '' : ` --focus ${settings.focus}`;
  const recovery = settings.recovery === 'drawn' ? '' : ` --recovery ${settings.recovery}`;
  const swarm = settings.swarm === 'on' ? '' : ' --swarm off';
  console.log(`replay: ${settings.again} --seed ${report.seed}${members}${focus}${recovery}${swarm} --trace`);
}

function printTotals(totals: Totals, tookMs: number): void {
  const perSecond = (totals.seeds / (tookMs / 1000)).toFixed(1);
  console.log(`${totals.seeds} seeds in ${(tookMs / 1000).toFixed(1)} s: ${perSecond} seeds/s`);
  console.log(
    `simulated ${(totals.simulatedUs / 1e6).toFixed(0)} s, ${totals.events} events, ${totals.entries} entries, ` +
      `${totals.operations} operations (${totals.operationsDone} carried out), ${totals.reads} reads`,
  );
  console.log(`${totals.registerCalls} calls in histories of registers, ${totals.undecided} histories undecided`);
  console.log(`faults: ${listed(totals.faults)}`);
  console.log(`rare branches: ${listed(totals.marks)}`);
  if (totals.seeds === 1) console.log(`trace hash ${Object.values(totals.hashes)[0]}`);
}

async function main(): Promise<void> {
  const settings = readSettings();
  const last = seedAt(settings, settings.count - 1);
  if (!settings.json) console.log(`seeds ${settings.start} to ${last}${settings.list === null ? '' : ', as listed'}`);
  const totals: Totals = {
    seeds: 0,
    simulatedUs: 0,
    events: 0,
    entries: 0,
    operations: 0,
    operationsDone: 0,
    reads: 0,
    registerCalls: 0,
    undecided: 0,
    faults: {},
    marks: {},
    violations: [],
    hashes: {},
  };
  const startedMs = performance.now();
  const add = (report: RunReport): boolean => {
    addTo(totals, report);
    return report.violation === null || settings.keepGoing;
  };
  if (settings.trace || settings.workers === 1) await runHere(settings, add);
  else await runInWorkers(settings, add);
  const tookMs = performance.now() - startedMs;
  if (settings.json) {
    const violations = totals.violations.map(({ seed, violation }) => ({ seed, ...violation }));
    console.log(JSON.stringify({ start: settings.start, tookMs: Math.round(tookMs), ...totals, violations }));
  } else {
    for (const report of totals.violations.slice(0, 1)) printViolation(report, settings);
    for (const { seed, violation } of totals.violations.slice(1)) {
      console.log(`seed ${seed}: ${violation?.oracle} ${violation?.message}`);
    }
    printTotals(totals, tookMs);
  }
  const missed = settings.marks ? missedMarks(totals.marks, totals.seeds) : [];
  for (const line of missed) console.error(`a rare branch is met too rarely: ${line}`);
  process.exitCode = totals.violations.length + missed.length === 0 ? 0 : 1;
}

if (process.argv.includes('--worker')) work();
else {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  });
}
