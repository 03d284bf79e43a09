/**
 * The record that says: everything before me in this segment is durable. It is written, and not synced, when an fsync
 * has ended and nothing follows; from then on damage to the last batch is told from a torn write (W4). FORMAT.md.
 */
import { encodeRecord, RECORD_HEADER_BYTES, recordBytes } from './record.ts';
import { syncMarkDraft } from './record-body.ts';

/** A group leaves this much room behind it, so that it can be marked in any case. */
export const SYNC_MARK_BYTES = RECORD_HEADER_BYTES;

/** For the place behind the last record, all of it durable; `chain` is that record's CRC, or the mark's in the answer. */
export function encodeSyncMark(
  tag: number,
  end: number,
  chain: number,
): { readonly bytes: Buffer; readonly chain: number } {
  const draft = syncMarkDraft();
  const bytes = Buffer.alloc(recordBytes(draft));
  return { bytes, chain: encodeRecord(bytes, 0, { tag, offset: end, chain, durable: end }, draft, true) };
}
