/** How much memory V8 takes for what lives in it. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * By how much the heap may grow over what lives in it before it is collected, percent. V8's own choice on a large machine
 * lets garbage of a loaded leader grow to several times its state (measured: 75 MiB alive in 595 MiB; A5).
 */
const GROWING_PERCENT = 50;
/** Above this, bytes, what loading left is a small part of the heap, and to look for it would take long. */
const TRIM_BYTES_MAX = 128 * 1024 * 1024;

/** To be called before the state is loaded. */
export function limitHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT}`);
}

/**
 * Gives back what loading has left behind, once: about 35 MiB of 140 with Node.js 24 (issue 6), for some 80 ms. Nothing else runs
 * meanwhile, so it is for the time before the member takes part.
 */
export function trimHeap(): void {
  if (process.memoryUsage().heapUsed > TRIM_BYTES_MAX) return;
  // Only contexts that are made after the flag have the function.
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
