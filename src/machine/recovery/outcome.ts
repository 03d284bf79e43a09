/** What the end of a recovery makes of its run (D6, V1, V6). Called by `moveTo` alone. */
import { assert } from '../../types/assert.ts';
import type { ApplyContext } from '../context.ts';
import { unpinSnapshot } from '../document/snapshot.ts';
import { passBarrier } from '../phase/round.ts';
import type { LoopRow } from '../rows.ts';
import type { StoredRunRow } from '../tables.ts';
import { runOf } from './rows.ts';
import type { RecoveryRow } from './types.ts';

/** The work was done, only the commit was missing. The duration is not recorded: it says nothing of the phase type. */
export function rollRunForward(context: ApplyContext, row: RecoveryRow): void {
  const { run, key } = runOf(context.state, row);
  assert(run.state === 'FAILED_PARTIAL', 'a run is rolled forward once');
  endRun(context, row, { ...run, state: 'CLEAN_EXIT' });
  unpinSnapshot(context.state, key);
}

/**
 * Everything is undone: the run may be begun again, from the beginning, unless its attempt gave it up for good. Sub-steps were dropped
 * on the way (rollback.ts). A run that is final already stays so; only what it had left behind is gone now.
 */
export function rollRunBack(context: ApplyContext, row: RecoveryRow): void {
  const { state } = context;
  const { run, key } = runOf(state, row);
  unpinSnapshot(state, key);
  if (run.state !== 'FAILED_PARTIAL') return;
  assert(run.subStepsDone === 0, 'sub-steps of a rolled back run are gone');
  state.tables.checkpoint.delete(key);
  const { watch } = state.tables.domain;
  const watched = watch.get(key);
  if (watched !== null) {
    watch.put(key, { ...watched, participants: [], finished: [], firstFinishedAtMs: 0, checkpointCrc: -1 });
  }
  endRun(context, row, {
    ...run,
    state: row.cause === 'GIVEN_UP' ? 'HARD_FAILED' : 'ABORTED',
    abortReason: run.abortReason === '' ? `rolled back after ${row.cause}` : run.abortReason,
    completed: 0,
    total: 0,
    note: '',
    result: '',
  });
}

/** The barrier need not wait any more. The snapshot is held on: a supervisor may resume the rollback (V6). */
export function hardFailRun(context: ApplyContext, row: RecoveryRow): void {
  const { run } = runOf(context.state, row);
  if (run.state !== 'FAILED_PARTIAL') return;
  endRun(context, row, { ...run, state: 'HARD_FAILED' });
}

function endRun(context: ApplyContext, row: RecoveryRow, ended: StoredRunRow): void {
  const { state, revision, timeMs } = context;
  const { loop, plan, key } = runOf(state, row);
  state.tables.run.put(key, { ...ended, finishedAtMs: timeMs, changedRevision: revision });
  const changed: LoopRow = { ...loop, changedRevision: revision };
  state.tables.loop.put(loop.loop, changed);
  if (ended.state !== 'ABORTED') passBarrier(context, changed, plan, ended.position);
}
