/**
 * A disk in memory for the tests of the log. It knows what is durable: a crash keeps any chosen subset of the
 * unsynced 512-byte sectors and of the unsynced names. Operations can be held, delayed and made to fail.
 */
import type { Disk, DiskErrorCode, DiskFile } from '../../src/ports/disk.ts';
import { DiskError } from '../../src/ports/disk.ts';

export const SECTOR_BYTES = 512;

export type DiskOperation = 'open' | 'read' | 'write' | 'allocate' | 'sync' | 'rename' | 'remove' | 'syncFolder';

class Inode {
  /** As processes see it. */
  current = new Uint8Array(0);
  /** As a crash of the machine leaves it, but for the dirty sectors. */
  durable = new Uint8Array(0);
  readonly dirty = new Set<number>();

  resize(size: number): void {
    const next = new Uint8Array(size);
    next.set(this.current.subarray(0, size));
    const from = Math.min(size, this.current.length);
    this.current = next;
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < size; sector += 1)
      this.dirty.add(sector);
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset + bytes.length > this.current.length) this.resize(offset + bytes.length);
    this.current.set(bytes, offset);
    const last = Math.floor((offset + bytes.length - 1) / SECTOR_BYTES);
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector <= last; sector += 1) this.dirty.add(sector);
  }

  /** Writes `sectors` through, as they are in `source`. */
  persist(sectors: Iterable<number>, source: Uint8Array): void {
    const next = new Uint8Array(source.length);
    next.set(this.durable.subarray(0, source.length));
    for (const sector of sectors) {
      const from = sector * SECTOR_BYTES;
      if (from < source.length) next.set(source.subarray(from, from + SECTOR_BYTES), from);
    }
    this.durable = next;
  }
}

interface NameChange {
  readonly path: string;
  /** null: the name is gone. */
  readonly inode: Inode | null;
  /** A rename takes this name away in the same change. */
  readonly gone: string | null;
}

function applyChange(names: Map<string, Inode>, { path, inode, gone }: NameChange): void {
  if (gone !== null) names.delete(gone);
  if (inode === null) names.delete(path);
  else names.set(path, inode);
}

function inFolder(path: string | null, folder: string): boolean {
  return path !== null && path.slice(0, Math.max(0, path.lastIndexOf('/'))) === folder;
}

export class MemoryDisk implements Disk {
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Since the last syncFolder of their folder, in order. A rename is one change. */
  #changes: NameChange[] = [];
  /** A process that was killed by a crash must not touch the disk any more. */
  #epoch = 0;
  readonly counts: Record<DiskOperation, number> = {
    open: 0,
    read: 0,
    write: 0,
    allocate: 0,
    sync: 0,
    rename: 0,
    remove: 0,
    syncFolder: 0,
  };
  bytesWritten = 0;
  /** Called before each operation takes effect; may wait, may throw. For `sync` it runs while the sync is under way. */
  before: (operation: DiskOperation, path: string) => Promise<void> | void = () => undefined;

