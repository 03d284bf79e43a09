/** The hash chain of the audit log, in pure code: every replica works out the same. */
import { sha256 } from '@noble/hashes/sha2';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils';
import { auditText } from './record-text.ts';
import { sha256OfAscii } from './sha256-ascii.ts';
import type { AuditBlockRow } from './types.ts';

/** Hash of the last record of a block; 64 hexadecimal digits. */
export function hashAfter(block: AuditBlockRow): string {
  let hash = block.previousHash;
  for (const [i, record] of block.records.entries()) {
    const text = auditText(hash, block.first + i, record);
    hash = sha256OfAscii(text) ?? bytesToHex(sha256(utf8ToBytes(text)));
  }
  return hash;
}
