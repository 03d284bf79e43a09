/**
 * What is known of a run beside its row, kept up to date by the phase commands at feature level 3 (D1, D2, D4).
 *
 * W1. Exactly the runs that are RUNNING have deadlines and stand in `attemptRunning`; those whose attempt began at a lower level
 *     get theirs with the next report.
 * W2. A deadline row and its `deadlineOf` row come and go together.
 * W3. `finished` is a part of `participants`; `firstFinishedAtMs` is 0 as long as it is empty.
 */
import { must } from '../../types/assert.ts';
import { type ClusterTimeMs, clusterTimeMs } from '../../types/ids.ts';
import { DURATIONS_KEPT } from '../../types/limits.ts';
import type { ApplyContext } from '../context.ts';
import { pinSnapshot, unpinSnapshot } from '../document/snapshot.ts';
import { padded } from '../keys.ts';
import { useFeatureLevel } from '../member/feature.ts';
import type { FoundRun } from '../phase/run.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { AttemptState } from '../types.ts';
import { estimate, timeoutOf } from './estimate.ts';
import { policyValue } from './policy.ts';
import { recordRivals, type ToldReport } from './rivals.ts';
import type { DeadlineKind, WatchRow } from './types.ts';

export const DEADLINE_KINDS: readonly DeadlineKind[] = ['PARTIAL_COMMIT', 'SLA', 'TIMEOUT'];

export const durationsKey = (plan: string, phase: string): string => `${plan} ${phase}`;
/** The caller's name is free text, so its length stands before it: no name is the beginning of another. */
export const runningPrefix = (caller: string): string => `${padded(caller.length)} ${caller}`;
const deadlineKey = (dueMs: number, kind: DeadlineKind, run: string): string => `${padded(dueMs)} ${kind} ${run}`;
const deadlineOfKey = (run: string, kind: DeadlineKind): string => `${run} ${kind}`;

/** An attempt has begun: `run` is its row, `found` what was found before. `participants` are checked and sorted. */
export function attemptBegun(
  context: ApplyContext,
  { key, loop, plan }: FoundRun,
  run: StoredRunRow,
  participants: readonly string[],
): void {
  const { state } = context;
  const { watch, attemptRunning } = state.tables.domain;
  useFeatureLevel(state, 3);
  const known = watch.get(key);
  const phase = must(plan.phases[run.position], 'the phase of a run');
  const timeoutMs = timeoutFor(state, loop.plan, run.phase, phase.priorMs);
  watch.put(key, {
    ...(known ?? firstWatch(run)),
    timeoutMs,
    participants,
    finished: [],
    firstFinishedAtMs: 0,
  });
  pinSnapshot(state, key, context.revision);
  attemptRunning.put(`${runningPrefix(run.caller)} ${key}`, { run: key });
  setDeadline(state, key, run, 'TIMEOUT', clusterTimeMs((run.startedAtMs || context.timeMs) + timeoutMs));
  if (phase.slaMs > 0) setDeadline(state, key, run, 'SLA', clusterTimeMs(context.timeMs + phase.slaMs));
}

/** The attempt of `found.run`, which was RUNNING, has ended; `run` is the row as it is now. */
export function attemptEnded(context: ApplyContext, found: FoundRun, run: StoredRunRow, ending: AttemptState): void {
  const { state } = context;
  const { key, loop } = found;
  useFeatureLevel(state, 3);
  for (const kind of DEADLINE_KINDS) dropDeadline(state, key, kind);
  state.tables.domain.attemptRunning.delete(`${runningPrefix(found.run.caller)} ${key}`);
  if (ending === 'CLEAN_EXIT') recordDuration(state, loop.plan, run);
  if (ending === 'CLEAN_EXIT' || ending === 'HARD_FAILED') unpinSnapshot(state, key);
}

