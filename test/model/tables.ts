/** Big tables of small numbers, outside of the heap: what makes millions of states affordable. */

/** From a pair of non-negative integers to a non-negative integer. */
export class PairTable {
  #keys: Int32Array;
  #values: Int32Array;
  #mask: number;
  #count = 0;

  constructor(bits = 16) {
    this.#mask = (1 << bits) - 1;
    this.#keys = new Int32Array(2 << bits).fill(-1);
    this.#values = new Int32Array(1 << bits);
  }

  get size(): number {
    return this.#count;
  }

  #slot(left: number, right: number): number {
    let at = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    at = (at ^ (at >>> 15)) & this.#mask;
    while (this.#keys[2 * at] !== -1 && (this.#keys[2 * at] !== left || this.#keys[2 * at + 1] !== right)) {
      at = (at + 1) & this.#mask;
    }
    return at;
  }

  /** −1 when the pair is unknown. */
  get(left: number, right: number): number {
    const at = this.#slot(left, right);
    return this.#keys[2 * at] === -1 ? -1 : (this.#values[at] as number);
  }

  set(left: number, right: number, value: number): void {
    const at = this.#slot(left, right);
    if (this.#keys[2 * at] === -1) this.#count++;
    this.#keys[2 * at] = left;
    this.#keys[2 * at + 1] = right;
    this.#values[at] = value;
    if (this.#count * 10 > this.#mask * 6) this.#grow();
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#mask = 2 * this.#mask + 1;
    this.#keys = new Int32Array(2 * (this.#mask + 1)).fill(-1);
    this.#values = new Int32Array(this.#mask + 1);
    for (let old = 0; old < values.length; old++) {
      if (keys[2 * old] === -1) continue;
      const at = this.#slot(keys[2 * old] as number, keys[2 * old + 1] as number);
      this.#keys[2 * at] = keys[2 * old] as number;
      this.#keys[2 * at + 1] = keys[2 * old + 1] as number;
      this.#values[at] = values[old] as number;
    }
  }
}

/** Fingerprints of 64 bits, as two halves. Two zeros stand for an empty slot. */
export class FingerprintSet {
  #slots: Int32Array;
  #mask: number;
  #count = 0;

  constructor(bits = 16) {
    this.#mask = (1 << bits) - 1;
    this.#slots = new Int32Array(2 << bits);
  }

  get size(): number {
    return this.#count;
  }

  /** False when it was there already. */
  add(high: number, low: number): boolean {
    if (!this.#put(high, low)) return false;
    this.#count++;
    if (this.#count * 10 > this.#mask * 6) this.#grow();
    return true;
  }

  #put(high: number, low: number): boolean {
    const slots = this.#slots;
    const mark = high === 0 && low === 0 ? 1 : low;
    let at = (high ^ Math.imul(mark, 0x9e3779b1)) & this.#mask;
    for (;;) {
      const [left, right] = [slots[2 * at], slots[2 * at + 1]];
      if (left === 0 && right === 0) break;
      if (left === high && right === mark) return false;
      at = (at + 1) & this.#mask;
    }
    slots[2 * at] = high;
    slots[2 * at + 1] = mark;
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = 2 * this.#mask + 1;
    this.#slots = new Int32Array(2 * (this.#mask + 1));
    for (let at = 0; at < old.length; at += 2) {
      const [high, low] = [old[at] as number, old[at + 1] as number];
      if (high !== 0 || low !== 0) this.#put(high, low);
    }
  }
}

const CHUNK = 1 << 20;

/** A list of numbers that only grows. */
export class Numbers {
  readonly #chunks: Int32Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const at = this.#length++;
    if (at % CHUNK === 0) this.#chunks.push(new Int32Array(CHUNK));
    (this.#chunks[this.#chunks.length - 1] as Int32Array)[at % CHUNK] = value;
  }

  get(at: number): number {
    return (this.#chunks[(at / CHUNK) | 0] as Int32Array)[at % CHUNK] as number;
  }
}
