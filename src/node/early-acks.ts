/**
 * permit-async (A2): this member may acknowledge entries before its fsync, as long as the state permits it.
 *
 * What could go wrong: it crashes, and has lost what it acknowledged. So before the first such acknowledgement its data folder is
 * marked, durably, and the mark goes only when everything appended is durable again. A start with the mark is that of a member
 * that lost a part of its log: it neither votes nor serves until it has everything back from a leader (raft/README.md, Recovery).
 * With that, no acknowledged entry is lost silently whatever the number of such members; that the state allows one at a time, among
 * at least floor(N/2)+1 others, keeps a quorum that can elect a leader when it crashes.
 *
 * EA1  `on` is true only while the mark is durable.
 * EA2  The mark is removed only after `on` was false and everything appended until then is durable.
 */

import { isNoSpace } from './store-writer.ts';

/** Updates that pass before a mark that found no room on the disk is tried again. */
const UPDATES_WITHOUT_ROOM = 50;

/** The mark in the data folder. Both are durable when they resolve, and may be repeated. */
export interface AsyncMark {
  write(): Promise<void>;
  remove(): Promise<void>;
}

export interface EarlyAcksOptions {
  readonly mark: AsyncMark;
  /** Resolves with whether everything appended so far is durable. */
  readonly drained: () => Promise<boolean>;
  readonly onFatal: (error: Error) => void;
}

export class EarlyAcks {
  readonly #options: EarlyAcksOptions;
  #phase: 'off' | 'marking' | 'on' | 'ending' = 'off';
  #ended = false;
  /** Updates to let pass. */
  #held = 0;
  /** Settles when the change of the mark that is under way is through. */
  #changing: Promise<void> = Promise.resolve();

  constructor(options: EarlyAcksOptions) {
    this.#options = options;
  }

  get on(): boolean {
    return this.#phase === 'on' && !this.#ended;
  }

  /** Again and again: whether it is permitted now. */
  update(permitted: boolean): void {
    if (this.#ended) return;
    if (permitted && this.#phase === 'off') {
      if (this.#held > 0) this.#held -= 1;
      else this.#changing = this.#begin();
    }
    if (!permitted && this.#phase === 'on') this.#changing = this.#finish();
  }

  /** The member stops. Resolves when the mark is gone, or must stay. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#changing;
    if (this.#phase === 'on') await this.#finish();
  }

  async #begin(): Promise<void> {
    this.#phase = 'marking';
    const { mark } = this.#options;
    try {
      await mark.write();
      this.#phase = 'on';
    } catch (error) {
      if (!isNoSpace(error)) {
        this.#fail(error);
        return;
      }
      // W5: a full disk stops nobody. `on` was never true, and what is left of the mark would be taken for one.
      await mark.remove().then(() => {
        this.#held = UPDATES_WITHOUT_ROOM;
        this.#phase = 'off';
      }, this.#fail.bind(this));
    }
  }

  async #finish(): Promise<void> {
    this.#phase = 'ending';
    try {
      // EA2. After a failed append the mark stays: what was acknowledged may not be there.
      if (!(await this.#options.drained())) return;
      await this.#options.mark.remove();
      this.#phase = 'off';
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }
}
