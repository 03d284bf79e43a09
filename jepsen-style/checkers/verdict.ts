/** What a checker says of a run. */
import type { Operation } from './operation.ts';

export interface Verdict {
  /** Which rule was held against the history. */
  readonly checker: string;
  readonly workload: string;
  /** `unknown`: there was nothing to decide on, or a bound on time or memory was reached. Never a guess. */
  readonly valid: true | false | 'unknown';
  /** One line for people. */
  readonly detail: string;
  /** `Evidence` where `valid` is false. */
  readonly evidence?: unknown;
}

/** Few operations that show the violation by themselves, in the order of their calls. */
export interface Evidence {
  readonly kind: 'history';
  readonly title: string;
  readonly operations: readonly Operation[];
  /** `index` of the operations that cannot be placed. */
  readonly stuck: readonly number[];
}

export function isEvidence(value: unknown): value is Evidence {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'history';
}

/** A rule that was broken, and the operations that show it. */
export interface Violation {
  readonly what: string;
  readonly operations: readonly Operation[];
  /** `index` of the operations that are wrong; the others show why. */
  readonly stuck: readonly number[];
}

const SHOWN_MAX = 3;

/** Puts the violations of one checker into one verdict; the first of them is the evidence. `done` says what was looked at. */
export function verdictOf(
  name: { readonly checker: string; readonly workload: string },
  violations: readonly Violation[],
  checked: number,
  done: string,
): Verdict {
  const first = violations[0];
  if (first !== undefined) {
    const shown = violations.slice(0, SHOWN_MAX).map(({ what }) => what);
    const more = violations.length > SHOWN_MAX ? `; and ${violations.length - SHOWN_MAX} more` : '';
    const evidence: Evidence = {
      kind: 'history',
      title: first.what,
      operations: first.operations.toSorted((a, b) => a.index - b.index),
      stuck: first.stuck,
    };
    return { ...name, valid: false, detail: `${shown.join('; ')}${more}`, evidence };
  }
  if (checked === 0) return { ...name, valid: 'unknown', detail: `nothing to check: ${done}` };
  return { ...name, valid: true, detail: done };
}
