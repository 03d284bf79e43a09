/**
 * The part of a file system that the log needs. One implementation over node:fs lives in `wal/`, one with faults in
 * `test/sim`. Every method rejects with {@link DiskError}; nothing is retried here (W5).
 * Paths are relative to the member's data folder, with `/` as separator; the folder `''` is the data folder itself.
 *
 * What a crash of the machine may do: of the 512-byte sectors written since the last `sync` that succeeded, any
 * subset may have reached the disk; a sector itself is old or new, never a mixture. Names changed since the last
 * `syncFolder` may be old or new. A crash of the process alone loses nothing that was written.
 */
export interface Disk {
  /** Where `path` is, for messages to people; without it they see `path`. */
  locate?(path: string): string;
  /** Opens for reading and writing; `create` makes an empty file and fails with `exists` if there is one. */
  open(path: string, options: { readonly create: boolean }): Promise<DiskFile>;
  /** Names (not paths) in a folder, in code-unit order; an absent folder is empty. */
  list(folder: string): Promise<readonly string[]>;
  /** Makes a folder and its parents; no error if it exists. */
  makeFolder(folder: string): Promise<void>;
  /** Atomically renames a file; durable only after `syncFolder` of the folders concerned. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** fsync of the folder: entries created, renamed or removed in it before the call survive a crash after it. */
  syncFolder(folder: string): Promise<void>;
}

export interface DiskFile {
  /** Size in bytes. */
  size(): Promise<number>;
  /** Reads up to `length` bytes at `offset`; shorter only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /**
   * Writes all of `bytes` at `offset`. Not durable before `sync`. May be called while a `sync` runs, which need not
   * cover it then. The bytes are not modified before the promise settles.
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Preallocation: extends the file to `size` bytes with zeroes that occupy disk blocks, so that later writes there
   * cannot fail for want of space. What the file holds already stays; durable only after `sync`.
   * Nothing happens when it is as long already.
   */
  allocate(size: number): Promise<void>;
  truncate(size: number): Promise<void>;
  /** fdatasync: every write that had resolved before the call is durable when it resolves. A rejection is final for the file. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export type DiskErrorCode = 'not_found' | 'exists' | 'no_space' | 'permission' | 'read_only' | 'io';

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;
  readonly path: string;
  constructor(code: DiskErrorCode, path: string, message: string, options?: { cause?: unknown }) {
    super(message, options as never);
    this.code = code;
    this.path = path;
  }
}
