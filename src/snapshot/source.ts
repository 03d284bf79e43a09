/** The sending side of a transfer: an image of the store as numbered chunks. Without timers or network. */
import type { SnapshotMark } from '../raft/types.ts';
import type { RowPosition, StoreImage } from '../store/types.ts';
import { assert } from '../types/assert.ts';
import { SNAPSHOT_CHUNK_BYTES } from '../types/limits.ts';
import { encodeChunk } from './chunk.ts';

export interface SourceChunk {
  readonly data: Uint8Array;
  /** No chunk comes after it. */
  readonly last: boolean;
}

export class SnapshotSource {
  readonly #image: StoreImage;
  readonly #chunkBytes: number;
  /** Where the chunks from the acknowledged one on begin, as far as they are known. The first one begins at the first row. */
  readonly #starts = new Map<number, RowPosition | null>([[0, null]]);
  #known = 0;

  /** Takes the image over. */
  constructor(image: StoreImage, chunkBytes: number = SNAPSHOT_CHUNK_BYTES) {
    this.#image = image;
    this.#chunkBytes = chunkBytes;
  }

  get mark(): SnapshotMark {
    return this.#image.mark;
  }

  /**
   * Chunk `sequence`: the one after the highest that was asked for, any that was not acknowledged, or the first one again
   * (the receiver began anew). The same bytes each time. null: none of these; only another transfer can help.
   */
  async chunk(sequence: number): Promise<SourceChunk | null> {
    const start = sequence === 0 ? null : this.#starts.get(sequence);
    if (start === undefined) return null;
    const { rows, next } = await this.#image.read(start, this.#chunkBytes);
    if (next !== null) {
      this.#starts.set(sequence + 1, next);
      this.#known = Math.max(this.#known, sequence + 1);
    }
    return { data: encodeChunk(rows), last: next === null };
  }

  /** The receiver has all chunks before `next`: they are not asked for again. */
  acknowledged(next: number): void {
    assert(Number.isSafeInteger(next) && next >= 0, 'a chunk number');
    for (const sequence of this.#starts.keys())
      if (sequence < Math.min(next, this.#known)) this.#starts.delete(sequence);
  }

  close(): Promise<void> {
    return this.#image.close();
  }
}
