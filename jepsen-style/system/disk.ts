/** A small disk for one member: an ext4 in a file, mounted through a loop device that goes when it is unmounted. */
import { mkdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec, execNow } from './exec.ts';

/** Sparse: what is not written takes no room. */
const SIZE_MIB = 320;
/** Free space that a full disk has left, bytes: less than one block for a segment of the log. */
const LEFT_BYTES = 8 * 1024;
const FILLER = '.filler';
/** EXT4_IOC_SHUTDOWN, `_IOR('X', 125, uint32)`; flag 2, NOLOGFLUSH: what was not fsync'd is gone, as if the power had failed. */
const SHUTDOWN = `
import fcntl, os, struct, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(handle, 0x8004587D, struct.pack('I', 2))
`;
const UNMOUNT_TRIES = 50;

export class Disk {
  readonly #image: string;
  #full = false;
  readonly mountPoint: string;

  constructor(folder: string, name: string) {
    this.#image = join(folder, `${name}.img`);
    this.mountPoint = join(folder, `${name}.disk`);
  }

  async create(): Promise<void> {
    await writeFile(this.#image, '');
    await truncate(this.#image, SIZE_MIB * 1024 * 1024);
    await exec(['mkfs.ext4', '-q', '-F', '-m', '0', this.#image]);
    await mkdir(this.mountPoint, { recursive: true });
    await this.mount();
  }

  async mount(): Promise<void> {
    await exec(['mount', '-o', 'loop,noatime', this.#image, this.mountPoint]);
    // Its end was not synced when the power failed.
    if (!this.#full) await rm(join(this.mountPoint, FILLER), { force: true });
  }

  /** Whoever has files open there must have ended. */
  async unmount(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        await exec(['umount', this.mountPoint]);
        return;
      } catch (error) {
        // A process that was killed lets go of its files a moment after its parent is told.
        if (tries >= UNMOUNT_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** From now on every access fails, and what was not synced is lost; `unmount` and `mount` bring the disk back. */
  async cutPower(): Promise<void> {
    await exec(['python3', '-c', SHUTDOWN, this.mountPoint]);
  }

  /** All but a few KiB are taken. */
  async fill(): Promise<void> {
    this.#full = true;
    const { bavail, bsize } = await statfs(this.mountPoint);
    const bytes = Math.max(0, bavail * bsize - LEFT_BYTES);
    await exec(['fallocate', '-l', String(Math.max(4096, bytes)), join(this.mountPoint, FILLER)]);
  }

  async empty(): Promise<void> {
    this.#full = false;
    await rm(join(this.mountPoint, FILLER), { force: true });
  }

  /** On every way out. */
  removeNow(): void {
    // Lazy: whatever still holds it must not keep it for ever.
    if (execNow(['umount', this.mountPoint]) === null) execNow(['umount', '-l', this.mountPoint]);
  }
}
