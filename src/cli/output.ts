/** What is written where: results on stdout, everything else on stderr; colours only on a terminal. */
import { styleText } from 'node:util';
import { CompactedError, IndeterminateError, QuorateError } from '../client/client.ts';
import { UsageError } from './exit-codes.ts';

export type Style = Parameters<typeof styleText>[0];

export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class Output {
  readonly json: boolean;
  /** True where results go to a terminal that shows colours. */
  readonly colours: boolean;
  readonly #stdout: TextStream;
  readonly #stderr: TextStream;

  constructor(
    stdout: TextStream,
    stderr: TextStream,
    env: Readonly<Record<string, string | undefined>>,
    json: boolean,
  ) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    this.json = json;
    // https://no-color.org: any value but the empty one counts.
    this.colours = stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb' && !json;
  }

  /** One result: an object on one line with --json, otherwise the text. */
  result(value: object, text: string): void {
    this.#stdout.write(this.json ? `${JSON.stringify(value)}\n` : `${text}\n`);
  }

  /** A line for people only. */
  line(text: string): void {
    if (!this.json) this.#stdout.write(`${text}\n`);
  }

  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  paint(style: Style, text: string): string {
    // Whether colours are shown was decided above, for the stream that is really written to.
    return this.colours ? styleText(style, text, { validateStream: false }) : text;
  }

  /** What failed: a line for people (one for each problem of a configuration), and an object for programs. */
  failure(error: unknown, debug: boolean): void {
    const message = error instanceof Error ? error.message : String(error);
    const reason = reasonOf(error);
    const prefix = `quorate: ${reason === null ? '' : `${reason}: `}`;
    // Usage errors are ours: a line of them is a problem of its own. What others say may have line breaks anywhere.
    const lines = error instanceof UsageError ? error.problems : [message.replaceAll('\n', '; ')];
    for (const line of lines) this.#stderr.write(`${prefix}${line}\n`);
    if (debug && error instanceof Error) this.#stderr.write(`${error.stack ?? ''}\n`);
    this.failureObject(error);
  }

  /** The object for programs alone. */
  failureObject(error: unknown): void {
    if (!this.json) return;
    const message = error instanceof Error ? error.message : String(error);
    const reason = reasonOf(error);
    const details = detailsOf(error);
    const retryAfterMs = error instanceof QuorateError ? error.retryAfterMs : null;
    this.#stdout.write(`${JSON.stringify({ error: { reason, message, details, retryAfterMs } })}\n`);
  }
}

function reasonOf(error: unknown): string | null {
  if (error instanceof QuorateError) return error.reason;
  if (error instanceof IndeterminateError) return 'INDETERMINATE';
  return error instanceof CompactedError ? 'COMPACTED' : null;
}

/** As the API names them. */
function detailsOf(error: unknown): QuorateError['details'] {
  if (error instanceof CompactedError) return { first_revision: String(error.firstRevision) };
  return error instanceof QuorateError ? error.details : {};
}

/** Columns padded to their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const numeric = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'));
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return numeric[column] === true ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatTime(ms: number | null): string {
  return ms === null ? '–' : new Date(ms).toISOString();
}
