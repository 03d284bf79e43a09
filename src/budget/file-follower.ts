/**
 * Tells when the text of a file has changed. The folder is watched and not the file: editors write a new file and rename it over the
 * old one, and mounted configuration changes by a link. Where the system says nothing of changes, a look now and then finds them.
 */
import { type FSWatcher, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { err, ok, type Result } from '../types/result.ts';

/** Largest such file, bytes. */
export const FILE_BYTES_MAX = 1024 * 1024;
/** One save is many events. */
const SETTLE_MS = 50;
const LOOK_MS = 15_000;

/** The text, or why it cannot be read. */
export async function readBounded(path: string): Promise<Result<string, string>> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > FILE_BYTES_MAX) return err(`it has ${size} bytes; at most ${FILE_BYTES_MAX} are read`);
      return ok(new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile()));
    } finally {
      await file.close();
    }
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

export interface FileFollowerDeps {
  readonly path: string;
  /** What was read already; only another text is told. */
  readonly known: string;
  /** Called for each change: of the text, or of why there is none. */
  readonly onChange: (read: Result<string, string>) => void;
  /** Shorter ones are for tests, milliseconds. */
  readonly lookMs?: number;
}

export class FileFollower {
  readonly #deps: FileFollowerDeps;
  readonly #look: NodeJS.Timeout;
  #watcher: FSWatcher | null = null;
  #settle: NodeJS.Timeout | null = null;
  /** What was told last: the text behind 'text ', or the error behind 'error '. */
  #told: string;
  #reading = false;
  /** Something changed while the file was read. */
  #again = false;
  #closed = false;

  constructor(deps: FileFollowerDeps) {
    this.#deps = deps;
    this.#told = `text ${deps.known}`;
    this.#look = setInterval(() => {
      this.#watch();
      void this.#read();
    }, deps.lookMs ?? LOOK_MS).unref();
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#look);
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#watcher?.close();
  }

  #watch(): void {
    if (this.#watcher !== null || this.#closed) return;
    try {
      const watcher = watch(dirname(this.#deps.path), { persistent: false }, () => this.#changed());
      // The folder is gone, or there are no more watches: the next look tries again.
      watcher.on('error', () => {
        watcher.close();
        this.#watcher = null;
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = null;
    }
  }

  #changed(): void {
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#settle = setTimeout(() => void this.#read(), SETTLE_MS).unref();
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    do {
      this.#again = false;
      const read = await readBounded(this.#deps.path);
      const told = read.ok ? `text ${read.value}` : `error ${read.error}`;
      if (this.#closed || told === this.#told) continue;
      this.#told = told;
      this.#deps.onChange(read);
    } while (this.#again && !this.#closed);
    this.#reading = false;
  }
}
