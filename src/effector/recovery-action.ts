/** What a recovery needs next, read off its row: nobody has to remember how far it came (V4). */

import type { RecoveryStep } from '../machine/recovery/transitions.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import { unreachable } from '../types/assert.ts';
import type { LogIndex } from '../types/ids.ts';

export type RecoveryAction =
  /** It is over, or waits for a supervisor or a timer. */
  | { readonly kind: 'none' }
  /** The compensator's next try is not due (L3). */
  | { readonly kind: 'later' }
  | { readonly kind: 'start' }
  | { readonly kind: 'takeOver' }
  | { readonly kind: 'step'; readonly step: RecoveryStep }
  /** Call the compensator of the effect `row.seq`. */
  | { readonly kind: 'compensate' };

/**
 * `ledAt`: the index that was applied when this leader began. Tokens of recovery locks come from the log (V4): one that was made
 * by an entry after it is this leader's own, any other belongs to somebody before it, who may still be calling hooks.
 */
export function nextAction(row: RecoveryRow, ledAt: LogIndex, nowMs: number): RecoveryAction {
  switch (row.state) {
    case 'INTERRUPTED':
      return { kind: row.waiting === '' ? 'start' : 'none' };
    case 'RECONCILE':
    case 'ROLLBACK':
      if (!tokenSince(row.token, ledAt)) return { kind: 'takeOver' };
      if (row.step === '') return { kind: 'none' };
      if (row.step !== 'sel_compensate' || row.seq === 0) return { kind: 'step', step: row.step };
      return { kind: row.nextTryAtMs > nowMs ? 'later' : 'compensate' };
    case 'BLOCKED_COMPENSATOR':
    case 'HARD_FAILED':
    case 'CLEAN_EXIT':
      return { kind: 'none' };
    default:
      return unreachable(row.state, 'recovery state');
  }
}

/** An odd token is 2 · revision + 1. */
export function tokenSince(token: number, index: LogIndex): boolean {
  return token > 2 * index + 1;
}
