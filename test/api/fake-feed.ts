/** A feed of events that a test pushes. */
import type { WatchFeed } from '../../src/node/types.ts';

type Batch = Awaited<ReturnType<WatchFeed['next']>>;

/** Gives out the batches that the test pushes. */
export class FakeFeed implements WatchFeed {
  readonly #batches: Batch[] = [];
  #waiting: ((batch: Batch) => void) | null = null;
  taken = 0;
  closed = false;

  push(batch: Batch): void {
    this.#batches.push(batch);
    this.#offer();
  }

  next(): Promise<Batch> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#offer();
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.push({ kind: 'closed' });
  }

  #offer(): void {
    const resolve = this.#waiting;
    const batch = resolve === null ? undefined : this.#batches.shift();
    if (resolve === null || batch === undefined) return;
    this.#waiting = null;
    this.taken += 1;
    resolve(batch);
  }
}
