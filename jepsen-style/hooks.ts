/** What looks at the folder of a run when it is over. The one place where checkers and the report are plugged in. */
import { join } from 'node:path';
import { checkTrace, type MemberTrace } from '../test/trace-check/checker.ts';
import { missingVoters, readFolder } from '../test/trace-check/ndjson.ts';
import { check, type Verdict } from './checkers/check.ts';
import { readOps } from './record/read.ts';
import { writeReport } from './report/report.ts';

export type { Verdict };

export interface Hooks {
  /** Holds every history of the folder against its rule. */
  readonly check: (dir: string) => Promise<readonly Verdict[]>;
  /** Writes `report.html` and the histories in Jepsen's form. */
  readonly report: (dir: string, verdicts: readonly Verdict[]) => Promise<unknown>;
}

/** Of a run's folder: what the consensus cores wrote down (docs/trace.md). */
export const TRACE_FOLDER = 'trace';
const FINDINGS_SHOWN = 5;

/**
 * The invariants of the Raft paper, by what the core of every member did. `damaged`: slots whose files a fault has changed; a member of
 * any other slot that starts without what was durable has lost it.
 */
export function checkCores(dir: string, damaged: ReadonlySet<number>): readonly Verdict[] {
  const base = { checker: 'consensus', workload: 'cores' };
  try {
    const streams = readFolder(join(dir, TRACE_FOLDER));
    if (streams.size === 0) return [{ ...base, valid: 'unknown', detail: 'no member left a trace' }];
    return [...streams].map(([stream, traces]) => ({
      ...base,
      workload: `cores-${stream}`,
      ...judgeCores(traces, damaged),
    }));
  } catch (error) {
    return [{ ...base, valid: 'unknown', detail: error instanceof Error ? error.message : String(error) }];
  }
}

function judgeCores(traces: readonly MemberTrace[], damaged: ReadonlySet<number>): Pick<Verdict, 'valid' | 'detail'> {
  const headless = traces.filter(({ events }) => events[0]?.kind !== 'start').map(({ member }) => member);
  if (headless.length > 0) return { valid: 'unknown', detail: `no start of ${headless.join(', ')}` };
  const findings = checkTrace(traces).map(({ rule, member, message }) => `${rule}: ${member} ${message}`);
  for (const { member, events } of traces) {
    const recovering = events.filter((event) => event.kind === 'start' && event.recovering).length;
    const slot = Number(/^m(\d+)/.exec(member)?.[1]);
    if (recovering > 0 && !damaged.has(slot))
      findings.push(`DG: ${member} began ${recovering} lives without what was durable, and nobody damaged its files`);
  }
  if (findings.length > 0)
    return { valid: false, detail: `${findings.length} findings; ${findings.slice(0, FINDINGS_SHOWN).join('; ')}` };
  const unseen = [...missingVoters(traces), ...traces.filter(({ complete }) => !complete).map(({ member }) => member)];
  const events = traces.reduce((sum, trace) => sum + trace.events.length, 0);
  if (unseen.length > 0)
    return { valid: 'unknown', detail: `no whole trace of ${unseen.join(', ')}; ${events} events of others` };
  return { valid: true, detail: `${events} events of ${traces.length} members` };
}

/** Slots whose files bits were flipped in. */
function damagedSlots(dir: string): ReadonlySet<number> {
  const corrupt = readOps(join(dir, 'nemesis.ndjson')).filter(({ f }) => f === 'corrupt-start');
  return new Set(corrupt.flatMap(({ value }) => (value as { readonly members: readonly number[] }).members));
}

export const HOOKS: Hooks = {
  check: async (dir) => [...(await check(dir)), ...checkCores(dir, damagedSlots(dir))],
  report: writeReport,
};
