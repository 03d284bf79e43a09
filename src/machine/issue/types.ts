/** Issues and alerts (V8, L3, L4, A3). Feature level 3. */
import type { ClusterTimeMs, Revision } from '../../types/ids.ts';

export type IssueCommand =
  | { readonly kind: 'acknowledgeIssue'; readonly issue: number; readonly note: string }
  /** By the leader: the webhook has taken the alert, or it is given up. */
  | { readonly kind: 'settleAlert'; readonly alert: number; readonly delivered: boolean; readonly error: string };

export type IssueValue = { readonly kind: 'issueAcknowledged' } | { readonly kind: 'alertSettled' };

export type IssueKind = 'RECOVERY' | 'COST_CAP_EXCEEDED' | 'AGENT_DOWN' | 'EVICTION' | 'FORENSIC_MISMATCH';

export interface IssueRow {
  /** Rises forever: the revision that opened it, or the next free number. */
  readonly issue: number;
  readonly kind: IssueKind;
  readonly state: 'OPEN' | 'ACKNOWLEDGED' | 'CLOSED';
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly traceId: string;
  /** What was seen, isolated and remediated, a line each (V8). */
  readonly seen: readonly string[];
  readonly isolated: readonly string[];
  readonly remediated: readonly string[];
  readonly note: string;
  readonly openedAtMs: ClusterTimeMs;
  readonly changedAtMs: ClusterTimeMs;
  readonly changedRevision: Revision;
}

export type AlertName =
  | 'sel_compensator_failed'
  | 'compensator_timeout'
  | 'recovery_waits'
  | 'cost_cap_exceeded'
  | 'agent_down'
  | 'pending_eviction'
  | 'eviction_blocked'
  | 'permit_async';

/** An alert that the webhook has not taken yet, or that was given up. */
export interface AlertRow {
  readonly alert: number;
  readonly name: AlertName;
  readonly issue: number;
  readonly text: string;
  readonly raisedAtMs: ClusterTimeMs;
  readonly state: 'PENDING' | 'DELIVERED' | 'GIVEN_UP';
  readonly lastError: string;
}
