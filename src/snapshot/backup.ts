/**
 * Backups (U5): an image of the store as one file that says itself whether it is whole. Layout: `FORMAT.md`.
 *
 * Every byte is covered: by the magic and the version that are expected, by the checksum of its frame, and by the SHA-256 and
 * the state hash that the trailer names.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { hashRow, StateHash } from '../machine/hash.ts';
import { TOTAL_HASH_KEY, TOTAL_INDEX_KEY, TOTAL_TABLE } from '../machine/loader.ts';
import type { StoredRow } from '../machine/types.ts';
import type { RowPosition, StoreImage } from '../store/types.ts';
import { assert, must } from '../types/assert.ts';
import type { LogIndex } from '../types/ids.ts';
import { SNAPSHOT_CHUNK_BYTES } from '../types/limits.ts';
import {
  type BackupHeader,
  type BackupOrigin,
  type BackupTotals,
  type BackupTrailer,
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  encodeTrailer,
} from './backup-fields.ts';
import { CHUNK_BYTES_MAX, decodeChunk, encodeChunk, rowBytes } from './chunk.ts';
import { BackupError, ByteReader, damaged, encodeFrame, FRAME_KINDS, type Frame, readFrame } from './frame.ts';

const MAGIC = Buffer.from('QUORATEB', 'latin1');
const VERSION = 1;
const PREFIX_BYTES = MAGIC.length + 4;
/** Header and trailer: some lines of text. */
const FIELDS_BYTES_MAX = 64 * 1024;

/** What a whole, sound backup holds. */
export interface BackupSummary extends BackupTrailer {
  readonly header: BackupHeader;
  /** Size of the file. */
  readonly fileBytes: number;
}

/**
 * The file's bytes, in pieces of about SNAPSHOT_CHUNK_BYTES. `image` stays open, and belongs to the caller. Throws before the
 * trailer when the image is lost or not a whole state: what was written until then is refused by every reader.
 */
export async function* backupBytes(image: StoreImage, origin: BackupOrigin): AsyncGenerator<Uint8Array, void, void> {
  assert(image.mark.term > 0, 'an image without its term is not backed up (StoredState.mark)');
  const sha256 = createHash('sha256');
  const totals = new Totals();
  let offset = 0;
  const count = (piece: Uint8Array): Uint8Array => {
    sha256.update(piece);
    offset += piece.length;
    return piece;
  };
  yield count(encodeStart({ ...origin, mark: image.mark }));
  let after: RowPosition | null = null;
  do {
    const { rows, next } = await image.read(after, SNAPSHOT_CHUNK_BYTES);
    totals.add(rows);
    yield count(encodeFrame(FRAME_KINDS.chunk, encodeChunk(rows), offset));
    after = next;
    await turn();
  } while (after !== null);
  const problem = totals.problem(image.mark.index);
  if (problem !== null) throw new Error(`The store cannot be backed up: ${problem}. Back up from another member.`);
  yield encodeFrame(FRAME_KINDS.trailer, encodeTrailer({ ...totals.values(), sha256: sha256.digest('hex') }), offset);
}

function encodeStart(header: BackupHeader): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.set(MAGIC);
  prefix.writeUInt32LE(VERSION, MAGIC.length);
  return Buffer.concat([prefix, encodeFrame(FRAME_KINDS.header, encodeHeader(header), PREFIX_BYTES)]);
}

/** Reads a backup front to back. What it gave before `summary` says that all is well is not vouched for. */
export class BackupReader {
  readonly header: BackupHeader;
  readonly #reader: ByteReader;
  #summary: BackupSummary | null = null;

  private constructor(reader: ByteReader, header: BackupHeader) {
    this.#reader = reader;
    this.header = header;
  }

