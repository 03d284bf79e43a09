/** Rows ⇄ bytes, for transfers and backups alike. Layout: `FORMAT.md`. Never changes once released: a file may be old. */
import crc32 from 'crc-32';
import { compressSync, uncompressSync } from 'lz4-napi';
import type { StoredRow } from '../machine/types.ts';
import { assert } from '../types/assert.ts';
import { SNAPSHOT_CHUNK_BYTES_MAX } from '../types/limits.ts';

const VERSION = 1;
const FLAG_LZ4 = 1;
const HEADER_BYTES = 16;
const CRC_OFFSET = 12;
/** Lengths of table, key and value. */
const ROW_HEADER_BYTES = 12;
/** lz4-napi puts the length before the block. */
const LZ4_PREFIX_BYTES = 4;
const COMPRESS_BYTES_MIN = 256;
/** Stands in keys of the store, which the name must not break. */
const TABLE = /^[a-z][a-z.]{0,31}$/;

/** Largest encoded chunk. */
export const CHUNK_BYTES_MAX = HEADER_BYTES + SNAPSHOT_CHUNK_BYTES_MAX;

export interface ChunkRows {
  readonly rows: readonly StoredRow[];
  /** Of the rows, before compression. */
  readonly bytes: number;
}

/** CRC-32 of `bytes` going on from `seed`, unsigned. */
export function checksum(bytes: Uint8Array, seed = 0): number {
  return crc32.buf(bytes, seed | 0) >>> 0;
}

export function encodeChunk(rows: readonly StoredRow[]): Uint8Array {
  const raw = encodeRows(rows);
  const packed = raw.length < COMPRESS_BYTES_MIN ? null : compressSync(raw);
  const compressed = packed !== null && packed.length <= raw.length - raw.length / 8;
  const body = compressed ? packed : raw;
  const chunk = Buffer.alloc(HEADER_BYTES + body.length);
  chunk.writeUInt8(VERSION, 0);
  chunk.writeUInt8(compressed ? FLAG_LZ4 : 0, 1);
  chunk.writeUInt32LE(raw.length, 4);
  chunk.writeUInt32LE(rows.length, 8);
  chunk.set(body, HEADER_BYTES);
  chunk.writeUInt32LE(chunkChecksum(chunk), CRC_OFFSET);
  return chunk;
}

/** null: these are not the bytes of a chunk; no bit of it may differ. Takes memory for SNAPSHOT_CHUNK_BYTES_MAX at most. */
export function decodeChunk(bytes: Uint8Array): ChunkRows | null {
  if (bytes.length < HEADER_BYTES || bytes.length > CHUNK_BYTES_MAX) return null;
  const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (chunk.readUInt32LE(CRC_OFFSET) !== chunkChecksum(chunk)) return null;
  const [version, flags, rawLength] = [chunk.readUInt8(0), chunk.readUInt8(1), chunk.readUInt32LE(4)];
  if (version !== VERSION || flags > FLAG_LZ4 || chunk.readUInt16LE(2) !== 0) return null;
  const body = chunk.subarray(HEADER_BYTES);
  const raw = flags === FLAG_LZ4 ? uncompressed(body, rawLength) : body;
  if (raw === null || raw.length !== rawLength) return null;
  const rows = decodeRows(raw, chunk.readUInt32LE(8));
  return rows === null ? null : { rows, bytes: rawLength };
}

function chunkChecksum(chunk: Buffer): number {
  return checksum(chunk.subarray(HEADER_BYTES), checksum(chunk.subarray(0, CRC_OFFSET)));
}

function uncompressed(body: Buffer, rawLength: number): Buffer | null {
  if (rawLength > SNAPSHOT_CHUNK_BYTES_MAX || body.length < LZ4_PREFIX_BYTES) return null;
  if (body.readUInt32LE(0) !== rawLength) return null;
  try {
    return uncompressSync(body);
  } catch {
    return null;
  }
}

/** What a row takes in a chunk, before compression. */
export function rowBytes({ table, key, value }: StoredRow): number {
  return ROW_HEADER_BYTES + Buffer.byteLength(table) + Buffer.byteLength(key) + Buffer.byteLength(value);
}

function encodeRows(rows: readonly StoredRow[]): Buffer {
  const length = rows.reduce((sum, row) => sum + rowBytes(row), 0);
  assert(length <= SNAPSHOT_CHUNK_BYTES_MAX, `rows of ${length} bytes do not fit a chunk`);
  const raw = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { table, key, value } of rows) {
    assert(TABLE.test(table), `not the name of a table: ${table}`);
    let end = at + ROW_HEADER_BYTES;
    for (const [i, text] of [table, key, value].entries()) {
      const written = raw.write(text, end);
      raw.writeUInt32LE(written, at + 4 * i);
      end += written;
    }
    at = end;
  }
  assert(at === length, 'rows have the length that was counted');
  return raw;
}

function decodeRows(raw: Buffer, count: number): readonly StoredRow[] | null {
  const rows: StoredRow[] = [];
  let at = 0;
  while (at + ROW_HEADER_BYTES <= raw.length && rows.length < count) {
    const table = at + ROW_HEADER_BYTES;
    const key = table + raw.readUInt32LE(at);
    const value = key + raw.readUInt32LE(at + 4);
    const end = value + raw.readUInt32LE(at + 8);
    if (end > raw.length) return null;
    const name = raw.toString('utf8', table, key);
    if (!TABLE.test(name)) return null;
    rows.push({ table: name, key: raw.toString('utf8', key, value), value: raw.toString('utf8', value, end) });
    at = end;
  }
  return at === raw.length && rows.length === count ? rows : null;
}
