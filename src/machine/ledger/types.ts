/** The ledger of external effects (L1) and what they cost (L4). Feature level 3. */
import type { ClusterTimeMs, FencingToken, Revision } from '../../types/ids.ts';
import type { PhaseRef } from '../types.ts';

export interface Compensator {
  /** http: `target` is a URL. grpc: `target` is host:port. worker: `target` names the queue that workers claim from. */
  readonly kind: 'http' | 'grpc' | 'worker';
  readonly target: string;
  /** Handed to the compensator as it is. */
  readonly payload: string;
}

export type LedgerCommand =
  | {
      readonly kind: 'recordIntent';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      /** Idempotency key, unique within the loop: the same key never runs twice. */
      readonly key: string;
      readonly description: string;
      /** Registered before the action. */
      readonly compensator: Compensator;
      /** In the budget's currency, millionths, decimal digits; converted by the member that took the call. */
      readonly costMicros: string;
      /** Limit of the trace's spending in the same unit, as that member's budget says. */
      readonly limitMicros: string;
      /** '' or a resource that is created or deleted: swings are counted (L4). */
      readonly resource: string;
      readonly operation: '' | 'create' | 'delete';
    }
  | {
      readonly kind: 'confirmEffect';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly key: string;
      readonly result: string;
    }
  /** The agent knows for certain that the effect did not happen. */
  | {
      readonly kind: 'withdrawEffect';
      readonly ref: PhaseRef;
      readonly token: FencingToken;
      readonly key: string;
      readonly reason: string;
    };

export type EffectState = 'INTENT' | 'CONFIRMED' | 'WITHDRAWN' | 'COMPENSATED';

export type LedgerValue =
  | {
      readonly kind: 'intentRecorded';
      readonly seq: number;
      /** true: do it now. false: the key is on record; `state` and `result` say what came of it. */
      readonly fresh: boolean;
      readonly state: EffectState | '';
      readonly result: string;
      /** '' or COST_CAP_EXCEEDED: nothing was recorded but the issue, and automation of the trace stops (L4). */
      readonly refusal: '' | 'COST_CAP_EXCEEDED';
      readonly refusalDetail: string;
    }
  | { readonly kind: 'effectConfirmed'; readonly seq: number }
  | { readonly kind: 'effectWithdrawn'; readonly seq: number };

/** Key: that of the run and `seq`. An index by (loop, idempotency key) leads to it. */
export interface EffectRow {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  /** From 1 within the run, in the order of the intents: compensators run from the highest down (V3). */
  readonly seq: number;
  readonly attempt: number;
  readonly key: string;
  readonly description: string;
  readonly compensator: Compensator;
  readonly costMicros: string;
  readonly resource: string;
  readonly operation: '' | 'create' | 'delete';
  readonly state: EffectState;
  readonly result: string;
  readonly traceId: string;
  readonly caller: string;
  readonly intentAtMs: ClusterTimeMs;
  readonly settledAtMs: ClusterTimeMs | 0;
  readonly changedRevision: Revision;
}

/** Spending of one trace, or of one run that has no trace id. Kept as long as an effect of it, or a cap, is. */
export interface SpendingRow {
  readonly traceId: string;
  readonly spentMicros: string;
  readonly effects: number;
  /** '' or why automation of the trace has stopped; SWINGS ends by itself, a window after `changedAtMs`. */
  readonly capped: '' | 'COST' | 'SWINGS';
  /** The limit that was exceeded: a higher one lifts the cap. '' unless capped for COST. */
  readonly cappedLimitMicros: string;
  readonly changedAtMs: ClusterTimeMs;
}

/** The newest creations and deletions of a resource. */
export interface ResourceRow {
  readonly resource: string;
  readonly changes: readonly (readonly [atMs: ClusterTimeMs, operation: 'create' | 'delete'])[];
}
