/** Appends that a follower has not acknowledged yet: a ring, bounded in messages and bytes. */
import { assert } from '../types/assert.ts';
import type { LogIndex } from '../types/ids.ts';

export class Inflight {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  readonly #lastIndexes: number[];
  readonly #sizes: number[];
  #head = 0;
  #count = 0;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    assert(messagesMax > 0 && bytesMax > 0, 'the in-flight window holds something');
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
    this.#lastIndexes = new Array<number>(messagesMax).fill(0);
    this.#sizes = new Array<number>(messagesMax).fill(0);
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#bytes;
  }
  /** True when nothing more may be sent. The message that reaches the bound in bytes may go past it. */
  get full(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: LogIndex, bytes: number): void {
    assert(!this.full, 'nothing is sent into a full window');
    const at = (this.#head + this.#count) % this.#messagesMax;
    this.#lastIndexes[at] = lastIndex;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees every message that ends at or before `index`. */
  freeTo(index: LogIndex): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#head] as number) <= index) {
      this.#bytes -= this.#sizes[this.#head] as number;
      this.#head = (this.#head + 1) % this.#messagesMax;
      this.#count--;
    }
  }

  clear(): void {
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
