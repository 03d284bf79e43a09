/** The hash chain of the audit log, in pure code: every replica works out the same. */
import { sha256 } from '@noble/hashes/sha2';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils';
import { auditText } from './record-text.ts';
import type { AuditBlockRow } from './types.ts';

/** Hash of the last record of a block; 64 hexadecimal digits. */
export function hashAfter(block: AuditBlockRow): string {
  let hash = block.previousHash;
  block.records.forEach((record, i) => {
    hash = bytesToHex(sha256(utf8ToBytes(auditText(hash, block.first + i, record))));
  });
  return hash;
}
