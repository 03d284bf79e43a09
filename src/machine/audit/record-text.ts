/** The text of an audit record that its hash is taken over; also what verifiers outside of the state machine use. */
import type { AuditRecord } from './types.ts';

/** Hash before the first record of all. */
export const AUDIT_HASH_START = '0'.repeat(64);

/**
 * The hash before, a line feed, and the record as a JSON array. JSON.stringify writes no spaces and escapes what ECMA-262 says,
 * so that the text is the same everywhere; SHA-256 over its UTF-8 bytes is the record's hash.
 */
export function auditText(previousHash: string, position: number, record: AuditRecord): string {
  const { index, timeMs, caller, traceId, command, subject, outcome, detail } = record;
  const fields = [position, index, timeMs, caller, traceId, command, subject, outcome, detail];
  return `${previousHash}\n${JSON.stringify(fields)}`;
}
