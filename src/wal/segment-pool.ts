/**
 * Segments that are not needed any more, and those that are needed next. A freed segment is kept as `<segment>.wal.free` and written
 * again under a new header: preallocating a new one writes every byte twice (W6).
 *
 * SP1  A name is only taken away when the one before it is durably gone: what a crash leaves has no gap.
 * SP2  A file is written to only when its old name is durably gone, and gets its new name when its header is durable.
 */
import type { Disk } from '../ports/disk.ts';
import { WAL_RECYCLED_SEGMENTS_MAX } from '../types/limits.ts';
import { decodeSegmentHeader, encodeSegmentHeader, SEGMENT_HEADER_BYTES } from './record.ts';
import {
  createSegment,
  FREE_SUFFIX,
  isFree,
  LOG_FOLDER,
  labelOf,
  newSegment,
  removeIfThere,
  type Segment,
  type SegmentPlan,
  segmentPath,
  temporaryPath,
} from './segment.ts';
import type { WalIdentity } from './types.ts';

export class SegmentPool {
  readonly #disk: Disk;
  readonly #identity: WalIdentity;
  readonly #segmentBytes: number;
  /** Names of freed segments, oldest first. */
  readonly #free: string[] = [];

  constructor(disk: Disk, identity: WalIdentity, segmentBytes: number) {
    this.#disk = disk;
    this.#identity = identity;
    this.#segmentBytes = segmentBytes;
  }

  /** Takes over the freed segments among the names of the folder. */
  async adopt(names: readonly string[]): Promise<void> {
    const free = names.filter(isFree).sort();
    this.#free.push(...free.slice(0, WAL_RECYCLED_SEGMENTS_MAX));
    for (const name of free.slice(WAL_RECYCLED_SEGMENTS_MAX)) await this.#disk.remove(name);
  }

  async create(plan: SegmentPlan): Promise<Segment> {
    for (;;) {
      const free = plan.preparedBytes === this.#segmentBytes ? this.#free.shift() : undefined;
      if (free === undefined) return createSegment(this.#disk, this.#identity, plan);
      const recycled = await this.#recycle(free, plan);
      if (recycled !== null) return recycled;
    }
  }

  /** The segment is gone, durably, when it resolves. */
  async release(segment: Segment): Promise<void> {
    const kept = segment.size === this.#segmentBytes && this.#free.length < WAL_RECYCLED_SEGMENTS_MAX;
    const free = segment.path + FREE_SUFFIX;
    if (kept) await this.#disk.rename(segment.path, free);
    else await this.#disk.remove(segment.path);
    await this.#disk.syncFolder(LOG_FOLDER);
    if (kept) this.#free.push(free);
  }

  /** null: the file has another size than segments have now; it is gone. */
  async #recycle(free: string, plan: SegmentPlan): Promise<Segment | null> {
    const path = segmentPath(plan.sequence);
    const temporary = temporaryPath(plan.sequence);
    await removeIfThere(this.#disk, temporary);
    await this.#disk.rename(free, temporary);
    const file = await this.#disk.open(temporary, { create: false });
    let tag: number;
    try {
      if ((await file.size()) !== plan.preparedBytes) {
        await this.#disk.remove(temporary);
        return null;
      }
      const header = this.#header(await file.read(0, SEGMENT_HEADER_BYTES), plan);
      tag = header.tag;
      await file.write(0, header.bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#disk.rename(temporary, path);
    await this.#disk.syncFolder(LOG_FOLDER);
    const label = labelOf(this.#disk, path);
    return newSegment({ ...plan, path, label, tag, size: plan.preparedBytes, recycled: true });
  }

  /** Its tag is not that of the life before: what that one left behind are no records in this one. */
  #header(old: Uint8Array, plan: SegmentPlan): { readonly bytes: Buffer; readonly tag: number } {
    const before = decodeSegmentHeader(old);
    const { clusterId, memberId } = this.#identity;
    for (let createdMs = plan.createdMs; ; createdMs += 1) {
      const header = encodeSegmentHeader({ clusterId, memberId, ...plan, createdMs, recycled: true });
      if (before.kind !== 'good' || before.tag !== header.tag) return header;
    }
  }
}
