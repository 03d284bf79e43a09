/**
 * The state hash (R7): a sum over all rows of a 128-bit hash of (table, key, value), four 32-bit lanes modulo 2^32.
 * A sum does not care for order, so a changed row costs one subtraction and one addition.
 *
 * The row hash mixes eight UTF-16 code units at a time into four lanes that feed one another, in the manner of
 * MurmurHash3 (A. Appleby, x86 128-bit variant; the tail is padded with zeroes instead of being treated apart). It guards
 * against accidents (a diverging replica), not against an adversary. Its values are compared between members of different
 * versions: they never change.
 */

export interface Hash128 {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

const rotl = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;

/** Last mixing step: every input bit reaches every output bit. */
function avalanche(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Zeroes that fill the last block, by what is missing. Reading past the end would give NaN, and make the loop slow. */
const PADDING = Array.from({ length: 8 }, (_, missing) => '\u0000'.repeat(missing));

/** Hash of one text. Lone surrogates are hashed as they stand. */
export function hashText(text: string): Hash128 {
  return hashBlocks(text + PADDING[-text.length & 7], text.length);
}

/** `units` is the text of `length` code units, filled up to whole blocks of eight. */
function hashBlocks(units: string, length: number): Hash128 {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const blocks = units.length;
  for (let i = 0; i < blocks; i += 8) {
    const w1 = units.charCodeAt(i) | (units.charCodeAt(i + 1) << 16);
    const w2 = units.charCodeAt(i + 2) | (units.charCodeAt(i + 3) << 16);
    const w3 = units.charCodeAt(i + 4) | (units.charCodeAt(i + 5) << 16);
    const w4 = units.charCodeAt(i + 6) | (units.charCodeAt(i + 7) << 16);
    a ^= Math.imul(rotl(Math.imul(w1, C1), 15), C2);
    a = (Math.imul(rotl(a, 19) + b, 5) + 0x561ccd1b) | 0;
    b ^= Math.imul(rotl(Math.imul(w2, C2), 16), C3);
    b = (Math.imul(rotl(b, 17) + c, 5) + 0x0bcaa747) | 0;
    c ^= Math.imul(rotl(Math.imul(w3, C3), 17), C4);
    c = (Math.imul(rotl(c, 15) + d, 5) + 0x96cd1c35) | 0;
    d ^= Math.imul(rotl(Math.imul(w4, C4), 18), C1);
    d = (Math.imul(rotl(d, 13) + a, 5) + 0x32ac3b17) | 0;
  }
  a ^= length;
  b ^= length;
  c ^= length;
  d ^= length;
  a = (a + b + c + d) | 0;
  b = (b + a) | 0;
  c = (c + a) | 0;
  d = (d + a) | 0;
  a = avalanche(a);
  b = avalanche(b);
  c = avalanche(c);
  d = avalanche(d);
  a = (a + b + c + d) | 0;
  return { a, b: (b + a) | 0, c: (c + a) | 0, d: (d + a) | 0 };
}

/** Hash of a row. The length of the key stands before it, so that no two rows give the same text. */
export function hashRow(table: string, key: string, value: string): Hash128 {
  const head = `${table} ${key.length} ${key}`;
  const length = head.length + value.length;
  // Joined once, with its padding: V8 copies a joined text when its units are first read.
  return hashBlocks(head + value + PADDING[-length & 7], length);
}

/** The running sum. */
export class StateHash {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  add(hash: Hash128): void {
    this.#a = (this.#a + hash.a) | 0;
    this.#b = (this.#b + hash.b) | 0;
    this.#c = (this.#c + hash.c) | 0;
    this.#d = (this.#d + hash.d) | 0;
  }

  subtract(hash: Hash128): void {
    this.#a = (this.#a - hash.a) | 0;
    this.#b = (this.#b - hash.b) | 0;
    this.#c = (this.#c - hash.c) | 0;
    this.#d = (this.#d - hash.d) | 0;
  }

  /** 32 hexadecimal digits. */
  toHex(): string {
    return [this.#a, this.#b, this.#c, this.#d].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