  /** Power fails. `keep` chooses which unsynced sectors and names had reached the disk. */
  crash(keep: (what: string) => boolean): void {
    this.#epoch += 1;
    const names = new Map(this.#durableNames);
    for (const change of this.#changes) if (keep(`name ${change.path}`)) applyChange(names, change);
    this.#changes = [];
    for (const inode of new Set(names.values())) {
      const kept = [...inode.dirty].sort((a, b) => a - b).filter((sector) => keep(`sector ${sector}`));
      inode.persist(kept, inode.current);
      inode.current = inode.durable.slice();
      inode.dirty.clear();
    }
    this.#names = names;
    this.#durableNames = new Map(names);
  }

  /** The process dies, the machine goes on. */
  kill(): void {
    this.#epoch += 1;
  }

  /** What a failed fsync may do: pages that never reached the disk count as clean. */
  forgetDirty(): void {
    for (const inode of this.#names.values()) inode.dirty.clear();
  }

  paths(): readonly string[] {
    return [...this.#names.keys()].sort();
  }

  /** A copy of the file as processes see it. */
  bytes(path: string): Uint8Array {
    return this.#inode(path).current.slice();
  }

  /** Replaces the file, durably: damage done by a test. */
  replace(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.current = bytes.slice();
    inode.durable = bytes.slice();
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  delete(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** An independent disk with the same durable and visible files. */
  copy(): MemoryDisk {
    const disk = new MemoryDisk();
    for (const path of this.paths()) disk.replace(path, this.bytes(path));
    return disk;
  }

  /** The disk as one process sees it: nothing happens any more once that process was ended. */
  process(): Disk {
    const epoch = this.#epoch;
    const alive = <T>(operation: () => Promise<T>): Promise<T> =>
      epoch === this.#epoch ? operation() : new Promise<never>(() => undefined);
    return {
      open: (path, options) => alive(() => this.open(path, options)),
      list: (folder) => alive(() => this.list(folder)),
      makeFolder: () => alive(() => this.makeFolder()),
      rename: (from, to) => alive(() => this.rename(from, to)),
      remove: (path) => alive(() => this.remove(path)),
      syncFolder: (folder) => alive(() => this.syncFolder(folder)),
    };
  }

  get epoch(): number {
    return this.#epoch;
  }

  async open(path: string, options: { readonly create: boolean }): Promise<DiskFile> {
    await this.run('open', path);
    if (options.create && this.#names.has(path)) throw new DiskError('exists', path, `${path} exists`);
    if (options.create) this.#change({ path, inode: new Inode(), gone: null });
    return new MemoryFile(this, path, this.#inode(path));
  }

  async list(folder: string): Promise<readonly string[]> {
    const prefix = folder === '' ? '' : `${folder}/`;
    const inside = this.paths().filter((path) => path.startsWith(prefix));
    return [...new Set(inside.map((path) => path.slice(prefix.length).split('/')[0] ?? ''))].sort();
  }

  async makeFolder(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    await this.run('rename', from);
    this.#change({ path: to, inode: this.#inode(from), gone: from });
  }

  async remove(path: string): Promise<void> {
    await this.run('remove', path);
    this.#inode(path);
    this.#change({ path, inode: null, gone: null });
  }

  /** A rename into another folder is durable when either was synced. */
  async syncFolder(folder: string): Promise<void> {
    const covered = new Set(this.#changes.filter(({ path, gone }) => inFolder(path, folder) || inFolder(gone, folder)));
    await this.run('syncFolder', folder);
    for (const change of covered) applyChange(this.#durableNames, change);
    this.#changes = this.#changes.filter((change) => !covered.has(change));
  }

  #change(change: NameChange): void {
    applyChange(this.#names, change);
    this.#changes.push(change);
  }

  /** Counts, waits for the hook, and goes silent when the process is dead. */
  async run(operation: DiskOperation, path: string, epoch = this.#epoch): Promise<void> {
    if (epoch === this.#epoch) {
      this.counts[operation] += 1;
      await this.before(operation, path);
    }
    if (epoch !== this.#epoch) await new Promise<never>(() => undefined);
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new DiskError('not_found', path, `${path} does not exist`);
    return inode;
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #inode: Inode;
  readonly #epoch: number;
  #closed = false;

  constructor(disk: MemoryDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
    this.#epoch = disk.epoch;
  }

  async size(): Promise<number> {
    return this.#inode.current.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    await this.#run('read');
    return this.#inode.current.slice(offset, offset + length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#run('write');
    this.#disk.bytesWritten += bytes.length;
    this.#inode.write(offset, bytes);
  }

  async allocate(size: number): Promise<void> {
    await this.#run('allocate');
    if (size > this.#inode.current.length) this.#inode.resize(size);
  }

  async truncate(size: number): Promise<void> {
    this.#inode.resize(size);
  }

  async sync(): Promise<void> {
    const covered = [...this.#inode.dirty];
    const source = this.#inode.current.slice();
    await this.#run('sync');
    this.#inode.persist(covered, source);
    for (const sector of covered) if (sameSector(source, this.#inode.current, sector)) this.#inode.dirty.delete(sector);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #run(operation: DiskOperation): Promise<void> {
    if (this.#closed) throw new DiskError('io', this.#path, `${this.#path} is closed`);
    await this.#disk.run(operation, this.#path, this.#epoch);
  }
}

function sameSector(a: Uint8Array, b: Uint8Array, sector: number): boolean {
  const from = sector * SECTOR_BYTES;
  const part = (bytes: Uint8Array): Buffer => Buffer.from(bytes.subarray(from, from + SECTOR_BYTES));
  return part(a).equals(part(b));
}

/** A hook that fails the `nth` operation of its kind from now on. */
export function failing(operation: DiskOperation, code: DiskErrorCode, nth = 1): MemoryDisk['before'] {
  let left = nth;
  return (current, path) => {
    if (current !== operation) return;
    left -= 1;
    if (left <= 0) throw new DiskError(code, path, `${operation} of ${path} failed: ${code}`);
  };
}
