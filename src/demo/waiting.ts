/** Waiting for what must come: with an end, and cut short when the demo is. */
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 25;

export interface Expectation {
  /** Named in the error when it does not come. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves as `promise` does. Rejects with the signal's reason when that fires, and when time is up. */
export async function within<Result>(promise: Promise<Result>, expected: Expectation): Promise<Result> {
  const { what, timeoutMs, signal } = expected;
  let end: () => void = () => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    const timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
    end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    end();
  }
}

/** Looks again and again until there is something to see. Rejects as {@link within} does, and with what `look` throws. */
export async function until<Result>(look: () => Promise<Result | null>, expected: Expectation): Promise<Result> {
  const { what, timeoutMs, signal } = expected;
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const seen = await look();
    if (seen !== null) return seen;
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(POLL_MS);
  }
}
