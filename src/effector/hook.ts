/**
 * How a compensator is called, whatever it is. A hook carries out the effect's undoing once for each key, however often it is
 * called, and refuses a token that is lower than the highest it has seen for the loop and phase (L2, V4).
 */
import type { FencingToken } from '../types/ids.ts';

/** Longest text that is kept of what went wrong, UTF-16 code units. */
const ERROR_LENGTH_MAX = 300;
/** Largest answer of a hook or a webhook, bytes: nothing in it is needed but a short JSON object. */
export const ANSWER_BYTES_MAX = 64 * 1024;

export interface CompensationCall {
  /** URL, host:port or name of a queue; see `Compensator` of the ledger. */
  readonly target: string;
  /** Idempotency key of the effect. */
  readonly key: string;
  /** Of the recovery lock. */
  readonly token: FencingToken;
  /** Which try this is, from 1. */
  readonly attempt: number;
  /** For the whole call, milliseconds from now. */
  readonly deadlineMs: number;
  /** false: only the intent is on record. */
  readonly confirmed: boolean;
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly traceId: string;
  readonly payload: string;
}

export type CallOutcome =
  | { readonly kind: 'done' }
  /** The receiver has seen a higher token, and did nothing. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'failed'; readonly error: string };

export interface Hook {
  /** Ends by the deadline or soon after `signal` fires, whatever the other side does. Never rejects. */
  call(call: CompensationCall, signal: AbortSignal): Promise<CallOutcome>;
}

/** One line without control characters and half characters, short enough for a record. */
export function errorText(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  const short = line.length <= ERROR_LENGTH_MAX ? line : `${line.slice(0, ERROR_LENGTH_MAX - 1)}…`;
  return short.replaceAll(/\p{Surrogate}/gu, '\ufffd');
}

export function failed(error: string): CallOutcome {
  return { kind: 'failed', error: errorText(error) };
}
