/**
 * Keys of rows: parts joined by a space. Numbers are padded to 16 digits, so that code-unit order is numeric order. Names hold
 * no character below '-' (see validate.ts), so all rows of a prefix stand together; free text may only come last.
 */
import { InvariantError } from '../types/assert.ts';

/** Above every key: keys begin with a letter, a digit or punctuation of ASCII. */
export const KEY_END = '\u007f';

const DIGITS = 16;
const ZEROES = '0'.repeat(DIGITS);

/** `value` as 16 decimal digits. Every safe integer fits. */
export function padded(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new InvariantError(`not a key number: ${value}`);
  const digits = String(value);
  return ZEROES.slice(digits.length) + digits;
}

/** First key of those that begin with `prefix` and a space. */
export const under = (prefix: string): string => `${prefix} `;
/** First key after those that begin with `prefix` and a space: '!' is the code unit after the space. */
export const after = (prefix: string): string => `${prefix}!`;
/** The first key greater than `key`. */
export const next = (key: string): string => `${key}\u0000`;

export const roundKey = (loop: string, g: number): string => `${loop} ${padded(g)}`;
export const runKey = (loop: string, g: number, position: number): string => `${loop} ${padded(g)} ${padded(position)}`;
export const attemptKey = (run: string, attempt: number): string => `${run} ${padded(attempt)}`;
export const subStepKey = (run: string, id: string): string => `${run} ${id}`;
export const answerKey = (session: number, sequence: number): string => `${padded(session)} ${padded(sequence)}`;
export const eventKey = (revision: number, ordinal: number): string => `${padded(revision)} ${padded(ordinal)}`;
