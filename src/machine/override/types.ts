/** Supervisors and their signed overrides (O1, O2). Feature level 3. */
import type { ClusterTimeMs, Revision } from '../../types/ids.ts';

export const OVERRIDE_ACTIONS = ['resume', 'abort', 'force-rollback'] as const;
export type OverrideAction = (typeof OVERRIDE_ACTIONS)[number];

/** Checked (Ed25519) by the member that took the call; the state checks that the key is that of the roster. */
export interface Signature {
  readonly supervisor: string;
  /** Raw public key, 64 lower-case hexadecimal digits. */
  readonly publicKey: string;
  /** 128 lower-case hexadecimal digits; kept in the audit log, so that it can be verified offline. */
  readonly signature: string;
}

export interface SupervisorChange {
  readonly name: string;
  /** '' removes the supervisor. */
  readonly publicKey: string;
}

export type OverrideCommand =
  | {
      readonly kind: 'override';
      readonly target: string;
      readonly action: OverrideAction;
      readonly expiresAtMs: ClusterTimeMs;
      /** 32 hexadecimal digits; an override is usable once. */
      readonly nonce: string;
      readonly signatures: readonly Signature[];
    }
  /** The first supervisors of an empty roster need no signatures; every later change needs those of an override. */
  | {
      readonly kind: 'changeSupervisors';
      /** None only where `signaturesNeeded` changes. */
      readonly changes: readonly SupervisorChange[];
      /** From now on: null as before, 0 as the rule says, else so many; at most as many as are on the roster after the change. */
      readonly signaturesNeeded: number | null;
      readonly expiresAtMs: ClusterTimeMs;
      readonly nonce: string;
      readonly signatures: readonly Signature[];
    };

export type OverrideValue =
  /** `recoveries`: how many runs of the trace it was carried out on. */
  | { readonly kind: 'overridden'; readonly recoveries: number }
  | { readonly kind: 'supervisorsChanged'; readonly supervisors: number; readonly threshold: number };

export interface SupervisorRow {
  readonly name: string;
  readonly publicKey: string;
  readonly addedRevision: Revision;
}

/** What is set for the roster as a whole (O2). One row. */
export interface RosterRow {
  /** 0: as the rule says. */
  readonly signaturesNeeded: number;
  readonly changedRevision: Revision;
}

/** A nonce that was used; kept until the override has expired. */
export interface NonceRow {
  readonly nonce: string;
  readonly expiresAtMs: ClusterTimeMs;
}
