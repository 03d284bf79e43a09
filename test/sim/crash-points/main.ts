/**
 * `npm run sim -- --crash-points [--part I/N] [--moments after] [--number K --moment before|after|torn] [--trace] [--json]`: cuts the power at every step
 * of the script in which something is written, one run for each step and moment. Exit code 1 when a rule was broken.
 */
import { parseArgs } from 'node:util';
import { formatNote } from '../kernel/journal.ts';
import { MOMENTS, type Moment, momentsOf, type NumberedStep, runScript } from './run.ts';

export interface CrashPointsReport {
  readonly points: number;
  readonly runs: number;
  /** How many points there are, by kind and by chapter of the script. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly chapters: Readonly<Record<string, number>>;
  readonly violations: readonly {
    readonly number: number;
    readonly moment: Moment;
    readonly step: NumberedStep;
    readonly oracle: string;
    readonly message: string;
  }[];
}

function countBy(steps: readonly NumberedStep[], keyOf: (step: NumberedStep) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const step of steps) counts[keyOf(step)] = (counts[keyOf(step)] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function one(number: number, moment: Moment): Promise<void> {
  const { violation, steps } = await runScript({ number, moment }, (note) => console.log(formatNote(note)));
  console.log(`step ${number}: ${JSON.stringify(steps[number - 1])}`);
  console.log(violation === null ? 'no rule was broken' : `${violation.oracle}: ${violation.message}`);
  process.exitCode = violation === null ? 0 : 1;
}

async function all(part: number, parts: number, only: readonly string[]): Promise<CrashPointsReport> {
  const { steps, violation } = await runScript(null, null);
  if (violation !== null) throw new Error(`without any crash: ${violation.oracle}: ${violation.message}`);
  const violations: CrashPointsReport['violations'][number][] = [];
  let runs = 0;
  for (const [at, step] of steps.entries()) {
    if (at % parts !== part) continue;
    for (const moment of momentsOf(step)) {
      if (!only.includes(moment)) continue;
      const run = await runScript({ number: at + 1, moment }, null);
      runs += 1;
      if (run.violation !== null) violations.push({ number: at + 1, moment, step, ...run.violation });
    }
  }
  const kinds = countBy(steps, ({ kind }) => kind);
  const chapters = countBy(steps, ({ chapter }) => chapter);
  return { points: steps.length, runs, kinds, chapters, violations };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'crash-points': { type: 'boolean' },
      part: { type: 'string', default: '0/1' },
      number: { type: 'string' },
      moment: { type: 'string', default: 'before' },
      moments: { type: 'string', default: MOMENTS.join(',') },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      again: { type: 'string' },
    },
  });
  if (values.number !== undefined) {
    await one(Number(values.number), values.moment as Moment);
    return;
  }
  const [part, parts] = values.part.split('/').map(Number) as [number, number];
  const startedMs = performance.now();
  const report = await all(part, parts, values.moments.split(','));
  if (values.json) console.log(JSON.stringify(report));
  else {
    for (const { number, moment, step, oracle, message } of report.violations) {
      console.log(`${moment} step ${number} (${step.chapter}, ${step.kind} of ${step.member}): ${oracle}: ${message}`);
    }
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(
      `${report.points} points, ${report.runs} runs in ${seconds} s, ${report.violations.length} broke a rule`,
    );
    for (const [name, count] of Object.entries({ ...report.chapters, ...report.kinds }))
      console.log(`${count}\t${name}`);
  }
  process.exitCode = report.violations.length === 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
