/** Reads of recoveries: for the leader that works on them, and for people. */
import { must } from '../../types/assert.ts';
import type { FencingToken } from '../../types/ids.ts';
import type { MachineView, Page } from '../api.ts';
import { after, KEY_END, next, runKey, under } from '../keys.ts';
import type { PhaseRef } from '../types.ts';
import { lockKey, tracePrefix } from './rows.ts';
import type { RecoveryRow } from './types.ts';

/** null: the run was never interrupted, or is not kept any more. */
export function recoveryOf(view: MachineView, { loop, g, phase }: PhaseRef): RecoveryRow | null {
  const run = view.run(loop, g, phase);
  return run === null ? null : view.rows.recovery.get(runKey(loop, g, run.position));
}

export function recoveryOfKey(view: MachineView, run: string): RecoveryRow | null {
  return view.rows.recovery.get(run);
}

/** Recoveries after the run with key `from`, by loop, round and phase; `next` is a key to go on from. */
export function recoveriesPage(view: MachineView, from: string | null, limit: number): Page<RecoveryRow> {
  const found = view.rows.recovery.range(from === null ? '' : next(from), KEY_END, limit + 1);
  const page = found.slice(0, limit);
  return { rows: page.map(([, row]) => row), next: found.length > limit ? (page.at(-1)?.[0] ?? null) : null };
}

/** Something for the leader to do. `active`: it goes on; else it is to be started, and the lock is free. */
export interface OpenRecovery {
  readonly run: string;
  readonly active: boolean;
  readonly row: RecoveryRow;
}

/**
 * Recoveries that are active or may start, after the run with key `from`: costs what there is of these, not what there is of
 * loops. One that has to wait for another of its phase is left out; a page may be short, `next` says whether there is more.
 */
export function openRecoveries(view: MachineView, from: string | null, limit: number): Page<OpenRecovery> {
  const { recovery, recoveryOpen } = view.rows;
  const found = recoveryOpen.range(from === null ? '' : next(from), KEY_END, limit + 1);
  const page = found.slice(0, limit);
  const rows = page.flatMap(([run, { active }]) => {
    const row = must(recovery.get(run), 'an open recovery');
    return active || lockOf(view, row.loop, row.phase) % 2 === 0 ? [{ run, active, row }] : [];
  });
  return { rows, next: found.length > limit ? (page.at(-1)?.[0] ?? null) : null };
}

/** How many recoveries are active or may start. */
export function openRecoveryCount(view: MachineView): number {
  return view.rows.recoveryOpen.size;
}

/** Where the recovery lock of a phase stands (V4): odd while one of its recoveries is active; 0 before the first. */
export function lockOf(view: MachineView, loop: string, phase: string): FencingToken {
  return (view.rows.recoveryLock.get(lockKey(loop, phase))?.token ?? 0) as FencingToken;
}

/** Recoveries with the trace id, at most `limit`. */
export function recoveriesOfTraceId(view: MachineView, traceId: string, limit: number): readonly RecoveryRow[] {
  const prefix = tracePrefix(traceId);
  const { recovery, recoveryTrace } = view.rows;
  return recoveryTrace
    .range(under(prefix), after(prefix), limit)
    .map(([, { run }]) => must(recovery.get(run), 'a recovery of the trace'));
}
