/** Files in memory and nothing else: no crash, no fault, no cost but that of the copy. */
import { type Disk, DiskError, type DiskFile } from '../../src/ports/disk.ts';

class PlainFile implements DiskFile {
  #bytes = new Uint8Array(0);

  async size(): Promise<number> {
    return this.#bytes.length;
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#bytes.slice(offset, offset + length);
  }
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset + bytes.length > this.#bytes.length) await this.truncate(offset + bytes.length);
    this.#bytes.set(bytes, offset);
  }
  async allocate(size: number): Promise<void> {
    if (size > this.#bytes.length) await this.truncate(size);
  }
  async truncate(size: number): Promise<void> {
    const next = new Uint8Array(size);
    next.set(this.#bytes.subarray(0, size));
    this.#bytes = next;
  }
  async sync(): Promise<void> {}
  async close(): Promise<void> {}
}

export class PlainDisk implements Disk {
  readonly #files = new Map<string, PlainFile>();

  async open(path: string, { create }: { readonly create: boolean }): Promise<DiskFile> {
    const existing = this.#files.get(path);
    if (create && existing !== undefined) throw new DiskError('exists', path, `${path} exists`);
    if (!create && existing === undefined) throw new DiskError('not_found', path, `no ${path}`);
    const file = existing ?? new PlainFile();
    this.#files.set(path, file);
    return file;
  }
  async list(folder: string): Promise<readonly string[]> {
    const prefix = folder === '' ? '' : `${folder}/`;
    const names = [...this.#files.keys()].filter((path) => path.startsWith(prefix));
    return names.map((path) => path.slice(prefix.length)).sort();
  }
  async makeFolder(): Promise<void> {}
  async rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from);
    if (file === undefined) throw new DiskError('not_found', from, `no ${from}`);
    this.#files.delete(from);
    this.#files.set(to, file);
  }
  async remove(path: string): Promise<void> {
    this.#files.delete(path);
  }
  async syncFolder(): Promise<void> {}
}
