/** Control documents of a loop (P6, P7) and the clocks of nodes that are gone (P8). Feature level 3. */
import type { ClusterTimeMs, FencingToken, Revision } from '../../types/ids.ts';
import type { PhaseRef, VectorClock } from '../types.ts';

export type DocumentCommand =
  | {
      readonly kind: 'putDocument';
      readonly loop: string;
      readonly name: string;
      /** The version that the writer read; 0: there must be none. */
      readonly expectedVersion: number;
      readonly content: string;
      /** Over the UTF-8 bytes of the content, 64 lower-case hexadecimal digits; the member that took the call worked it out. */
      readonly sha256: string;
      /** JSON Schema as text; '' takes it away, null leaves it as it was. The content was checked against it at `expectedVersion`. */
      readonly schema: string | null;
      /** JSON pointers of fields with a vector clock of their own; null leaves them as they were. */
      readonly causalFields: readonly string[] | null;
      /** Those of them whose value differs from that of `expectedVersion`. */
      readonly causalChanged: readonly string[];
      /** The run that writes; null: written outside of any phase, and survives a rollback. */
      readonly ref: PhaseRef | null;
      /** Token of the run's attempt; 0 without `ref`. */
      readonly token: FencingToken | 0;
      readonly vectorClock: VectorClock;
    }
  | {
      readonly kind: 'deleteDocument';
      readonly loop: string;
      readonly name: string;
      readonly expectedVersion: number;
      readonly ref: PhaseRef | null;
      readonly token: FencingToken | 0;
      readonly vectorClock: VectorClock;
    }
  /** The node (an agent) is gone for good: its clock entries are dropped after `decommissionMs` of the policy (P8). */
  | { readonly kind: 'decommissionNode'; readonly node: string };

export type DocumentValue =
  | { readonly kind: 'documentPut'; readonly version: number }
  | { readonly kind: 'documentDeleted'; readonly version: number }
  | { readonly kind: 'nodeDecommissioned'; readonly dropAtMs: ClusterTimeMs };

/** One version of a document. Versions rise by one, through deletions too. */
export interface DocumentRow {
  readonly loop: string;
  readonly name: string;
  readonly version: number;
  /** true: this version says that there is no document. */
  readonly deleted: boolean;
  readonly content: string;
  readonly sha256: string;
  /** '' for none. */
  readonly schema: string;
  readonly causalFields: readonly string[];
  /** Clock of each causal field, in the order of `causalFields`. */
  readonly causalClocks: readonly VectorClock[];
  /** Key of the run that wrote the content, which a rollback may have restored; '' when written outside of any phase. */
  readonly run: string;
  readonly caller: string;
  readonly changedRevision: Revision;
  readonly changedAtMs: ClusterTimeMs;
}

/** A document that a run has written since its snapshot: what a rollback goes back to (P7, V3). */
export interface TouchedRow {
  readonly loop: string;
  readonly name: string;
  /** Version at the snapshot; 0: there was no document. */
  readonly baseVersion: number;
  /** Newest version written outside of the run since; 0: none. It survives. */
  readonly outsideVersion: number;
}

/** What is left of a node's entry in the clock of a loop (P8). */
export interface TombstoneRow {
  readonly node: string;
  readonly loop: string;
  /** Its last counter: history that names a higher one contradicts the tombstone. */
  readonly counter: number;
  /** SHA-256 over the loop's last clock with the entry, 64 hexadecimal digits. */
  readonly clockSha256: string;
  readonly droppedAtMs: ClusterTimeMs;
}

export interface DecommissionedRow {
  readonly node: string;
  readonly decommissionedAtMs: ClusterTimeMs;
  readonly dropAtMs: ClusterTimeMs;
  readonly dropped: boolean;
  /** Last loop that was looked at, in the order of names: the work is done in pieces. */
  readonly droppedThrough: string;
}
