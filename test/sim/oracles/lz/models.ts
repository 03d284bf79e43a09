/** Sequential objects that histories are held against. */
import type { Model } from './checker.ts';

// ------------------------------------------------------------------------------------------ register

/** `value` null where nothing was written yet. */
export type RegisterOp =
  /** `value` undefined: the answer does not say. */
  | { readonly kind: 'read'; readonly value: string | null | undefined }
  | { readonly kind: 'write'; readonly value: string | null }
  /** `ok` false: the register held something else. null: the answer does not say. */
  | { readonly kind: 'cas'; readonly from: string | null; readonly to: string | null; readonly ok: boolean | null };

export function registerModel(initial: string | null): Model<string | null, RegisterOp> {
  return {
    initial,
    step(state, op) {
      switch (op.kind) {
        case 'read':
          return op.value === undefined || op.value === state ? { next: state } : null;
        case 'write':
          return { next: op.value };
        case 'cas': {
          const fits = state === op.from;
          if (op.ok !== null && op.ok !== fits) return null;
          return { next: fits ? op.to : state };
        }
      }
    },
    keyOf: (state) => (state === null ? '' : `=${state}`),
  };
}

// ------------------------------------------------------------------------------------------ text by key

export type TextOp =
  | { readonly kind: 'get'; readonly key: string; readonly value: string }
  | { readonly kind: 'put' | 'append'; readonly key: string; readonly value: string };

/** One key of a store of texts; to be used with `partition`. */
export const textModel: Model<string, TextOp> = {
  initial: '',
  step(state, op) {
    switch (op.kind) {
      case 'get':
        return op.value === state ? { next: state } : null;
      case 'put':
        return { next: op.value };
      case 'append':
        return { next: state + op.value };
    }
  },
  keyOf: (state) => state,
};

// ------------------------------------------------------------------------------------------ a phase run as register

/** What a phase run is to those who share it: the attempt that holds it, and the checkpoint. */
export interface Fenced {
  readonly attempt: number;
  readonly value: string;
}

export type FencedOp =
  | { readonly kind: 'read'; readonly register: string; readonly attempt: number; readonly value: string }
  /** In the name of `attempt`, which must still hold the run. `ok` null: unknown. */
  | {
      readonly kind: 'write';
      readonly register: string;
      readonly attempt: number;
      readonly value: string;
      readonly ok: boolean | null;
    }
  /** Compare and set of the attempt: from `from` to the next. */
  | { readonly kind: 'take'; readonly register: string; readonly from: number; readonly ok: boolean | null };

export const fencedModel: Model<Fenced, FencedOp> = {
  initial: { attempt: 0, value: '' },
  step(state, op) {
    switch (op.kind) {
      case 'read':
        return op.attempt === state.attempt && op.value === state.value ? { next: state } : null;
      case 'write': {
        const fits = op.attempt === state.attempt;
        if (op.ok !== null && op.ok !== fits) return null;
        return { next: fits ? { attempt: state.attempt, value: op.value } : state };
      }
      case 'take': {
        const fits = op.from === state.attempt;
        if (op.ok !== null && op.ok !== fits) return null;
        return { next: fits ? { attempt: state.attempt + 1, value: state.value } : state };
      }
    }
  },
  keyOf: ({ attempt, value }) => `${attempt} ${value}`,
};
