/** Progress of long work on stderr: one line that is written over on a terminal, a line now and then elsewhere. */
import type { TextStream } from './output.ts';

/** Shortest time between two lines where they stay, milliseconds. */
const LINE_PAUSE_MS = 5_000;
const ERASE_LINE = '\r\u001b[2K';

export class Progress {
  readonly #stderr: TextStream;
  /** null: nothing is shown. */
  readonly #terminal: boolean | null;
  #last = '';
  #shownAtMs = Number.NEGATIVE_INFINITY;

  /** `quiet`: for programs, which get the result alone. */
  constructor(stderr: TextStream, quiet: boolean) {
    this.#stderr = stderr;
    this.#terminal = quiet ? null : stderr.isTTY === true;
  }

  show(text: string): void {
    if (this.#terminal === null || text === this.#last) return;
    const now = performance.now();
    if (!this.#terminal && now - this.#shownAtMs < LINE_PAUSE_MS) return;
    this.#last = text;
    this.#shownAtMs = now;
    this.#stderr.write(this.#terminal ? `${ERASE_LINE}${text}` : `${text}\n`);
  }

  /** Leaves the line to what comes next. Idempotent. */
  end(): void {
    if (this.#terminal === true && this.#last !== '') this.#stderr.write(ERASE_LINE);
    this.#last = '';
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes / 1_000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
