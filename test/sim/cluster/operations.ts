/** What clients did and what they were told: the ledger that the exactly-once oracle holds against the state. */
import type { MutationOutcome, ReadConsistency } from '../../../src/node/types.ts';

/** What an operation leaves in the event history, once, if it is carried out. */
export type EffectClass = 'create' | 'begin' | 'progress' | 'commit' | 'abort' | 'none';

/** All of a client's tries of one request, seen as one. */
export type OperationState =
  /** Still tried. */
  | { readonly kind: 'open' }
  /** Carried out: an answer says so. */
  | { readonly kind: 'done'; readonly revision: number }
  /** The machine said no. */
  | { readonly kind: 'rejected'; readonly reason: string }
  /** Every try was refused before it got into a log. */
  | { readonly kind: 'refused' }
  /** Given up without knowing. */
  | { readonly kind: 'unknown' };

export interface Operation {
  /** From 1; also the trace id, as `op-N`. */
  readonly id: number;
  readonly client: string;
  readonly effect: EffectClass;
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  /** Sub-steps that the operation reports. */
  readonly subSteps: readonly string[];
  readonly withSession: boolean;
  state: OperationState;
}

/** One answer that left a member for a client. */
export type Answer =
  | { readonly kind: 'mutation'; readonly outcome: MutationOutcome }
  | {
      readonly kind: 'read';
      readonly consistency: ReadConsistency['kind'];
      readonly appliedIndex: number;
      /** What must be seen. */
      readonly floorIndex: number;
      /** Before what it was acknowledged, for people. */
      readonly floorWhat: string;
    };

export class Operations {
  readonly #all: Operation[] = [];

  get all(): readonly Operation[] {
    return this.#all;
  }

  open(operation: Omit<Operation, 'id' | 'state'>): Operation {
    const opened: Operation = { ...operation, id: this.#all.length + 1, state: { kind: 'open' } };
    this.#all.push(opened);
    return opened;
  }

  byTraceId(traceId: string): Operation | undefined {
    return traceId.startsWith('op-') ? this.#all[Number(traceId.slice(3)) - 1] : undefined;
  }
}

export function traceIdOf(operation: Operation): string {
  return `op-${operation.id}`;
}
