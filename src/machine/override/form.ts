/** The form of what is signed. */
import { SUPERVISORS_MAX } from '../../types/limits.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, checkName, firstOf, invalid } from '../validate.ts';
import type { Signature } from './types.ts';

export const PUBLIC_KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

export function checkSignatures(signatures: readonly Signature[], min: number): Rejection | null {
  const count = checkInteger('signatures', signatures.length, min, SUPERVISORS_MAX);
  if (count !== null) return count;
  for (const { supervisor, publicKey, signature } of signatures) {
    const bad = firstOf(
      checkName('signatures.supervisor', supervisor),
      PUBLIC_KEY.test(publicKey)
        ? null
        : invalid('signatures.publicKey', 'Give signatures.publicKey as 64 lower-case hexadecimal digits.'),
      SIGNATURE.test(signature)
        ? null
        : invalid('signatures.signature', 'Give signatures.signature as 128 lower-case hexadecimal digits.'),
    );
    if (bad !== null) return bad;
  }
  return null;
}

/** One line: line breaks part the fields of the text that is signed. */
export function checkLine(field: string, value: string): Rejection | null {
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0))
      return invalid(field, `Give ${field} without control characters.`);
  }
  return null;
}
