/**
 * Which failures may be retried. The rules that keep a mutation from being carried out twice:
 * R1  A mutation whose outcome is unknown is sent again only under the same session and sequence number.
 * R2  A definite refusal by a member (it was certainly not carried out) is retried in any case.
 * R3  Once an outcome was unknown, only an answer from the replicated state makes it known again: running out of
 *     time, or a session that has forgotten, leaves it unknown.
 */
import { unreachable } from '../types/assert.ts';
import { isStateReason, MEMBER_REASONS, type QuorateError, type QuorateReason } from './errors.ts';

/**
 * `read`: changes nothing. `session`: named by session and sequence. `unprotected`: neither.
 * `repeatable`: twice does no harm (opening a session: the extra one expires).
 */
export type Safety = 'read' | 'repeatable' | 'session' | 'unprotected';

/** One failed try. */
export type Failure =
  /** A member refused it, or it never left: certainly not carried out by this try. */
  | {
      readonly kind: 'refused';
      readonly error: QuorateError;
      readonly leaderAddress: string | null;
      readonly silent?: true;
    }
  /**
   * `answered`: a member says so; otherwise the connection or the time broke off after it was sent. `silent`: it may only be held up by one
   * before it, which says nothing of the member: that is to be asked.
   */
  | { readonly kind: 'unknown'; readonly error: QuorateError; readonly answered: boolean; readonly silent?: true };

export type Verdict = 'retry' | 'fail' | 'indeterminate';

const RETRIABLE: ReadonlySet<QuorateReason> = new Set<QuorateReason>([...MEMBER_REASONS, 'UNAVAILABLE']);

/**
 * Answers that say nothing of the first try (R3): of a session that has forgotten it, or of a gateway that refused this
 * try by its form (another version of it may have let the first one pass).
 */
const NO_NEWS: ReadonlySet<QuorateReason> = new Set<QuorateReason>([
  'SESSION_EXPIRED',
  'SESSION_SEQUENCE_FORGOTTEN',
  'INVALID_ARGUMENT',
]);

/** `doubt`: an earlier try of the same request has an unknown outcome. */
export function judge(failure: Failure, safety: Safety, doubt: boolean): Verdict {
  if (failure.kind === 'unknown') return safety === 'unprotected' ? 'indeterminate' : 'retry';
  const { reason } = failure.error;
  if (RETRIABLE.has(reason)) return 'retry';
  if (!doubt || safety === 'read' || safety === 'repeatable') return 'fail';
  // The state answered this very request: what it says holds for the first try too.
  return isStateReason(reason) && !NO_NEWS.has(reason) ? 'fail' : 'indeterminate';
}

/** Whether running out of time leaves the outcome unknown. */
export function doubtMatters(safety: Safety): boolean {
  switch (safety) {
    case 'session':
    case 'unprotected':
      return true;
    case 'read':
    case 'repeatable':
      return false;
    default:
      return unreachable(safety, 'safety');
  }
}

/**
 * A mutation that was only refused so far is not sent again with less time left than this, milliseconds: an answer that
 * comes too late would put in doubt what is certain.
 */
export const LAST_TRY_MIN_MS = 100;

export const BACK_OFF_BASE_MS = 10;
export const BACK_OFF_MAX_MS = 250;

/**
 * Refusals whose time hint is obeyed: waiting helps. Where one member has no leader or no quorum, another may have one
 * already, so that asking around early is what ends the outage for this caller.
 */
const HINTED: ReadonlySet<QuorateReason> = new Set<QuorateReason>([
  'OVERLOADED',
  'NO_SPACE',
  'WATCH_TOO_SLOW',
  'LIMIT_EXCEEDED',
]);

/**
 * How long to wait before try `tries` + 1, milliseconds: full jitter below an exponential cap; a hint is a lower
 * bound, stretched by up to a half so that those who were refused together do not return together.
 */
export function backOffMs(tries: number, error: QuorateError | null, random: () => number): number {
  const jittered = random() * Math.min(BACK_OFF_MAX_MS, BACK_OFF_BASE_MS * 2 ** Math.min(tries, 16));
  const hintMs = error !== null && HINTED.has(error.reason) ? error.retryAfterMs : null;
  return hintMs === null ? jittered : hintMs * (1 + random() / 2);
}

/** A stream that broke sooner than this after it began, milliseconds, was of no use: whoever ends it at once would otherwise be asked at once, for ever. */
export const STREAM_LASTED_MS = 1_000;

/** Streams that broke one after the other, for {@link backOffMs}: one that lasted starts the count anew, one that only began does not. */
export class BrokenStreams {
  #count = 0;
  #begunMs: number | null = null;

  /** The first message of a stream is there; later ones change nothing. */
  begun(nowMs: number): void {
    this.#begunMs ??= nowMs;
  }

  /** It broke, or never came to be. How many did before it. */
  broke(nowMs: number): number {
    if (this.#begunMs !== null && nowMs - this.#begunMs >= STREAM_LASTED_MS) this.#count = 0;
    this.#begunMs = null;
    return this.#count++;
  }
}
