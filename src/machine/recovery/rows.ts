/**
 * The rows of a recovery and what stands beside them: the lock of the phase, the index of open recoveries, that of traces.
 *
 * RV1. An active recovery holds the lock of its (loop, phase): the lock's token is odd and the row's own. So at most one recovery
 *      of a phase is active, whatever the round.
 * RV2. `recoveryOpen` has exactly the recoveries that are active, and those that are INTERRUPTED and wait for nobody.
 * RV3. A recovery is in `recoveryTrace` from its first row to its last.
 * RV4. A recovery has a timer exactly while `blockedUntilMs` is not 0.
 */
import { assert, must } from '../../types/assert.ts';
import { type FencingToken, fencingToken } from '../../types/ids.ts';
import { HARD_FAILED_KEPT_MS, HARD_FAILED_RETRY_MS, RECOVERIES_KEPT_MAX, ROUND_RETRY_MS } from '../../types/limits.ts';
import type { ApplyContext, EventBody } from '../context.ts';
import { after, padded, runKey, under } from '../keys.ts';
import { planOf } from '../phase/round.ts';
import type { FoundRun } from '../phase/run.ts';
import type { MachineState } from '../state.ts';
import { checkpointCrc } from './checkpoint.ts';
import { isActive, type RecoveryState } from './transitions.ts';
import type { RecoveryRow } from './types.ts';

export const lockKey = (loop: string, phase: string): string => `${loop} ${phase}`;
/** A trace id is free text, so its length stands before it: none is the beginning of another. */
export const tracePrefix = (traceId: string): string => `${padded(traceId.length)} ${traceId}`;

export const keyOf = ({ loop, g, position }: Pick<RecoveryRow, 'loop' | 'g' | 'position'>): string =>
  runKey(loop, g, position);

/** A row that is known to be in `State`. */
export type RecoveryIn<State extends RecoveryState> = RecoveryRow & { readonly state: State };

export function isIn<State extends RecoveryState>(row: RecoveryRow, state: State): row is RecoveryIn<State> {
  return row.state === state;
}

/** 0: the phase was never recovered. */
export function lockToken(state: MachineState, loop: string, phase: string): FencingToken {
  return fencingToken(state.tables.domain.recoveryLock.get(lockKey(loop, phase))?.token ?? 0);
}

export function isLocked(state: MachineState, loop: string, phase: string): boolean {
  return lockToken(state, loop, phase) % 2 === 1;
}

/** The next token of the lock: odd while a recovery holds it. Rises with the log, since it changes once in an entry. */
export function turnLock(context: ApplyContext, { loop, phase }: RecoveryRow, held: boolean): FencingToken {
  const { state, revision } = context;
  const token = fencingToken(2 * revision + (held ? 1 : 0));
  assert(token > lockToken(state, loop, phase), 'the lock of a recovery only rises (V4)');
  state.tables.domain.recoveryLock.put(lockKey(loop, phase), { token });
  return token;
}

/** Writes the row with its checksum, and keeps RV1 and RV2. Returns it as it is now. */
export function saveRecovery(context: ApplyContext, row: RecoveryRow): RecoveryRow {
  const { state } = context;
  const { recovery, recoveryOpen } = state.tables.domain;
  const key = keyOf(row);
  const saved: RecoveryRow = { ...row, crc: checkpointCrc(row), changedRevision: context.revision };
  recovery.put(key, saved);
  const active = isActive(row.state);
  if (active) assert(lockToken(state, row.loop, row.phase) === row.token, 'an active recovery holds its lock (RV1)');
  if (active || (row.state === 'INTERRUPTED' && row.waiting === '')) recoveryOpen.put(key, { active });
  else recoveryOpen.delete(key);
  return saved;
}

/** An event about a recovery. `token` is that of its lock. */
export function recoveryEvent(
  { loop, g, phase, attempt, token }: RecoveryRow,
  kind: EventBody['kind'],
  outcome: string,
): EventBody {
  return { kind, loop, g, phase, attempt, token, outcome, vectorClock: [] };
}

/** The run of a recovery, which is kept as long as the recovery is. */
export function runOf(state: MachineState, row: RecoveryRow): FoundRun {
  const loop = must(state.tables.loop.get(row.loop), 'the loop of a recovery');
  const key = keyOf(row);
  return { loop, plan: planOf(state, loop), run: must(state.tables.run.get(key), 'the run of a recovery'), key };
}

export const blockedTimerKey = (dueMs: number, key: string): string => `${padded(dueMs)} blocked ${key}`;

/**
 * 0: no recovery of the round needs its rows any more. Else when to look again, milliseconds: it is under way or blocked, or it has failed for
 * good, and what it left behind could not be undone any more if its record went (V6). At most as many rows as the plan has phases.
 */
export function roundNeededForMs(state: MachineState, round: string): number {
  const { recovery } = state.tables.domain;
  const rows = recovery.range(under(round), after(round), recovery.size).map(([, row]) => row);
  if (rows.some((row) => isActive(row.state) || isIn(row, 'BLOCKED_COMPENSATOR'))) return ROUND_RETRY_MS;
  if (recovery.size > RECOVERIES_KEPT_MAX) return 0;
  const failed = rows.filter((row) => isIn(row, 'HARD_FAILED'));
  return failed.some((row) => row.finishedAtMs + HARD_FAILED_KEPT_MS > state.timeMs) ? HARD_FAILED_RETRY_MS : 0;
}

/** Drops the recoveries of a round that is no longer kept; none of them is under way. Returns how many rows went. */
export function dropRecoveries(state: MachineState, round: string): number {
  const { recovery, recoveryOpen, recoveryTrace } = state.tables.domain;
  let rows = 0;
  for (const [key, row] of recovery.range(under(round), after(round), recovery.size)) {
    assert(!isActive(row.state) && row.blockedUntilMs === 0, 'a recovery that is under way is kept');
    recovery.delete(key);
    recoveryOpen.delete(key);
    recoveryTrace.delete(`${tracePrefix(row.traceId)} ${key}`);
    rows += 3;
  }
  return rows;
}
