/** Frames of a backup file, read from any source of bytes. Layout: `FORMAT.md`. */
import { createHash, type Hash } from 'node:crypto';
import { checksum } from './chunk.ts';

/** crc, length of the payload, kind and three zeroes. */
export const FRAME_HEADER_BYTES = 12;
export const FRAME_KINDS = { header: 0x48, chunk: 0x43, trailer: 0x54 } as const;
export type FrameKind = (typeof FRAME_KINDS)[keyof typeof FRAME_KINDS];

/** The file is not a whole, sound backup. `offset`: where that was found, in bytes from its start. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly problem: 'damaged' | 'version';
  readonly offset: number;
  constructor(problem: 'damaged' | 'version', offset: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
    this.offset = offset;
  }
}

export function damaged(offset: number, what: string): BackupError {
  return new BackupError(
    'damaged',
    offset,
    `The backup is damaged at byte ${offset}: ${what}. Use another copy of it.`,
  );
}

export function encodeFrame(kind: FrameKind, payload: Uint8Array, offset: number): Uint8Array {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 4);
  frame.writeUInt8(kind, 8);
  frame.set(payload, FRAME_HEADER_BYTES);
  frame.writeUInt32LE(frameChecksum(frame, offset), 0);
  return frame;
}

/** The place in the file is part of it: a frame that was moved or repeated does not pass. */
function frameChecksum(frame: Uint8Array, offset: number): number {
  const place = Buffer.alloc(8);
  place.writeDoubleLE(offset);
  return checksum(frame.subarray(4), checksum(place));
}

/** Bytes in order, in pieces as they are wanted; knows how far it is, and the SHA-256 of what it gave. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #sha256: Hash = createHash('sha256');
  #held: Buffer = Buffer.alloc(0);
  #ended = false;
  offset = 0;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#pieces = bytes[Symbol.asyncIterator]();
  }

  /** The next `length` bytes. Rejects with {@link BackupError} when there are fewer. */
  async take(length: number, what: string): Promise<Buffer> {
    await this.#fill(length);
    if (this.#held.length < length) throw damaged(this.offset + this.#held.length, `it ends in the middle of ${what}`);
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    this.#sha256.update(taken);
    this.offset += length;
    return taken;
  }

  async atEnd(): Promise<boolean> {
    await this.#fill(1);
    return this.#held.length === 0;
  }

  /** Of everything that was taken so far. */
  sha256(): string {
    return this.#sha256.copy().digest('hex');
  }

  /** Lets the source go. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#pieces.return?.();
  }

  async #fill(length: number): Promise<void> {
    const parts: Buffer[] = [this.#held];
    let held = this.#held.length;
    while (held < length && !this.#ended) {
      const piece = await this.#pieces.next();
      if (piece.done === true) {
        this.#ended = true;
        break;
      }
      const { value } = piece;
      parts.push(Buffer.from(value.buffer, value.byteOffset, value.length));
      held += value.length;
    }
    if (parts.length > 1) this.#held = Buffer.concat(parts);
  }
}

export interface Frame {
  readonly kind: FrameKind;
  /** Where it begins. */
  readonly offset: number;
  readonly payload: Buffer;
}

/** The next frame; no longer than `payloadMax`. */
export async function readFrame(reader: ByteReader, payloadMax: number): Promise<Frame> {
  const { offset } = reader;
  const head = await reader.take(FRAME_HEADER_BYTES, 'a frame');
  const length = head.readUInt32LE(4);
  if (length > payloadMax) throw damaged(offset + 4, 'a frame is too long');
  const payload = await reader.take(length, 'a frame');
  if (frameChecksum(Buffer.concat([head, payload]), offset) !== head.readUInt32LE(0)) {
    throw damaged(offset, `the checksum of the ${FRAME_HEADER_BYTES + length} bytes from here on does not match`);
  }
  const kind = Object.values(FRAME_KINDS).find((known) => known === head.readUInt8(8));
  if (kind === undefined || head.readUIntLE(9, 3) !== 0) throw damaged(offset + 8, 'a frame is of an unknown kind');
  return { kind, offset, payload };
}
