/** Holds whatever histories a run's folder has against the rules that fit them. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkLists } from './append.ts';
import { checkBarrier } from './barrier.ts';
import { checkEffects, type EffectRecord, effectRecordOf } from './effects.ts';
import { checkFencing } from './fencing.ts';
import { checkRegisters } from './linearizability/linearizability.ts';
import { type Operation, readHistory, readLines, UnreadableHistory } from './operation.ts';
import { checkSessions } from './sessions.ts';
import { checkSets } from './set.ts';
import type { Verdict } from './verdict.ts';
import { checkWatches } from './watch.ts';

export type { Verdict } from './verdict.ts';

type Checker = (operations: readonly Operation[], workload: string, dir: string) => Verdict | Promise<Verdict>;

/** By workload: the rule's name, and what holds a history against it. */
const CHECKERS: ReadonlyMap<string, readonly [name: string, check: Checker]> = new Map([
  ['register', ['linearizability', (operations, workload) => checkRegisters(operations, workload)]],
  ['set', ['set', (operations, workload) => checkSets(operations, workload)]],
  ['append', ['append', (operations, workload) => checkLists(operations, workload)]],
  ['watch', ['watch', (operations, workload) => checkWatches(operations, workload)]],
  ['fencing', ['fencing', (operations, workload) => checkFencing(operations, workload)]],
  ['sessions', ['sessions', (operations, workload) => checkSessions(operations, workload)]],
  ['phase', ['barrier', (operations, workload) => checkBarrier(operations, workload)]],
  [
    'effects',
    ['exactly-once', async (operations, workload, dir) => checkEffects(await effectsOf(dir), operations, workload)],
  ],
]);

/** Histories in which observers report what they saw, without a call. */
const WITH_REPORTS: ReadonlySet<string> = new Set(['watch', 'phase', 'effects', 'sessions']);

const HISTORY = /^history-(.+)\.ndjson$/;

/** One verdict for each history of the folder, in the order of their names. A history that cannot be read is `unknown`. */
export async function check(dir: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const workloads = readdirSync(dir).flatMap((file) => HISTORY.exec(file)?.[1] ?? []);
  const effects = !workloads.includes('effects') && existsSync(join(dir, EFFECTS)) ? ['effects'] : [];
  for (const workload of [...workloads, ...effects].sort()) verdicts.push(await checkWorkload(dir, workload));
  return verdicts;
}

async function checkWorkload(dir: string, workload: string): Promise<Verdict> {
  const checker = CHECKERS.get(workload);
  if (checker === undefined)
    return { checker: 'none', workload, valid: 'unknown', detail: 'no checker for this workload' };
  const [name, holdAgainst] = checker;
  try {
    const file = join(dir, `history-${workload}.ndjson`);
    const operations = existsSync(file) ? await readHistory(file, WITH_REPORTS.has(workload)) : [];
    return await holdAgainst(operations, workload, dir);
  } catch (error) {
    if (!(error instanceof UnreadableHistory)) throw error;
    return { checker: name, workload, valid: 'unknown', detail: `the history cannot be read: ${error.message}` };
  }
}

const EFFECTS = 'effects-server.ndjson';

async function effectsOf(dir: string): Promise<readonly EffectRecord[]> {
  const file = join(dir, EFFECTS);
  if (!existsSync(file)) throw new UnreadableHistory(`there is no ${EFFECTS}`);
  const records: EffectRecord[] = [];
  for await (const line of readLines(file)) records.push(effectRecordOf(line));
  return records;
}
