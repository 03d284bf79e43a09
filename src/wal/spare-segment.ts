/**
 * The segment after the one in use: prepared ahead, so that the change does not stall the hot path, and what happens when
 * the disk has no room for it (W5). Then the log says so while the rest of the segment in use is left as a reserve; what does not
 * fit that either waits until there is room again, or is rejected where nobody looks for room.
 */
import { DiskError } from '../ports/disk.ts';
import type { Segment } from './segment.ts';

/** The log is told of room lost and found, and of what ends it. */
export interface SpareObserver {
  readonly space: (low: boolean) => void;
  readonly fail: (error: unknown) => void;
}

export class SpareSegment {
  readonly #create: () => Promise<Segment>;
  readonly #observe: SpareObserver;
  #segment: Segment | null;
  #preparing: Promise<unknown> | null = null;
  #low = false;
  #wake: (() => void) | null = null;
  /** Somebody looks for room: who finds none may wait for it. */
  #waits = false;

  constructor(segment: Segment | null, create: () => Promise<Segment>, observe: SpareObserver) {
    this.#segment = segment;
    this.#create = create;
    this.#observe = observe;
  }

  /** No room for another segment. */
  get low(): boolean {
    return this.#low;
  }

  /** What is under way, or null. */
  get busy(): Promise<unknown> | null {
    return this.#preparing;
  }

  /** Prepares the next segment unless there is one, or there was no room for it lately. */
  prepareAhead(): void {
    if (this.#segment === null && this.#preparing === null && !this.#low) void this.#prepare();
  }

  /** Tries again. Resolves with whether room is still missing. */
  async probe(): Promise<boolean> {
    if (this.#low && this.#waits) await this.#prepare();
    return this.#low;
  }

  /** The next segment, when there is room for it; null when `failed` says that the log has ended. */
  async take(failed: () => boolean): Promise<Segment | null> {
    for (;;) {
      const refused = await this.#preparing;
      if (failed()) return null;
      if (this.#segment !== null) break;
      if (this.#preparing !== null) continue;
      const again = refused ?? (await this.#prepare());
      if (this.#segment === null && !failed()) await this.room(again);
    }
    const segment = this.#segment;
    this.#segment = null;
    return segment;
  }

  /** `operation`, again and again until the disk has room for it. */
  async whenRoom(operation: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await operation();
        this.#note(false);
        return;
      } catch (error) {
        if (!noSpace(error)) throw error;
        await this.room(error);
      }
    }
  }

  /** Resolves when there may be room again. Rejects with `error` when nobody looks for it, or does no more. */
  async room(error: unknown): Promise<void> {
    this.#note(true);
    if (!this.#waits) throw error;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
    if (!this.#waits) throw error;
  }

  /** `false`: whoever waits for room is told that there will be none. */
  waitForRoom(wait: boolean): void {
    this.#waits = wait;
    if (!wait) this.#wake?.();
  }

  /** Resolves with what refused it, if there was no room. */
  #prepare(): Promise<unknown> {
    this.#preparing ??= this.#prepareOne().finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  async #prepareOne(): Promise<unknown> {
    try {
      this.#segment ??= await this.#create();
      this.#note(false);
      return null;
    } catch (error) {
      if (noSpace(error)) this.#note(true);
      else this.#observe.fail(error);
      return error;
    }
  }

  #note(low: boolean): void {
    if (!low) this.#wake?.();
    if (this.#low === low) return;
    this.#low = low;
    this.#observe.space(low);
  }
}

function noSpace(error: unknown): boolean {
  return error instanceof DiskError && error.code === 'no_space';
}
