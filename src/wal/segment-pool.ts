/** Segments that are not needed any more, and those that are needed next. */
import type { Disk } from '../ports/disk.ts';
import { createSegment, LOG_FOLDER, type Segment, type SegmentPlan } from './segment.ts';
import type { WalIdentity } from './types.ts';

export class SegmentPool {
  readonly #disk: Disk;
  readonly #identity: WalIdentity;

  constructor(disk: Disk, identity: WalIdentity) {
    this.#disk = disk;
    this.#identity = identity;
  }

  create(plan: SegmentPlan): Promise<Segment> {
    return createSegment(this.#disk, this.#identity, plan);
  }

  /** The segment is gone, durably, when it resolves. */
  async release(segment: Segment): Promise<void> {
    await this.#disk.remove(segment.path);
    await this.#disk.syncFolder(LOG_FOLDER);
  }
}
