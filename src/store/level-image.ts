/** A consistent image of one stream: a LevelDB snapshot, which writes do not touch. */

import type { SnapshotMark } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import type { StreamId } from '../types/ids.ts';
import type { Database, Page, Snapshot } from './database.ts';
import type { IndexRecord } from './layout.ts';
import { describe } from './store-error.ts';
import type { RowPosition, StoreImage } from './types.ts';

export class LevelImage implements StoreImage {
  readonly mark: SnapshotMark;
  readonly bytesEstimate: number;
  readonly #database: Database;
  readonly #stream: StreamId;
  readonly #generation: number;
  readonly #snapshot: Snapshot;
  readonly #onClose: (image: LevelImage) => void;
  #closing: Promise<void> | null = null;

  constructor(
    path: string,
    database: Database,
    stream: StreamId,
    { mark, generation }: IndexRecord,
    bytesEstimate: number,
    onClose: (image: LevelImage) => void,
  ) {
    this.mark = mark;
    this.bytesEstimate = bytesEstimate;
    this.#database = database;
    this.#stream = stream;
    this.#generation = generation;
    this.#onClose = onClose;
    try {
      this.#snapshot = database.snapshot();
    } catch (cause) {
      throw describe(path, cause);
    }
  }

  read(after: RowPosition | null, bytesMax: number): Promise<Page> {
    assert(this.#closing === null, 'the image is open');
    return this.#database.page(this.#stream, this.#generation, after, bytesMax, this.#snapshot);
  }

  close(): Promise<void> {
    this.#closing ??= this.#snapshot.close().finally(() => this.#onClose(this));
    return this.#closing;
  }
}
