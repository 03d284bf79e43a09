/** What one process sees of its simulated disk. */
import type { Disk, DiskFile } from '../../../src/ports/disk.ts';
import { DiskError } from '../../../src/ports/disk.ts';
import type { Owner } from '../kernel/queue.ts';
import type { SimDisk } from './disk.ts';
import { kindOf, normal, notFound } from './disk-paths.ts';
import type { Inode } from './inode.ts';

export class ProcessDisk implements Disk {
  readonly #disk: SimDisk;
  readonly #owner: Owner;

  constructor(disk: SimDisk, owner: Owner) {
    this.#disk = disk;
    this.#owner = owner;
  }

  open(path: string, options: { readonly create: boolean }): Promise<DiskFile> {
    const disk = this.#disk;
    const clean = normal(path);
    return disk.operate(this.#owner, disk.quickUs(), () => {
      const found = disk.lookup(clean);
      if (found === 'folder') throw new DiskError('io', clean, `${clean} is a folder`);
      if (!options.create && found === null) throw notFound(clean);
      if (options.create && found !== null) throw new DiskError('exists', clean, `${clean} exists`);
      disk.requireFolder(clean);
      const inode = found ?? disk.step('disk', `${kindOf(clean)} create`, () => disk.create(clean));
      return new ProcessFile(disk, this.#owner, clean, inode);
    });
  }

  list(folder: string): Promise<readonly string[]> {
    return this.#quick(() => this.#disk.list(normal(folder)));
  }

  makeFolder(folder: string): Promise<void> {
    return this.#change('folder make', () => this.#disk.makeFolder(normal(folder)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change(`${kindOf(to)} rename`, () => this.#disk.rename(normal(from), normal(to)));
  }

  remove(path: string): Promise<void> {
    return this.#change(`${kindOf(path)} remove`, () => this.#disk.remove(normal(path)));
  }

  syncFolder(folder: string): Promise<void> {
    const disk = this.#disk;
    const covered = disk.changesOf(normal(folder));
    const effect = (): void => disk.step('disk', 'folder sync', () => disk.persistNames(covered));
    return disk.operate(this.#owner, disk.syncUs(), effect);
  }

  #change<T>(detail: string, effect: () => T): Promise<T> {
    return this.#quick(() => this.#disk.step('disk', detail, effect));
  }

  #quick<T>(effect: () => T): Promise<T> {
    return this.#disk.operate(this.#owner, this.#disk.quickUs(), effect);
  }
}

class ProcessFile implements DiskFile {
  readonly #disk: SimDisk;
  readonly #owner: Owner;
  readonly #path: string;
  readonly #inode: Inode;
  #closed = false;

  constructor(disk: SimDisk, owner: Owner, path: string, inode: Inode) {
    this.#disk = disk;
    this.#owner = owner;
    this.#path = path;
    this.#inode = inode;
  }

  size(): Promise<number> {
    return this.#quick(() => this.#inode.size);
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#quick(() => this.#inode.read(offset, length));
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    const disk = this.#disk;
    const effect = (): void => {
      this.#assertOpen();
      if (offset + bytes.length > this.#inode.size) this.#needRoom();
      disk.step('disk', `${kindOf(this.#path)} write`, () => this.#inode.write(offset, bytes));
    };
    // The caller must leave the bytes alone until the write ends: they are taken as late as a kernel might.
    return disk.operate(this.#owner, disk.quickUs(), effect, () => this.#inode.writeSome(offset, bytes, disk.prng));
  }

  allocate(size: number): Promise<void> {
    return this.#quick(() => {
      if (size <= this.#inode.size) return;
      this.#needRoom();
      this.#disk.step('disk', `${kindOf(this.#path)} allocate`, () => this.#inode.resize(size));
    });
  }

  truncate(size: number): Promise<void> {
    return this.#quick(() => this.#disk.step('disk', `${kindOf(this.#path)} truncate`, () => this.#inode.resize(size)));
  }

  sync(): Promise<void> {
    const disk = this.#disk;
    this.#assertOpen();
    const pending = this.#inode.beginSync();
    return disk.operate(this.#owner, disk.syncUs(), () => {
      if (disk.syncBreaks()) {
        this.#inode.breakSync(pending);
        throw new DiskError('io', this.#path, `fdatasync of ${this.#path} failed: EIO`);
      }
      disk.step('disk', `${kindOf(this.#path)} sync`, () => this.#inode.endSync(pending));
    });
  }

  close(): Promise<void> {
    return this.#quick(() => {
      this.#closed = true;
    });
  }

  #quick<T>(effect: () => T): Promise<T> {
    return this.#disk.operate(this.#owner, this.#disk.quickUs(), () => {
      this.#assertOpen();
      return effect();
    });
  }

  #needRoom(): void {
    if (this.#disk.full) throw new DiskError('no_space', this.#path, `${this.#path}: no space left on device`);
  }

  #assertOpen(): void {
    if (this.#closed) throw new DiskError('io', this.#path, `${this.#path} is closed`);
  }
}
