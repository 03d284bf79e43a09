/** How a member ends by itself: it fails, its state differs from the others', or it was removed from its cluster. */
import type { Logger } from 'pino';
import { DivergedError } from '../node/diverged.ts';
import type { MemberIdentity } from './identity.ts';

/** Between learning that it was removed and the end, milliseconds: what it still has to say to others goes out. */
const REMOVED_GRACE_MS = 1_000;

export class Ending {
  readonly #identity: MemberIdentity;
  readonly #logger: Logger;
  readonly #markDiverged: (error: DivergedError) => Promise<void>;
  #resolve: (error: Error) => void = () => undefined;
  #removed = false;
  /** Resolves with the first reason; never without one. */
  readonly failed: Promise<Error>;

  /** `markDiverged` writes down, durably, that the folder must not be started again. */
  constructor(identity: MemberIdentity, logger: Logger, markDiverged: (error: DivergedError) => Promise<void>) {
    this.#identity = identity;
    this.#logger = logger;
    this.#markDiverged = markDiverged;
    this.failed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  fail(error: Error): void {
    if (error instanceof DivergedError) void this.#endDiverged(error);
    else this.#resolve(error);
  }

  /** Written down first (DV1), then the member ends. It serves nothing meanwhile: its fault is set. */
  async #endDiverged(error: DivergedError): Promise<void> {
    try {
      await this.#markDiverged(error);
    } catch (problem) {
      this.#logger.error(
        { err: problem },
        'could not write down that the state of this member differs: do not start it again on this data folder',
      );
    }
    this.#resolve(error);
  }

  /** A rejection of `done` ends the member. */
  async orFail(done: Promise<void>): Promise<void> {
    try {
      await done;
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Written down first (ID4), then the member ends. May be told more than once. */
  removed(why: string): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#logger.warn({ why }, 'this member was removed from its cluster and ends; its data is kept');
    void this.orFail(this.#end());
  }

  async #end(): Promise<void> {
    await this.#identity.markRemoved();
    setTimeout(() => this.fail(this.#identity.removedError()), REMOVED_GRACE_MS).unref();
  }
}
