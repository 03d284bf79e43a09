/**
 * What the consensus core of this member does, event by event, in a file of JSON lines: for checking, not for operating (see
 * test/trace-check). An event is written before anything that follows from it leaves the member; a file survives SIGKILL, since
 * what was written is the kernel's, but it is never synced.
 *
 * A line is `{"at":…,"member":…,"stream":…,"kind":…,…}`; `at` is Unix time in milliseconds, the rest is a `TraceEvent`. A file that is
 * full ends with a line of the kind `full`, and stays so.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TraceEvent } from '../raft/trace.ts';
import type { MemberId, StreamId } from '../types/ids.ts';

export interface CoreTraceOptions {
  /** Absolute. */
  readonly folder: string;
  /** The file is not made larger than this, but for its last line. */
  readonly bytesMax: number;
  readonly memberId: MemberId;
  readonly nowMs: () => number;
}

const NEWLINE = 10;

export class CoreTrace {
  readonly #options: CoreTraceOptions;
  #file: number | null;
  #bytes: number;

  /** Goes on with a file that is there. Throws what the file system says. */
  constructor(options: CoreTraceOptions) {
    this.#options = options;
    mkdirSync(options.folder, { recursive: true });
    const file = openSync(join(options.folder, `${options.memberId}.ndjson`), 'a+');
    this.#file = file;
    this.#bytes = fstatSync(file).size;
    if (this.#bytes > options.bytesMax) this.close();
    else if (this.#bytes > 0 && !endsWithLine(file, this.#bytes)) this.#write('\n');
  }

  /** Never throws: a trace that cannot be written ends, the member goes on. */
  event(stream: StreamId, event: TraceEvent): void {
    if (this.#file === null) return;
    const { memberId, nowMs, bytesMax } = this.#options;
    const head = { at: Math.floor(nowMs()), member: memberId, stream };
    const line = `${JSON.stringify({ ...head, ...event })}\n`;
    if (this.#bytes + Buffer.byteLength(line) <= bytesMax) {
      this.#write(line);
      return;
    }
    // White space takes it past the bound, which is how the next start knows.
    const mark = JSON.stringify({ ...head, kind: 'full', bytesMax });
    this.#write(`${mark.padEnd(bytesMax - this.#bytes)}\n`);
    this.close();
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #write(text: string): void {
    if (this.#file === null) return;
    try {
      this.#bytes += writeSync(this.#file, text);
    } catch {
      this.close();
    }
  }
}

/** A process that was killed, or a full disk, may have left a part of a line. */
function endsWithLine(file: number, size: number): boolean {
  const last = new Uint8Array(1);
  readSync(file, last, 0, 1, size - 1);
  return last[0] === NEWLINE;
}
