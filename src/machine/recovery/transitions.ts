/**
 * The recovery's states and every arc between them (V1, V6). `arcTarget` is the only way to a new state: an arc that is not in
 * the table does not compile. `docs/recovery.md` shows the same table as a diagram; a test compares them.
 *
 * "The phase may be begun again" is not a state of the recovery: a rollback that ends in CLEAN_EXIT leaves the run ABORTED.
 */
export const ARCS = {
  INTERRUPTED: { start: 'RECONCILE', forceRollback: 'ROLLBACK', giveUp: 'HARD_FAILED' },
  RECONCILE: { rolledForward: 'CLEAN_EXIT', mismatch: 'ROLLBACK', forceRollback: 'ROLLBACK' },
  ROLLBACK: { rolledBack: 'CLEAN_EXIT', exhausted: 'BLOCKED_COMPENSATOR' },
  BLOCKED_COMPENSATOR: { timedOut: 'HARD_FAILED', giveUp: 'HARD_FAILED', resume: 'ROLLBACK' },
  HARD_FAILED: { resume: 'ROLLBACK' },
  CLEAN_EXIT: {},
} as const;

export type RecoveryState = keyof typeof ARCS;
/** Names of the arcs that leave `State`. */
export type ArcOf<State extends RecoveryState> = keyof (typeof ARCS)[State] & string;
export type Arc = { [State in RecoveryState]: ArcOf<State> }[RecoveryState];

export function arcTarget<State extends RecoveryState, Name extends ArcOf<State>>(
  state: State,
  arc: Name,
): (typeof ARCS)[State][Name] & RecoveryState {
  return ARCS[state][arc] as (typeof ARCS)[State][Name] & RecoveryState;
}

/** Steps of the states that have any, in their order; the names are labels of the metric (U3). */
export const STEPS = {
  RECONCILE: ['wal_fsync', 'checkpoint_flush', 'vc_merge'],
  ROLLBACK: ['sel_compensate', 'snapshot_apply'],
} as const satisfies Partial<Record<RecoveryState, readonly string[]>>;

export type RecoveryStep = (typeof STEPS)[keyof typeof STEPS][number];

/** A recovery in one of these holds the recovery lock: its token is odd (V4). */
export function isActive(state: RecoveryState): boolean {
  return state === 'RECONCILE' || state === 'ROLLBACK';
}
