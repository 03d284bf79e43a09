/**
 * One file of a simulated disk: what programs see (the page cache) and what survives a power cut. Between the two
 * are 512-byte sectors of which any subset may or may not have reached the platter.
 */
import type { Prng } from '../kernel/prng.ts';

export const SECTOR_BYTES = 512;

/** What a sync has taken on: the content of the sectors when it was called. */
export interface PendingSync {
  readonly sectors: ReadonlyMap<number, Uint8Array>;
  readonly sizeBytes: number;
}

export class Inode {
  readonly id: number;
  #cache = new Uint8Array(0);
  #cacheSize = 0;
  #durable = new Uint8Array(0);
  #durableSize = 0;
  #dirty = new Set<number>();
  /** Oldest first. */
  #syncs: PendingSync[] = [];
  /** Rises whenever durable content changes; tells readers of it to look again. */
  #durableVersion = 0;

  constructor(id: number) {
    this.id = id;
  }

  get size(): number {
    return this.#cacheSize;
  }
  get durableVersion(): number {
    return this.#durableVersion;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#cache.slice(offset, Math.min(this.#cacheSize, offset + length));
  }

  /** Not a copy: for reading at once. */
  cacheBytes(): Uint8Array {
    return this.#cache.subarray(0, this.#cacheSize);
  }

  durableBytes(): Uint8Array {
    return this.#durable.subarray(0, this.#durableSize);
  }

  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#cache = grown(this.#cache, offset + bytes.length);
    this.#cache.set(bytes, offset);
    this.#cacheSize = Math.max(this.#cacheSize, offset + bytes.length);
    const last = Math.floor((offset + bytes.length - 1) / SECTOR_BYTES);
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector <= last; sector += 1) this.#dirty.add(sector);
  }

  /** A power cut in the middle of a write: only some of its sectors were changed. */
  writeSome(offset: number, bytes: Uint8Array, prng: Prng): void {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + SECTOR_BYTES - ((offset + at) % SECTOR_BYTES));
      if (prng.chance(500)) this.write(offset + at, bytes.subarray(at, end));
      at = end;
    }
  }

  resize(size: number): void {
    if (size < this.#cacheSize) {
      this.#cache.fill(0, size, this.#cacheSize);
      const last = Math.floor((this.#cacheSize - 1) / SECTOR_BYTES);
      for (let sector = Math.floor(size / SECTOR_BYTES); sector <= last; sector += 1) this.#dirty.add(sector);
    } else {
      this.#cache = grown(this.#cache, size);
    }
    this.#cacheSize = size;
  }

  beginSync(): PendingSync {
    const sectors = new Map<number, Uint8Array>();
    for (const sector of this.#dirty) sectors.set(sector, this.#sector(sector));
    this.#dirty = new Set();
    const sync: PendingSync = { sectors, sizeBytes: this.#cacheSize };
    this.#syncs.push(sync);
    return sync;
  }

  /** A sync covers everything written before it was called, so also what earlier ones have not finished. */
  endSync(sync: PendingSync): void {
    const through = this.#syncs.indexOf(sync);
    for (const covered of this.#syncs.splice(0, through + 1)) {
      for (const [sector, bytes] of covered.sectors) this.#persistSector(sector, bytes);
      this.#persistSize(covered.sizeBytes);
    }
  }

  /** The device gave up: the pages count as clean from now on, but were not written (fsyncgate). */
  breakSync(sync: PendingSync): void {
    const at = this.#syncs.indexOf(sync);
    if (at >= 0) this.#syncs.splice(at, 1);
  }

  /** The power goes: of what was not synced, each sector survives with `keptPermille`. */
  crash(prng: Prng, keptPermille: number): void {
    for (const sync of this.#syncs) {
      for (const [sector, bytes] of sync.sectors) if (prng.chance(keptPermille)) this.#persistSector(sector, bytes);
      if (prng.chance(keptPermille)) this.#persistSize(sync.sizeBytes);
    }
    const dirty = [...this.#dirty].sort((a, b) => a - b);
    for (const sector of dirty) if (prng.chance(keptPermille)) this.#persistSector(sector, this.#sector(sector));
    if (prng.chance(keptPermille)) this.#persistSize(this.#cacheSize);
    this.#syncs = [];
    this.#dirty = new Set();
    this.#cache = this.#durable.slice(0, this.#durableSize);
    this.#cacheSize = this.#durableSize;
    this.#durableVersion += 1;
  }

  /** The process dies, the machine goes on: syncs in flight finish, the page cache stays. */
  kill(): void {
    const last = this.#syncs.at(-1);
    if (last !== undefined) this.endSync(last);
  }

  /** Another file with what is durable of this one. */
  copyDurable(id: number): Inode {
    const copy = new Inode(id);
    copy.write(0, this.durableBytes());
    copy.endSync(copy.beginSync());
    return copy;
  }

  // ------------------------------------------------------------------------------------- bad disks, at rest

  /** Bits change where they lie: cache and platter say the same afterwards. */
  rot(offset: number, mask: number): void {
    const bytes = this.#durable;
    if (offset >= this.#durableSize) return;
    this.place(offset, Uint8Array.of((bytes[offset] as number) ^ mask));
  }

  /** What was meant for another place ends up here. */
  place(offset: number, bytes: Uint8Array): void {
    const some = bytes.subarray(0, Math.max(0, this.#durableSize - offset));
    this.#durable.set(some, offset);
    this.#cache = grown(this.#cache, offset + some.length);
    this.#cache.set(some, offset);
    this.#durableVersion += 1;
  }

  /** The end is gone. */
  cutShort(size: number): void {
    this.#persistSize(Math.min(size, this.#durableSize));
    if (size < this.#cacheSize) this.#cache.fill(0, size, this.#cacheSize);
    this.#cacheSize = Math.min(size, this.#cacheSize);
    this.#durableVersion += 1;
  }

  #sector(sector: number): Uint8Array {
    return this.#cache.slice(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  }

  #persistSector(sector: number, bytes: Uint8Array): void {
    this.#durable = grown(this.#durable, sector * SECTOR_BYTES + bytes.length);
    this.#durable.set(bytes, sector * SECTOR_BYTES);
    this.#durableVersion += 1;
  }

  #persistSize(size: number): void {
    this.#durable = grown(this.#durable, size);
    if (size < this.#durableSize) this.#durable.fill(0, size, this.#durableSize);
    this.#durableSize = size;
    this.#durableVersion += 1;
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (bytes.length >= length) return bytes;
  const wanted = Math.max(length, bytes.length * 2, SECTOR_BYTES);
  const next = new Uint8Array(Math.ceil(wanted / SECTOR_BYTES) * SECTOR_BYTES);
  next.set(bytes);
  return next;
}
