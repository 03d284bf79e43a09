/**
 * An export of the audit log: lines of JSON, each ended by a line feed, keys in a fixed order and no spaces.
 *
 *   header   format, clusterId, firstPosition, previousHash
 *   record   position, index, timeMs, caller, traceId, command, subject, outcome, detail, hash
 *   trailer  records, finalHash, sha256 (over every byte before the trailer)
 *
 * Each line has exactly one spelling, so that a changed byte is a changed meaning. `docs/audit.md` says the same for people.
 */
import { createHash } from 'node:crypto';
import type { AuditRecord } from '../machine/audit/types.ts';

export const AUDIT_FORMAT = 'quorate-audit-v1';

export interface ExportHeader {
  readonly clusterId: string;
  /** Position of the first record. */
  readonly firstPosition: number;
  /** Hash of the record before it. */
  readonly previousHash: string;
}

export interface ExportRecord extends AuditRecord {
  readonly position: number;
  readonly hash: string;
}

export interface ExportTrailer {
  readonly records: number;
  /** Hash of the last record, or that of the header when there is none. */
  readonly finalHash: string;
  readonly sha256: string;
}

export type ExportLine =
  | ({ readonly kind: 'header' } & ExportHeader)
  | ({ readonly kind: 'record' } & ExportRecord)
  | ({ readonly kind: 'trailer' } & ExportTrailer);

/** Without the line feed. */
export function lineText(line: ExportLine): string {
  switch (line.kind) {
    case 'header': {
      const { clusterId, firstPosition, previousHash } = line;
      return JSON.stringify({ format: AUDIT_FORMAT, clusterId, firstPosition, previousHash });
    }
    case 'record': {
      const { position, index, timeMs, caller, traceId, command, subject, outcome, detail, hash } = line;
      return JSON.stringify({ position, index, timeMs, caller, traceId, command, subject, outcome, detail, hash });
    }
    default: {
      const { records, finalHash, sha256 } = line;
      return JSON.stringify({ records, finalHash, sha256 });
    }
  }
}

const HASH = /^[0-9a-f]{64}$/;
const isText = (value: unknown): value is string => typeof value === 'string';
const isHash = (value: unknown): value is string => isText(value) && HASH.test(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** null: no line that {@link lineText} writes. */
export function parseLine(text: string): ExportLine | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof json !== 'object' || json === null) return null;
  const line = lineOf(json as Readonly<Record<string, unknown>>);
  return line !== null && lineText(line) === text ? line : null;
}

function lineOf(fields: Readonly<Record<string, unknown>>): ExportLine | null {
  if (fields.format === AUDIT_FORMAT) {
    const { clusterId, firstPosition, previousHash } = fields;
    if (!isText(clusterId) || !isCount(firstPosition) || !isHash(previousHash)) return null;
    return { kind: 'header', clusterId, firstPosition, previousHash };
  }
  if ('finalHash' in fields) {
    const { records, finalHash, sha256 } = fields;
    if (!isCount(records) || !isHash(finalHash) || !isHash(sha256)) return null;
    return { kind: 'trailer', records, finalHash, sha256 };
  }
  const { position, index, timeMs, caller, traceId, command, subject, outcome, detail, hash } = fields;
  if (!isCount(position) || !isCount(index) || !isCount(timeMs) || !isHash(hash)) return null;
  if (![caller, traceId, command, subject, outcome, detail].every(isText)) return null;
  const texts = { caller, traceId, command, subject, outcome, detail } as Record<string, string>;
  return { kind: 'record', position, index, timeMs, ...texts, hash } as unknown as ExportLine;
}

/** Makes the bytes of an export, piece by piece. */
export class ExportWriter {
  readonly #sha256 = createHash('sha256');
  #records = 0;
  #hash = '';

  begin(header: ExportHeader): Uint8Array {
    this.#hash = header.previousHash;
    return this.#bytes([{ kind: 'header', ...header }]);
  }

  add(records: readonly ExportRecord[]): Uint8Array {
    this.#records += records.length;
    this.#hash = records.at(-1)?.hash ?? this.#hash;
    return this.#bytes(records.map((record) => ({ kind: 'record', ...record })));
  }

  end(): { readonly bytes: Uint8Array; readonly trailer: ExportTrailer } {
    const trailer = { records: this.#records, finalHash: this.#hash, sha256: this.#sha256.digest('hex') };
    return { bytes: Buffer.from(`${lineText({ kind: 'trailer', ...trailer })}\n`, 'utf8'), trailer };
  }

  #bytes(lines: readonly ExportLine[]): Uint8Array {
    const bytes = Buffer.from(lines.map((line) => `${lineText(line)}\n`).join(''), 'utf8');
    this.#sha256.update(bytes);
    return bytes;
  }
}
