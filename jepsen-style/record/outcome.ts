/** How a call that failed is written down: `fail` only where the client promises that nothing was done. */
import { IndeterminateError, QuorateError } from '../../src/client/client.ts';

export interface Failure {
  readonly type: 'fail' | 'info';
  /** The reason, or what is known of it. */
  readonly error: string;
}

/** Reasons that tell of a try that had no answer, or of a bug: what became of the call is not known. */
const UNKNOWN: ReadonlySet<string> = new Set(['UNAVAILABLE', 'INTERNAL', 'UNKNOWN']);

export function mutationFailure(error: unknown): Failure {
  if (error instanceof IndeterminateError) return { type: 'info', error: 'INDETERMINATE' };
  if (error instanceof QuorateError) return { type: UNKNOWN.has(error.reason) ? 'info' : 'fail', error: error.reason };
  return { type: 'info', error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}

/** A read that fails has no effect, whatever the reason. */
export function readFailure(error: unknown): Failure {
  return { type: 'fail', error: mutationFailure(error).error };
}
