/**
 * Seeded randomness for simulations: sfc32, seeded through splitmix32. Integer arithmetic only, so that every
 * JavaScript engine draws the same numbers from the same seed.
 */
import { RANDOM_BOUND_MAX, type Random } from '../../../src/ports/random.ts';

export class Prng implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is a safe integer; `stream` tells apart independent sources of one seed. */
  constructor(seed: number, stream: number) {
    const mix = splitmix32((seed >>> 0) ^ Math.imul(stream + 1, 0x9e3779b1));
    this.#a = mix() ^ (Math.floor(seed / 2 ** 32) >>> 0);
    this.#b = mix();
    this.#c = mix();
    for (let round = 0; round < 12; round += 1) this.next();
  }

  /** Uniform in [0, 2^32). */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  below(bound: number): number {
    if (bound >= RANDOM_BOUND_MAX) throw new Error(`cannot draw below ${bound}`);
    if (bound <= 1) return 0;
    // The bias of 2^-21 at most does not matter here; one draw per number keeps runs comparable.
    if (bound <= 2 ** 32) return Math.floor((this.next() / 2 ** 32) * bound);
    return Math.floor(((this.next() * 2 ** 21 + (this.next() >>> 11)) / 2 ** 53) * bound);
  }

  /** Uniform integer in [min, max]. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True in `permille` of 1000 cases. */
  chance(permille: number): boolean {
    return permille > 0 && this.below(1000) < permille;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('pick from an empty list');
    return item;
  }

  /** Skewed towards small: uniform over orders of magnitude between `min` ≥ 1 and `max`. */
  scale(min: number, max: number): number {
    let low = min;
    let doublings = 0;
    while (low * 2 <= max) {
      low *= 2;
      doublings += 1;
    }
    const base = min * 2 ** this.below(doublings + 1);
    return Math.min(max, base + this.below(base));
  }
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}
