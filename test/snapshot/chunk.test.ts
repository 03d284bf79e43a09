import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNK_BYTES_MAX, checksum, decodeChunk, encodeChunk } from '../../src/snapshot/chunk.ts';
import { SNAPSHOT_CHUNK_BYTES_MAX } from '../../src/types/limits.ts';
import { row } from '../store/support.ts';

const rowArbitrary = fc.record({
  table: fc.constantFrom('a', 'loop', 'substep', 'total'),
  key: fc.string({ unit: 'grapheme', maxLength: 30 }),
  value: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.nat(5_000).map((n) => 'x'.repeat(n)),
  ),
});

/** Puts the right checksum on bytes that were changed. */
function sealed(chunk: Uint8Array, change: (chunk: Buffer) => void): Buffer {
  const changed = Buffer.from(chunk);
  change(changed);
  changed.writeUInt32LE(checksum(changed.subarray(16), checksum(changed.subarray(0, 12))), 12);
  return changed;
}

describe('R4: a chunk', () => {
  it('gives back the rows that were put in, however long and in whatever writing', () => {
    fc.assert(
      fc.property(fc.array(rowArbitrary, { maxLength: 40 }), (rows) => {
        const chunk = encodeChunk(rows);
        expect(decodeChunk(chunk)?.rows).toEqual(rows);
        const padded = Buffer.concat([Buffer.alloc(3), chunk, Buffer.alloc(5)]);
        expect(decodeChunk(padded.subarray(3, 3 + chunk.length))?.rows).toEqual(rows);
      }),
    );
  });

  it('is compressed when that pays', () => {
    const even = encodeChunk([row('a', 'k', 'x'.repeat(100_000))]);
    expect(even.length).toBeLessThan(2_000);
    expect(decodeChunk(even)?.bytes).toBe(100_000 + 12 + 2);
    const digits = Array.from({ length: 40 }, (_, i) => String.fromCodePoint(33 + i)).join('');
    expect(encodeChunk([row('a', 'k', digits)]).length).toBe(16 + 12 + 2 + digits.length);
  });

  it.each([
    ['compressed', [row('a', 'k', 'x'.repeat(400)), row('b', 'ä', '')]],
    ['plain', [row('a', 'k', '[1]'), row('b', 'ä', '')]],
    ['empty', []],
  ])('CO: with any single bit flipped, cut or longer it is refused: %s', (_, rows) => {
    const chunk = Buffer.from(encodeChunk(rows));
    for (let bit = 0; bit < chunk.length * 8; bit++) {
      const flipped = Buffer.from(chunk);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(decodeChunk(flipped)).toBeNull();
    }
    for (let length = 0; length < chunk.length; length++) expect(decodeChunk(chunk.subarray(0, length))).toBeNull();
    expect(decodeChunk(Buffer.concat([chunk, Buffer.alloc(1)]))).toBeNull();
  });

  it('with a good checksum over nonsense is refused, and takes no memory for it', () => {
    const plain = encodeChunk([row('a', 'k', '[1]')]);
    const packed = encodeChunk([row('a', 'k', 'x'.repeat(400))]);
    const cases: readonly (readonly [Uint8Array, (chunk: Buffer) => void])[] = [
      [plain, (chunk) => chunk.writeUInt8(2, 0)],
      [plain, (chunk) => chunk.writeUInt8(2, 1)],
      [plain, (chunk) => chunk.writeUInt8(1, 2)],
      [plain, (chunk) => chunk.writeUInt8(1, 1)],
      [plain, (chunk) => chunk.writeUInt32LE(5, 4)],
      [plain, (chunk) => chunk.writeUInt32LE(2, 8)],
      [plain, (chunk) => chunk.writeUInt32LE(0, 8)],
      [plain, (chunk) => chunk.writeUInt32LE(0xffffffff, 16)],
      [plain, (chunk) => chunk.writeUInt32LE(4, 24)],
      [plain, (chunk) => chunk.write(' ', 28)],
      [packed, (chunk) => chunk.writeUInt32LE(SNAPSHOT_CHUNK_BYTES_MAX + 1, 4)],
      [packed, (chunk) => chunk.writeUInt32LE(0x7fffffff, 16)],
      [packed, (chunk) => chunk.fill(0xff, 20)],
    ];
    for (const [chunk, change] of cases) expect(decodeChunk(sealed(chunk, change))).toBeNull();
    expect(decodeChunk(sealed(plain, () => undefined))).not.toBeNull();
    expect(decodeChunk(new Uint8Array(CHUNK_BYTES_MAX + 1))).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 17, maxLength: 200 }), (bytes) => {
        decodeChunk(sealed(bytes, (chunk) => chunk.writeUInt32LE(chunk[0] === 0 ? 1 : 257, 0)));
      }),
    );
  });

  it('does not take rows that no reader would take', () => {
    expect(() => encodeChunk([row('a', 'k', 'x'.repeat(SNAPSHOT_CHUNK_BYTES_MAX))])).toThrow('do not fit');
    expect(() => encodeChunk([row('a b', 'k', '')])).toThrow('not the name of a table');
  });
});