/** The attempt has reported: `run` is the row as it is now. */
export function progressed(context: ApplyContext, found: FoundRun, run: StoredRunRow, told: ToldReport): void {
  const { state } = context;
  const { key, plan } = found;
  if (!state.tables.domain.deadlineOf.has(deadlineOfKey(key, 'TIMEOUT'))) attemptBegun(context, found, run, []);
  const slaMs = must(plan.phases[run.position], 'the phase of a run').slaMs;
  if (slaMs > 0) setDeadline(state, key, run, 'SLA', clusterTimeMs(context.timeMs + slaMs));
  if (told.checkpointGiven) {
    const watch = must(state.tables.domain.watch.get(key), 'a run that is watched');
    const checkpointCrc = told.checkpointCrc ?? -1;
    if (watch.checkpointCrc !== checkpointCrc) state.tables.domain.watch.put(key, { ...watch, checkpointCrc });
  }
  recordRivals(state, key, told);
}

/** A participant of the running attempt is ready (D4); `watch` is the row before. */
export function participantFinished(
  context: ApplyContext,
  found: FoundRun,
  watch: WatchRow,
  participant: string,
): WatchRow {
  const { state } = context;
  const { run, key } = found;
  const finished = [...watch.finished, participant].sort();
  const first = watch.firstFinishedAtMs === 0 ? context.timeMs : watch.firstFinishedAtMs;
  const changed: WatchRow = { ...watch, finished, firstFinishedAtMs: first };
  state.tables.domain.watch.put(key, changed);
  if (finished.length === watch.participants.length) dropDeadline(state, key, 'PARTIAL_COMMIT');
  else if (watch.finished.length === 0) {
    const dueMs = clusterTimeMs(context.timeMs + policyValue(state, 'consensusMs'));
    setDeadline(state, key, run, 'PARTIAL_COMMIT', dueMs);
  }
  return changed;
}

/** The watch row of a run whose first attempt begins; also for one that was never watched and is interrupted. */
export function firstWatch({ loop, g, phase }: StoredRunRow): WatchRow {
  return {
    loop,
    g,
    phase,
    snapshotRevision: 0,
    timeoutMs: 0,
    participants: [],
    finished: [],
    firstFinishedAtMs: 0,
    autoAttempts: 0,
    checkpointCrc: -1,
  };
}

/** When the deadline of the run is; null: it has none of this kind. */
export function deadlineAt(state: MachineState, key: string, kind: DeadlineKind): ClusterTimeMs | null {
  const row = state.tables.domain.deadlineOf.get(deadlineOfKey(key, kind));
  return row === null ? null : clusterTimeMs(row.dueMs);
}

function timeoutFor(state: MachineState, plan: string, phase: string, priorMs: number): number {
  const { durations } = state.tables.domain;
  const window = durations.get(durationsKey(plan, phase))?.durationsMs ?? [];
  const timeoutMs = timeoutOf(estimate(window, priorMs), policyValue(state, 'kMilli'));
  return Math.max(timeoutMs, policyValue(state, 'timeoutMinMs'));
}

function recordDuration(state: MachineState, plan: string, run: StoredRunRow): void {
  const { durations } = state.tables.domain;
  const key = durationsKey(plan, run.phase);
  const durationMs = (run.finishedAtMs || 0) - (run.startedAtMs || 0);
  const before = durations.get(key)?.durationsMs ?? [];
  const durationsMs = [...before.slice(1 - DURATIONS_KEPT), durationMs];
  durations.put(key, { plan, phase: run.phase, durationsMs });
}

function setDeadline(
  state: MachineState,
  key: string,
  run: StoredRunRow,
  kind: DeadlineKind,
  dueMs: ClusterTimeMs,
): void {
  const { deadline, deadlineOf } = state.tables.domain;
  const before = deadlineOf.get(deadlineOfKey(key, kind));
  if (before !== null) deadline.delete(deadlineKey(before.dueMs, kind, key));
  const { loop, g, phase, attempt } = run;
  deadline.put(deadlineKey(dueMs, kind, key), { kind, dueMs, loop, g, phase, attempt });
  deadlineOf.put(deadlineOfKey(key, kind), { dueMs });
}

function dropDeadline(state: MachineState, key: string, kind: DeadlineKind): void {
  const { deadline, deadlineOf } = state.tables.domain;
  const row = deadlineOf.get(deadlineOfKey(key, kind));
  if (row === null) return;
  deadline.delete(deadlineKey(row.dueMs, kind, key));
  deadlineOf.delete(deadlineOfKey(key, kind));
}
