/** One call with all its tries: where to send it, whether to send it again, when to give up. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Channels } from './channels.ts';
import { IndeterminateError, QuorateError } from './errors.ts';
import { backOffMs, doubtMatters, type Failure, judge, LAST_TRY_MIN_MS, type Safety } from './retry.ts';
import type { Router } from './router.ts';

export interface Call<I extends DescMessage, O extends DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  /** Made anew for each try: what was acknowledged meanwhile changes, the sequence does not. */
  readonly request: () => MessageInitShape<I>;
  readonly safety: Safety;
  readonly deadlineMs: number;
  /** Every member answers it by itself: they are asked in turn. */
  readonly inTurn?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** An earlier call of the same request ended with an unknown outcome. */
  readonly doubt?: boolean;
  /** What `IndeterminateError.retry` does; null: nothing safe can be done. */
  readonly retry?: (() => Promise<unknown>) | null;
}

/** Time for the first try, milliseconds, doubled after each that had no answer: one member must not use up it all. */
const TRY_MS = 1_000;
export interface CallerDeps {
  readonly channels: Channels;
  readonly router: Router;
  readonly nowMs: () => number;
  readonly random: () => number;
}

/** Waits; ends early when the signal fires. The timer keeps the process alive, because a call is under way. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

function isOver(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

export class Caller {
  readonly #deps: CallerDeps;

  constructor(deps: CallerDeps) {
    this.#deps = deps;
  }

  /**
   * Resolves with the answer. Rejects with {@link QuorateError} (certainly not carried out), {@link IndeterminateError}
   * (unknown), or the signal's reason when nothing was sent before it fired.
   */
  async call<I extends DescMessage, O extends DescMessage>(call: Call<I, O>): Promise<MessageShape<O>> {
    const { channels, router, nowMs } = this.#deps;
    const endMs = nowMs() + call.deadlineMs;
    let doubt = call.doubt ?? false;
    let last: QuorateError | null = null;
    let tryMs = call.safety === 'unprotected' ? call.deadlineMs : TRY_MS;
    for (let tries = 0; ; tries++) {
      const address = call.inTurn === true ? router.pickInTurn() : await router.pick();
      const leftMs = endMs - nowMs();
      const certain = last !== null && !doubt && doubtMatters(call.safety);
      const over = leftMs <= (certain ? LAST_TRY_MIN_MS : 0);
      if (isOver(call.signal) || over || channels.closed) throw this.#giveUp(call, doubt, last);
      if (address === null) {
        await pause(Math.min(leftMs, backOffMs(tries, null, this.#deps.random)), call.signal);
        continue;
      }
      const time = { tryMs: Math.min(tryMs, leftMs), leftMs };
      const answer = await channels.unary(address, call.method, call.request(), time, call.signal);
      if (answer.ok) {
        router.succeeded(address);
        return answer.value;
      }
      const failure = answer.error;
      // Whoever gave it up says nothing of the member.
      if (!isOver(call.signal)) router.failed(address, failure);
      last = failure.error;
      const verdict = judge(failure, call.safety, doubt);
      if (failure.kind === 'unknown') {
        doubt = true;
        if (failure.silent !== true) tryMs *= 2;
      }
      if (verdict === 'fail') throw last;
      if (verdict === 'indeterminate') throw this.#giveUp(call, true, last);
      await pause(this.#waitMs(failure, tries, endMs), call.signal);
    }
  }

  #waitMs(failure: Failure, tries: number, endMs: number): number {
    // Told who leads: ask at once, the first time.
    if (failure.kind === 'refused' && failure.leaderAddress !== null && tries === 0) return 0;
    const waitMs = backOffMs(tries, failure.error, this.#deps.random);
    return Math.max(0, Math.min(waitMs, endMs - this.#deps.nowMs()));
  }

  #giveUp<I extends DescMessage, O extends DescMessage>(call: Call<I, O>, doubt: boolean, last: Error | null): unknown {
    const aborted = isOver(call.signal);
    if (doubt && doubtMatters(call.safety)) {
      const why = aborted ? 'the call was given up' : (last?.message ?? 'no answer came');
      const hint = call.retry == null ? 'look at the state before you try again' : 'retry() is safe';
      const message = `${call.method.name}: it is not known whether this was carried out (${why}); ${hint}`;
      return new IndeterminateError(message, call.retry ?? null, aborted ? call.signal?.reason : last);
    }
    if (aborted) return call.signal?.reason;
    if (last instanceof QuorateError) return last;
    const message = `${call.method.name}: no answer within ${call.deadlineMs} ms; check --endpoints and that the members run`;
    return new QuorateError({ reason: 'UNAVAILABLE', message, cause: last });
  }
}
