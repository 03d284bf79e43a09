/** Where the driver finds recoveries in the state. */
import type { DomainRows, MachineView } from '../machine/api.ts';
import { KEY_END, next, runKey } from '../machine/keys.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import type { PhaseRef } from '../machine/types.ts';
import { must } from '../types/assert.ts';

/** Recoveries that one tick looks at. */
export const RECOVERY_PAGE = 1_000;

export interface FoundRecovery {
  /** Of its run. */
  readonly key: string;
  readonly row: RecoveryRow;
}

/** Recoveries that are not over, in the order of their runs, after the run `after` ('': from the first), at most `limit`. */
export function openRecoveries(rows: DomainRows, after: string, limit: number): readonly FoundRecovery[] {
  return rows.recoveryOpen
    .range(next(after), KEY_END, limit)
    .map(([key]) => ({ key, row: must(rows.recovery.get(key), 'an open recovery is on record') }));
}

/** null: the run has none. */
export function findRecovery(view: MachineView, { loop, g, phase }: PhaseRef): FoundRecovery | null {
  const run = view.run(loop, g, phase);
  const key = run === null ? '' : runKey(loop, g, run.position);
  const row = view.rows.recovery.get(key);
  return row === null ? null : { key, row };
}
