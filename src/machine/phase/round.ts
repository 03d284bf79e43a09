/** Rounds of a loop: opening, the barrier between them (P3), and dropping those that are no longer kept. */
import { assert, must } from '../../types/assert.ts';
import { clusterTimeMs } from '../../types/ids.ts';
import type { ApplyContext } from '../context.ts';
import { unpinSnapshot } from '../document/snapshot.ts';
import { after, padded, roundKey, runKey, under } from '../keys.ts';
import { dropEffects, forgetSpending } from '../ledger/effects.ts';
import { dropRecoveries, roundNeededForMs } from '../recovery/rows.ts';
import type { LoopRow, PlanRow } from '../rows.ts';
import type { MachineState } from '../state.ts';
import type { StoredRunRow } from '../tables.ts';
import type { PhaseState } from '../types.ts';

/** True when the barrier need not wait for the run any more. A final run never changes again. */
export function isFinal(state: PhaseState): boolean {
  return state === 'CLEAN_EXIT' || state === 'HARD_FAILED';
}

/** Makes the runs of round `loop.g`, which the loop row holds already, and says that it may begin. */
export function openRound(context: ApplyContext, loop: LoopRow, plan: PlanRow): void {
  const { run } = context.state.tables;
  plan.phases.forEach((phase, position) => {
    const row: StoredRunRow = {
      loop: loop.loop,
      g: loop.g,
      phase: phase.name,
      position,
      state: 'PENDING',
      attempt: 0,
      token: 0,
      caller: '',
      traceId: '',
      completed: 0,
      total: 0,
      note: '',
      subStepsDone: 0,
      result: '',
      abortReason: '',
      startedAtMs: 0,
      progressAtMs: 0,
      finishedAtMs: 0,
      changedRevision: context.revision,
      vectorClock: loop.vectorClock,
    };
    run.put(runKey(loop.loop, loop.g, position), row);
  });
  context.emit({
    kind: 'phase_ready',
    loop: loop.loop,
    g: loop.g,
    phase: '',
    attempt: 0,
    token: 0,
    outcome: '',
    vectorClock: loop.vectorClock,
  });
}

/**
 * A run of the open round has become final. If it was the last, the barrier opens: g rises by one. Returns the loop's g.
 * Phases run in plan order, so the last phase of the plan is the last to become final; asserted.
 */
export function passBarrier(context: ApplyContext, loop: LoopRow, plan: PlanRow, position: number): number {
  const { state } = context;
  if (position < plan.phases.length - 1) return loop.g;
  assert(firstOpenRun(state, loop) === null, 'the barrier opens when all phases are final (P3)');
  const opened: LoopRow = { ...loop, g: loop.g + 1 };
  state.tables.loop.put(loop.loop, opened);
  openRound(context, opened, plan);
  forgetRound(state, loop.loop, opened.g - 1 - state.limits.roundsKept);
  return opened.g;
}

/** The first run of the loop's open round that is not final; null right when the last has become final. */
export function firstOpenRun(state: MachineState, loop: LoopRow): StoredRunRow | null {
  for (const row of runsOf(state, loop.loop, loop.g)) if (!isFinal(row.state)) return row;
  return null;
}

/** Runs of a round in plan order. */
export function runsOf(state: MachineState, loop: string, g: number): readonly StoredRunRow[] {
  const { run } = state.tables;
  const round = roundKey(loop, g);
  return run.range(under(round), after(round), run.size).map(([, row]) => row);
}

/**
 * Takes round `g` out of sight at once, by its run rows (at most PLAN_PHASES_MAX). Attempts, checkpoints and sub-steps may be
 * many: a timer that is due now drops them, a bounded number with each of the next commands.
 */
function forgetRound(state: MachineState, loop: string, g: number): void {
  if (g < 1) return;
  const { timer } = state.tables;
  const round = roundKey(loop, g);
  // A supervisor may have resumed what was given up, or may do so yet: the round stays until that is through.
  if (roundNeededForMs(state, round) === 0) dropRuns(state, round);
  const dueMs = state.timeMs;
  timer.put(`${padded(dueMs)} round ${round}`, { kind: 'round', dueMs, loop, g });
}

function dropRuns(state: MachineState, round: string): number {
  const { run, attempt } = state.tables;
  for (const [key] of run.range(under(round), after(round), run.size)) {
    unpinSnapshot(state, key);
    // Each attempt may have had a trace of its own. Those that are not on record any more were seen to when they went.
    for (const [, { traceId }] of attempt.range(under(key), after(key), attempt.size))
      forgetSpending(state, traceId, key);
  }
  return run.deleteRange(under(round), after(round), run.size) + dropRecoveries(state, round);
}

/** The timer of {@link forgetRound}: drops up to `budget` rows and the timer with the last. Returns the budget used. */
export function dropRound(state: MachineState, timerKey: string, loop: string, g: number, budget: number): number {
  assert(budget > 0, 'a due timer has a budget');
  const { attempt, checkpoint, domain, run, subStep, timer } = state.tables;
  const round = roundKey(loop, g);
  const neededMs = roundNeededForMs(state, round);
  if (neededMs > 0) {
    timer.delete(timerKey);
    const dueMs = clusterTimeMs(state.timeMs + neededMs);
    timer.put(`${padded(dueMs)} round ${round}`, { kind: 'round', dueMs, loop, g });
    return 2;
  }
  // As many rows as the plan has phases, once.
  if (run.range(under(round), after(round), 1).length > 0) return dropRuns(state, round);
  const from = under(round);
  const to = after(round);
  let left = budget;
  for (const table of [checkpoint, attempt, subStep, domain.rival, domain.watch])
    left -= table.deleteRange(from, to, left);
  left -= dropEffects(state, round, left);
  assert(left >= 0, 'the budget holds');
  if (left === 0) return budget;
  timer.delete(timerKey);
  return budget - left + 1;
}

/** The plan of a loop. Plans are never removed. */
export function planOf(state: MachineState, loop: LoopRow): PlanRow {
  return must(state.tables.plan.get(loop.plan), 'the plan of a loop');
}
