/**
 * `npm run sim -- --every-bit [--step N] [--first K] [--elect-every N] [--number K [--trace]] [--json]`: flips each bit (each N-th, from
 * the K-th on) of a small log and of the copy of the hard state. Exit code 1 when one ends in wrong or lost data.
 */
import { parseArgs } from 'node:util';
import { formatNote } from '../kernel/journal.ts';
import { prepare } from './prepare.ts';
import { type Bit, bitsOf, runBit, type Verdict } from './run.ts';

export interface EveryBitReport {
  /** All there are, and those that were flipped. */
  readonly bits: number;
  readonly runs: number;
  readonly logBytes: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  readonly byFile: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly wrong: readonly { readonly number: number; readonly bit: Bit; readonly message: string }[];
  /** One message of each kind of refusal. */
  readonly refusals: readonly string[];
  readonly tookMs: number;
}

const WRONG_MAX = 20;

async function one(number: number): Promise<void> {
  const prepared = await prepare();
  const bit = bitsOf(prepared)[number] ?? null;
  const run = await runBit(prepared, bit, true, (note) => console.log(formatNote(note)));
  console.log(`bit ${number}: ${JSON.stringify(bit)}: ${run.verdict} ${run.message}`);
  process.exitCode = run.verdict === 'WRONG' ? 1 : 0;
}

async function all(first: number, step: number, electEvery: number): Promise<EveryBitReport> {
  const startedMs = performance.now();
  const prepared = await prepare();
  const untouched = await runBit(prepared, null, true, null);
  if (untouched.verdict !== 'sound and equal') throw new Error(`without any damage: ${untouched.message}`);
  const bits = bitsOf(prepared);
  const verdicts: Record<Verdict, number> = {
    'sound and equal': 0,
    'repaired from peers': 0,
    'clean refusal': 0,
    WRONG: 0,
  };
  const byFile: Record<string, Record<string, number>> = {};
  const wrong: EveryBitReport['wrong'][number][] = [];
  const refusals = new Map<string, string>();
  let runs = 0;
  for (let number = first; number < bits.length; number += step) {
    const bit = bits[number] as Bit;
    const { verdict, message } = await runBit(prepared, bit, runs % electEvery === 0, null);
    runs += 1;
    verdicts[verdict] += 1;
    const file = `${bit.path}${bit.used ? '' : ', behind the end'}`;
    const counts = byFile[file] ?? {};
    byFile[file] = counts;
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (verdict === 'WRONG' && wrong.length < WRONG_MAX) wrong.push({ number, bit, message });
    if (verdict === 'clean refusal') refusals.set(message.replace(/\d+|[0-9a-f]{8,}/g, '#'), message);
  }
  const logBytes = bits.filter(({ path, used }) => used && path.startsWith('wal/')).length / 8;
  const tookMs = Math.round(performance.now() - startedMs);
  return { bits: bits.length, runs, logBytes, verdicts, byFile, wrong, refusals: [...refusals.values()], tookMs };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'every-bit': { type: 'boolean' },
      step: { type: 'string', default: '1' },
      first: { type: 'string', default: '0' },
      'elect-every': { type: 'string', default: '10' },
      number: { type: 'string' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      again: { type: 'string' },
    },
  });
  if (values.number !== undefined) {
    await one(Number(values.number));
    return;
  }
  const report = await all(Number(values.first), Number(values.step), Number(values['elect-every']));
  if (values.json) console.log(JSON.stringify(report));
  else {
    for (const { number, bit, message } of report.wrong) {
      console.log(`bit ${number} (${bit.path}, byte ${bit.offset}, bit ${bit.bit}): ${message}`);
    }
    for (const message of report.refusals) console.log(`refused: ${message}`);
    console.log(`${report.runs} of ${report.bits} bits in ${(report.tookMs / 1000).toFixed(1)} s`);
    for (const [file, counts] of Object.entries(report.byFile)) console.log(`${file}: ${JSON.stringify(counts)}`);
    for (const [verdict, count] of Object.entries(report.verdicts)) console.log(`${count}\t${verdict}`);
  }
  process.exitCode = report.verdicts.WRONG === 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
});
