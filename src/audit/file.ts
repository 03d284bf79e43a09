/** An export of the audit log as a file: it has its name only when it is whole and on disk. */
import { createReadStream } from 'node:fs';
import { type FileWriter, writeWholeFile } from '../files/whole-file.ts';
import { type ExportHeader, type ExportRecord, type ExportTrailer, ExportWriter } from './export-file.ts';

const READ_BYTES = 256 * 1024;

export interface AuditPiece {
  readonly info: ExportHeader;
  readonly records: readonly ExportRecord[];
}

export interface AuditFileSummary {
  readonly header: ExportHeader;
  readonly trailer: ExportTrailer;
}

/** For `verifyAudit`. */
export function auditFileBytes(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: READ_BYTES });
}

/**
 * Writes the pieces, the first of which has the facts, to `path`, which must not exist. Rejects with an error of the file system, or
 * with what `pieces` throws; what was written until then is removed.
 */
export function writeAuditFile(
  path: string,
  pieces: AsyncIterable<AuditPiece>,
  onProgress: (records: number) => void = () => undefined,
): Promise<AuditFileSummary> {
  return writeWholeFile(path, 'export', (file) => writePieces(file, pieces, onProgress));
}

async function writePieces(
  file: FileWriter,
  pieces: AsyncIterable<AuditPiece>,
  onProgress: (records: number) => void,
): Promise<AuditFileSummary> {
  const writer = new ExportWriter();
  let header: ExportHeader | null = null;
  let records = 0;
  for await (const piece of pieces) {
    if (header === null) {
      header = piece.info;
      await file.writeFile(writer.begin(header));
    }
    if (piece.records.length > 0) await file.writeFile(writer.add(piece.records));
    records += piece.records.length;
    onProgress(records);
  }
  if (header === null) throw new Error('the export has no beginning');
  const { bytes, trailer } = writer.end();
  await file.writeFile(bytes);
  return { header, trailer };
}
