/** Hash of an audit record, for those outside of the state machine: the same as `machine/audit/chain.ts`, by the platform's SHA-256. */
import { createHash } from 'node:crypto';
import { auditText } from '../machine/audit/record-text.ts';
import type { AuditRecord } from '../machine/audit/types.ts';

/** 64 hexadecimal digits. */
export function auditHash(previousHash: string, position: number, record: AuditRecord): string {
  return createHash('sha256')
    .update(auditText(previousHash, position, record), 'utf8')
    .digest('hex');
}
