/** An export of the audit log as a file: it has its name only when it is whole and on disk. */
import { createReadStream } from 'node:fs';
import { link, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ExportHeader, type ExportRecord, type ExportTrailer, ExportWriter } from './export-file.ts';

/** What is not complete yet has this at the end of its name. */
const PARTIAL = '.partial';
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
export async function writeAuditFile(
  path: string,
  pieces: AsyncIterable<AuditPiece>,
  onProgress: (records: number) => void = () => undefined,
): Promise<AuditFileSummary> {
  await refuseExisting(path);
  const partial = `${path}${PARTIAL}`;
  // Fails when another export to the same file is under way.
  const file = await open(partial, 'wx');
  try {
    let summary: AuditFileSummary;
    try {
      summary = await writePieces(file, pieces, onProgress);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike a rename this never replaces a file that has come up meanwhile.
    await link(partial, path);
    await syncFolder(dirname(path));
    return summary;
  } finally {
    await rm(partial, { force: true });
  }
}

async function writePieces(
  file: { writeFile(piece: Uint8Array): Promise<void> },
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

/** Said before any work is done. */
async function refuseExisting(path: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return;
  throw Object.assign(new Error(`EEXIST: file already exists, export to '${path}'`), { code: 'EEXIST', path });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