  /** Reads the header. Rejects with {@link BackupError}, or with what `bytes` throws. */
  static async open(bytes: AsyncIterable<Uint8Array>): Promise<BackupReader> {
    const reader = new ByteReader(bytes);
    try {
      const prefix = await reader.take(PREFIX_BYTES, 'its first line');
      if (!prefix.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(0, 'it does not begin as a backup does');
      const version = prefix.readUInt32LE(MAGIC.length);
      if (version !== VERSION) throw otherVersion(version);
      const frame = await readFrame(reader, FIELDS_BYTES_MAX);
      const header = frame.kind === FRAME_KINDS.header ? decodeHeader(frame.payload) : null;
      if (header === null) throw damaged(frame.offset, 'there is no header');
      return new BackupReader(reader, header);
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /**
   * All rows, a chunk at a time, in the order of the store; the last one is the state hash. Ends after the trailer was checked:
   * throws {@link BackupError} for any byte that is not as it was written. Can be run through once.
   */
  async *rows(): AsyncGenerator<readonly StoredRow[], void, void> {
    const totals = new Totals();
    try {
      for (;;) {
        const sha256 = this.#reader.sha256();
        const frame = await readFrame(this.#reader, Math.max(CHUNK_BYTES_MAX, FIELDS_BYTES_MAX));
        if (frame.kind === FRAME_KINDS.trailer) {
          this.#summary = await this.#finish(frame, totals, sha256);
          return;
        }
        const chunk = frame.kind === FRAME_KINDS.chunk ? decodeChunk(frame.payload) : null;
        if (chunk === null) throw damaged(frame.offset, 'a frame holds no rows');
        totals.add(chunk.rows);
        yield chunk.rows;
      }
    } finally {
      await this.#reader.close();
    }
  }

  /** Known once `rows` has come to its end. */
  get summary(): BackupSummary {
    return must(this.#summary, 'the rows were read to the end');
  }

  /** Bytes read so far; for progress. */
  get offset(): number {
    return this.#reader.offset;
  }

  async #finish(frame: Frame, totals: Totals, sha256: string): Promise<BackupSummary> {
    const trailer = decodeTrailer(frame.payload);
    if (trailer === null) throw damaged(frame.offset, 'the trailer cannot be read');
    if (!(await this.#reader.atEnd())) throw damaged(this.#reader.offset, 'there is something after its end');
    const { rows, bytes, stateHash } = totals.values();
    if (trailer.sha256 !== sha256) throw damaged(frame.offset, 'the SHA-256 does not match');
    const problem = totals.problem(this.header.mark.index);
    if (problem !== null) throw damaged(frame.offset, problem);
    if (trailer.rows !== rows || trailer.bytes !== bytes || trailer.stateHash !== stateHash) {
      throw damaged(frame.offset, 'there are not as many rows as were written');
    }
    return { ...trailer, header: this.header, fileBytes: this.#reader.offset };
  }
}

/** Reads everything. Rejects with {@link BackupError} for any byte that is not as it was written. */
export async function verifyBackup(
  bytes: AsyncIterable<Uint8Array>,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<BackupSummary> {
  const reader = await BackupReader.open(bytes);
  for await (const _ of reader.rows()) {
    onProgress(reader.offset);
    await turn();
  }
  return reader.summary;
}

/** Adds rows up, and compares with the state hash among them. */
class Totals {
  readonly #hash = new StateHash();
  #rows = 0;
  #bytes = 0;
  #total: string | null = null;
  #index: string | null = null;

  add(rows: readonly StoredRow[]): void {
    for (const row of rows) {
      this.#rows += 1;
      this.#bytes += rowBytes(row);
      if (row.table !== TOTAL_TABLE) this.#hash.add(hashRow(row.table, row.key, row.value));
      else if (row.key === TOTAL_HASH_KEY) this.#total = row.value;
      else if (row.key === TOTAL_INDEX_KEY) this.#index = row.value;
    }
  }

  values(): BackupTotals {
    return { rows: this.#rows, bytes: this.#bytes, stateHash: this.#hash.toHex() };
  }

  /** null: the rows are a whole state, the one after entry `index`. */
  problem(index: LogIndex): string | null {
    if (this.#index !== null && this.#index !== String(index)) return 'its rows are not those of its index';
    return this.#total === this.#hash.toHex()
      ? null
      : 'its rows do not add up to the state hash that was stored with them';
  }
}

function otherVersion(version: number): BackupError {
  const what = `The backup has format ${version}, or is damaged at byte ${MAGIC.length}; this version reads format ${VERSION}.`;
  return new BackupError('version', MAGIC.length, `${what} Use the version that wrote it, or a newer one.`);
}
