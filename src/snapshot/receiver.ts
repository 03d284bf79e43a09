/**
 * The receiving side of a transfer: chunks in, staged rows out. Without timers or network.
 *
 * Invariants:
 * RC1  What is staged comes from one transfer: the first chunk of another one discards it.
 * RC2  A chunk is staged once, and only after the one before it.
 */
import type { StoredRow } from '../machine/types.ts';
import type { SnapshotChunk } from '../node/types.ts';
import type { SnapshotMark } from '../raft/types.ts';
import type { Staging } from '../store/types.ts';
import { must } from '../types/assert.ts';
import { decodeChunk } from './chunk.ts';

/**
 * `continue`: staged, now or before; send `next`. `gap`: send `next` instead (0: nothing of this transfer is here). `bad`: damaged,
 * contradictory, or of a leader that was replaced; nothing was done with it. `complete`: the last one is staged; said once.
 */
export interface Acceptance {
  readonly outcome: 'continue' | 'complete' | 'gap' | 'bad';
  readonly next: number;
}

export interface ReceivedImage {
  readonly mark: SnapshotMark;
  readonly staging: Staging;
}

interface Transfer {
  readonly id: number;
  readonly term: number;
  readonly mark: SnapshotMark;
  readonly staging: Staging;
  next: number;
  complete: boolean;
}

export class SnapshotReceiver {
  readonly #stage: () => Promise<Staging>;
  #transfer: Transfer | null = null;
  #tail: Promise<unknown> = Promise.resolve();

  /** `stage`: `Store.stage` of the stream. */
  constructor(stage: () => Promise<Staging>) {
    this.#stage = stage;
  }

  /**
   * Chunks are taken in the order of the calls. Rejects when they cannot be staged; after `no_space` the same chunk may come
   * again, after anything else the store has failed.
   */
  accept(chunk: SnapshotChunk): Promise<Acceptance> {
    return this.#run(() => this.#accept(chunk));
  }

  /** What came in completely; null before, and after `discard`. */
  get image(): ReceivedImage | null {
    const transfer = this.#transfer;
    return transfer?.complete ? { mark: transfer.mark, staging: transfer.staging } : null;
  }

  /** Throws away what is staged. To be called after the image was installed, too: the next transfer begins with nothing. */
  discard(): Promise<void> {
    return this.#run(async () => {
      const transfer = this.#transfer;
      this.#transfer = null;
      await transfer?.staging.discard();
    });
  }

  async #accept(chunk: SnapshotChunk): Promise<Acceptance> {
    const { sequence, transferId } = chunk;
    const before = this.#transfer;
    const ours = before?.id === transferId ? before : null;
    if (before !== null && (chunk.term < before.term || (ours !== null && !sameImage(ours, chunk)))) {
      return { outcome: 'bad', next: ours?.next ?? 0 };
    }
    if (ours === null && sequence !== 0) return { outcome: 'gap', next: 0 };
    if (ours !== null && sequence < ours.next) return { outcome: 'continue', next: ours.next };
    if (ours !== null && (ours.complete || sequence > ours.next)) return { outcome: 'gap', next: ours.next };
    const decoded = decodeChunk(chunk.data);
    if (decoded === null) return { outcome: 'bad', next: ours?.next ?? 0 };
    return this.#add(ours ?? (await this.#begin(chunk)), decoded.rows, chunk.last);
  }

  async #begin({ transferId, term, mark }: SnapshotChunk): Promise<Transfer> {
    this.#transfer = null;
    const staging = await this.#stage();
    this.#transfer = { id: transferId, term, mark, staging, next: 0, complete: false };
    return must(this.#transfer, 'the transfer that begins');
  }

  async #add(transfer: Transfer, rows: readonly StoredRow[], last: boolean): Promise<Acceptance> {
    await transfer.staging.add(rows);
    transfer.next += 1;
    transfer.complete = last;
    return { outcome: last ? 'complete' : 'continue', next: transfer.next };
  }

  #run<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(action);
    this.#tail = done.catch(() => undefined);
    return done;
  }
}

function sameImage(transfer: Transfer, { term, mark }: SnapshotChunk): boolean {
  return term === transfer.term && mark.index === transfer.mark.index && mark.term === transfer.mark.term;
}
