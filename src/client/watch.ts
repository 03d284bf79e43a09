/**
 * A watch that survives broken connections and changes of member.
 * V1  `#next` is above every revision that was delivered, and only whole revisions are delivered (P4): so a new stream
 *     from `#next` on neither repeats nor leaves out anything.
 */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { type WatchResponse, WatchService } from '../gen/quorate/v1/watch_pb.ts';
import { type Channels, toFailure } from './channels.ts';
import { toNumber, toWatchEvent } from './convert.ts';
import { CompactedError, QuorateError } from './errors.ts';
import { BrokenStreams, backOffMs, type Failure } from './retry.ts';
import type { Router } from './router.ts';
import type { WatchEvent, WatchOptions } from './types.ts';

export interface WatchDeps {
  readonly channels: Channels;
  readonly router: Router;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** How long the first connection may take. Once a watch has begun it never gives up by itself. */
  readonly deadlineMs: number;
}

/** Fires the abort listener when the wait is over, whichever way. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

export async function* watchEvents(
  deps: WatchDeps,
  options: WatchOptions,
): AsyncGenerator<WatchEvent, void, undefined> {
  const signal = options.signal ?? new AbortController().signal;
  const startedMs = deps.nowMs();
  let next = options.fromRevision ?? 0;
  let begun = false;
  const broken = new BrokenStreams();
  while (!signal.aborted) {
    if (deps.channels.closed) throw new QuorateError({ reason: 'UNAVAILABLE', message: 'this client is closed' });
    const address = await deps.router.pickAny();
    const request = { fromRevision: BigInt(next), loop: options.loop ?? '' };
    const opened = await deps.channels.stream(address, WatchService.method.watch, request, signal);
    let failure: Failure | null = null;
    if (opened.ok) {
      for await (const item of responses(opened.value, address, signal)) {
        if ('failure' in item) {
          failure = item.failure;
          break;
        }
        begun = true;
        broken.begun(deps.nowMs());
        deps.router.succeeded(address);
        for (const event of item.response.events) {
          if (toNumber(event.revision) >= next) yield toWatchEvent(event);
        }
        next = Math.max(next, toNumber(item.response.revision) + 1);
        options.onRevision?.(next - 1);
      }
    } else {
      failure = opened.error;
    }
    if (signal.aborted) return;
    if (failure !== null) {
      deps.router.failed(address, failure);
      throwIfFinal(failure, !begun && deps.nowMs() - startedMs > deps.deadlineMs);
    }
    await pause(backOffMs(broken.broke(deps.nowMs()), failure?.error ?? null, deps.random), signal);
  }
}

function throwIfFinal(failure: Failure, outOfTime: boolean): void {
  const { error } = failure;
  if (error.details.reason === 'COMPACTED') throw new CompactedError(Number(error.details.first_revision));
  if (outOfTime) throw error;
  if (failure.kind === 'refused' && (error.reason === 'INVALID_ARGUMENT' || error.reason === 'UNKNOWN')) throw error;
}

type Item = { readonly response: WatchResponse } | { readonly failure: Failure };

/** The messages of one stream, and its error as a last item. Leaves no stream open, however it ends. */
async function* responses(
  stream: ClientReadableStream<WatchResponse>,
  address: string,
  signal: AbortSignal,
): AsyncGenerator<Item, void, undefined> {
  const onAbort = (): void => stream.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) stream.cancel();
  try {
    for await (const response of stream) yield { response: response as WatchResponse };
    yield { failure: closedBy(address) };
  } catch (error) {
    yield { failure: toFailure(error, address) };
  } finally {
    signal.removeEventListener('abort', onAbort);
    stream.cancel();
  }
}

function closedBy(address: string): Failure {
  const message = `${address}: the watch was closed by the member`;
  return { kind: 'unknown', error: new QuorateError({ reason: 'UNAVAILABLE', message }), answered: false };
}
