/**
 * Supervisors, and what their signatures are worth (O2). The signatures themselves (Ed25519) are checked by the member that
 * takes the call; the state checks everything that depends on it: who is on the roster, with which key, and how many it takes.
 *
 * SV1. Names and public keys are unique on the roster, so that nobody counts twice.
 * SV2. The threshold is worked out from the roster, and from what was set for it, of the moment at which the command is applied.
 * SV3. A roster that was filled once is never empty again: whoever comes first to an empty one needs no signature.
 */

import { SUPERVISORS_NEEDED_MAX } from '../../types/limits.ts';
import type { MachineView } from '../api.ts';
import { rejection } from '../context.ts';
import { KEY_END } from '../keys.ts';
import type { MachineState } from '../state.ts';
import type { Rejection } from '../types.ts';
import type { Signature, SupervisorRow } from './types.ts';

/** The key of its one row. */
export const ROSTER_KEY = 'roster';

/** Signatures of distinct supervisors that it takes: min(ceil(N/2), 3), or as many as were set but no more than there are; at least 1. */
export function threshold(supervisors: number, signaturesNeeded: number): number {
  const wanted =
    signaturesNeeded === 0 ? Math.min(Math.ceil(supervisors / 2), SUPERVISORS_NEEDED_MAX) : signaturesNeeded;
  return Math.max(1, Math.min(wanted, supervisors));
}

/** 0: nothing was set, the rule counts. */
export function signaturesNeeded(rows: Pick<MachineView['rows'], 'roster'>): number {
  return rows.roster.get(ROSTER_KEY)?.signaturesNeeded ?? 0;
}

/** Sorted by name. */
export function roster({ supervisor }: MachineView['rows']): readonly SupervisorRow[] {
  return supervisor.range('', KEY_END, supervisor.size).map(([, row]) => row);
}

/** null: enough of the roster have signed. */
export function checkSigners(state: MachineState, signatures: readonly Signature[]): Rejection | null {
  const { supervisor } = state.tables.domain;
  const distinct = new Set<string>();
  for (const { supervisor: name, publicKey } of signatures) {
    const row = supervisor.get(name);
    if (row === null) {
      return rejection(
        'SUPERVISOR_UNKNOWN',
        `Leave out the signature of ${name}: no such supervisor is on the roster, or not any more.`,
        { supervisor: name },
      );
    }
    if (row.publicKey !== publicKey) {
      return rejection(
        'SIGNATURE_INVALID',
        `Have ${name} sign with the key that is on the roster: this signature is of another one.`,
        { supervisor: name },
      );
    }
    distinct.add(name);
  }
  const needed = threshold(supervisor.size, signaturesNeeded(state.tables.domain));
  if (distinct.size >= needed) return null;
  const message =
    supervisor.size === 0
      ? 'Add supervisors first: nobody is on the roster.'
      : `Collect ${needed} signatures of different supervisors of the ${supervisor.size} on the roster; there ${distinct.size === 1 ? 'is' : 'are'} ${distinct.size}.`;
  return rejection('SIGNATURES_TOO_FEW', message, { needed, signatures: distinct.size, supervisors: supervisor.size });
}
