/**
 * The border between protobuf's 64-bit integers and the domain's numbers (architecture, decision 10): `bigint` stays
 * inside generated messages, everything else counts in safe integers.
 */
import { InvariantError } from '../types/assert.ts';
import type { Brand } from '../types/brand.ts';

const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** The number, or null when it is negative or above 2^53 − 1. */
export function toSafeNumber(value: bigint): number | null {
  return value <= SAFE_MAX && value >= 0n ? Number(value) : null;
}

/** As a protobuf uint64. The value comes from the domain, so one that is no safe non-negative integer is a bug. */
export function toUint64(value: number): bigint {
  if (Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw new InvariantError(`not a safe non-negative integer: ${value}`);
}

/**
 * Collects what is wrong with a message while it is decoded, so that decoding needs neither exceptions nor a Result
 * for each field: a faulty field yields a harmless stand-in, and the caller throws the whole value away when
 * `first` is set.
 */
export class DecodeFaults {
  #first: string | null = null;

  /** What is wrong with the first faulty field, or null. */
  get first(): string | null {
    return this.#first;
  }

  report(fault: string): void {
    this.#first ??= fault;
  }

  /** A number of brand `B`, at least `min`; the brands themselves promise no more than "safe and not negative". */
  number<B extends string>(field: string, value: bigint, min = 0): Brand<number, B> {
    const number = toSafeNumber(value);
    if (number !== null && number >= min) return number as Brand<number, B>;
    this.report(`${field} is ${value}, outside ${min} to 2^53 - 1`);
    return 0 as Brand<number, B>;
  }
}
