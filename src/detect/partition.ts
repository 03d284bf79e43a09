/**
 * When a member is PARTITIONED (D5): it had no contact with a majority for the whole window. Contact of a leader: a majority
 * answers it; of anybody else: it hears a leader, which has a majority or steps down. Pure: time is handed in.
 *
 * PW1  Contact ends the partition at the next tick; the votes of a majority are contact.
 * PW2  Time in which this process itself stood still does not count towards the window: nobody was heard because nobody listened.
 *      Once PARTITIONED it counts: the duration is that of the silence.
 * PW3  While PARTITIONED the log does not grow: it takes nothing before a leader of its term or a later one is heard, which is
 *      contact. Raft's terms see to it (an append of an older term is refused, a candidate appends nothing); this asserts it.
 */
import { assert } from '../types/assert.ts';

export interface Contact {
  /** Of this process, monotonic, milliseconds. */
  readonly nowMs: number;
  /** Tick of the core at which there was contact last; rises with each contact. null: the member belongs to no cluster. */
  readonly contactTick: number | null;
  /** Last entry of the log. */
  readonly lastIndex: number;
  /** The member leads: it steps down before it is PARTITIONED, because a leader appends. */
  readonly leading: boolean;
}

export class PartitionWatch {
  readonly #windowMs: number;
  readonly #stallMs: number;
  #lastMs: number | null = null;
  #contactMs = 0;
  #contactTick = -1;
  /** Where the log ended when the member became PARTITIONED; null: it is not. */
  #lastIndex: number | null = null;
  #durationMs = 0;
  #partitions = 0;
  /** It was elected since the last look: a majority has answered, whatever became of it meanwhile. */
  #elected = false;

  /** `windowMs`: no contact for so long. `stallMs`: a longer gap between two looks is a stall of this process. */
  constructor(windowMs: number, stallMs: number) {
    assert(windowMs > 0, `a window is positive: ${windowMs}`);
    this.#windowMs = windowMs;
    this.#stallMs = stallMs;
  }

  get partitioned(): boolean {
    return this.#lastIndex !== null;
  }
  /** Times that it became PARTITIONED. */
  get partitions(): number {
    return this.#partitions;
  }
  /** From the last contact to now while PARTITIONED, else to the contact that ended the last partition; 0: there was none. */
  get durationMs(): number {
    return this.#durationMs;
  }

  /** The member was elected. It may append at once, and have stepped down before the next look. */
  elected(): void {
    this.#elected = true;
  }

  /** With each tick of the member. */
  observe({ nowMs, contactTick, lastIndex, leading }: Contact): void {
    const gapMs = this.#lastMs === null ? 0 : nowMs - this.#lastMs;
    const first = this.#lastMs === null;
    this.#lastMs = nowMs;
    const contact = first || this.#elected || contactTick === null || contactTick > this.#contactTick;
    this.#elected = false;
    if (contactTick !== null && contactTick > this.#contactTick) this.#contactTick = contactTick;
    if (contact) {
      if (this.partitioned) this.#durationMs = nowMs - this.#contactMs;
      this.#contactMs = nowMs;
      this.#lastIndex = null;
      return;
    }
    if (!this.partitioned && gapMs > this.#stallMs) this.#contactMs += gapMs;
    const silentMs = nowMs - this.#contactMs;
    if (!this.partitioned && !leading && silentMs >= this.#windowMs) {
      this.#lastIndex = lastIndex;
      this.#partitions += 1;
    }
    if (this.#lastIndex === null) return;
    assert(lastIndex <= this.#lastIndex, `PW3: the log grew to ${lastIndex} while PARTITIONED`);
    this.#durationMs = silentMs;
  }
}
