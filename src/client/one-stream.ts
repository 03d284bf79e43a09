/** A stream that comes from one member, of one moment: it does not go on at another member, it starts anew. */
import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type Channels, toFailure } from './channels.ts';
import { QuorateError } from './errors.ts';
import { backOffMs, type Failure, judge } from './retry.ts';
import type { Router } from './router.ts';

export interface OneStreamDeps {
  readonly channels: Channels;
  readonly router: Router;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Until the first message, milliseconds. */
  readonly deadlineMs: number;
}

/** A member that says nothing for so long is given up, milliseconds: a stream has no deadline of its own. */
const SILENCE_MS = 30_000;

/** What was taken is complete only when the iteration ends without an error. Throws {@link QuorateError}, or the signal's reason. */
export async function* messagesOfOne<I extends DescMessage, O extends DescMessage>(
  deps: OneStreamDeps,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<O>, void, undefined> {
  const endMs = deps.nowMs() + deps.deadlineMs;
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted();
    const address = deps.router.pickInTurn();
    let begun = false;
    try {
      for await (const message of attempt(deps, method, request, address, signal)) {
        begun = true;
        deps.router.succeeded(address);
        yield message;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BrokenOff)) throw error;
      const { failure } = error;
      deps.router.failed(address, failure);
      // What was begun is not mixed with what is of another moment.
      if (begun || deps.nowMs() >= endMs || judge(failure, 'read', false) !== 'retry') throw failure.error;
      await new Promise((resolve) => setTimeout(resolve, backOffMs(tries, failure.error, deps.random)));
    }
  }
}

class BrokenOff extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message);
    this.failure = failure;
  }
}

async function* attempt<I extends DescMessage, O extends DescMessage>(
  { channels }: OneStreamDeps,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  address: string,
  signal: AbortSignal,
): AsyncGenerator<MessageShape<O>, void, undefined> {
  const opened = await channels.stream(address, method, request, signal);
  if (!opened.ok) throw new BrokenOff(opened.error);
  const stream = opened.value;
  let silent = false;
  const onSilence = (): void => {
    silent = true;
    stream.cancel();
  };
  const onAbort = (): void => stream.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) stream.cancel();
  let timer = setTimeout(onSilence, SILENCE_MS);
  let begun = false;
  try {
    for await (const message of stream) {
      clearTimeout(timer);
      // How long the caller takes for a message is the caller's business.
      begun = true;
      yield message as MessageShape<O>;
      timer = setTimeout(onSilence, SILENCE_MS);
    }
    if (!begun) throw new Error('the member sent nothing');
  } catch (error) {
    if (!silent) throw new BrokenOff(toFailure(error, address));
    const message = `${address}: the member sent nothing for ${SILENCE_MS} ms`;
    throw new BrokenOff({
      kind: 'unknown',
      error: new QuorateError({ reason: 'UNAVAILABLE', message, cause: error }),
      answered: false,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    stream.cancel();
  }
}
