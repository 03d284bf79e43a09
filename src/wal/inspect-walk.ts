/**
 * Walks one segment and goes on after what is bad: the next intact record of this segment is looked for (W4). For offline
 * inspection and for what a damaged log can still vouch for; start-up uses the stricter `scan.ts`.
 */
import {
  claimedBytes,
  decodeRecord,
  FLAG_LAST_OF_BATCH,
  RECORD_HEADER_BYTES,
  type ScannedRecord,
  SEGMENT_HEADER_BYTES,
} from './record.ts';

const STEP_BYTES = 8;

export type Step =
  | { readonly kind: 'record'; readonly record: ScannedRecord }
  /** Not intact, from `offset` to the next intact record. */
  | { readonly kind: 'bad'; readonly offset: number; readonly bytes: number; readonly problem: string }
  /** Intact, but not what was written after the record before it. */
  | { readonly kind: 'chain'; readonly offset: number }
  /**
   * Nothing intact follows. `written`: what lies there was written in this life of the file, as far as can be told.
   * `inBatch`: the records before it are of a batch that has no end.
   */
  | {
      readonly kind: 'end';
      readonly offset: number;
      readonly bytes: number;
      readonly written: boolean;
      readonly inBatch: boolean;
    };

/** `bytes` is the whole file; `tag` the CRC of its header. */
export function* walkSegment(bytes: Buffer, tag: number, recycled: boolean): Generator<Step> {
  let offset = SEGMENT_HEADER_BYTES;
  let chain: number | null = tag;
  let inBatch = false;
  for (;;) {
    const record = intactAt(bytes, tag, offset);
    if (record !== null) {
      if (chain !== null && record.chain !== chain) yield { kind: 'chain', offset };
      yield { kind: 'record', record };
      chain = record.crc;
      offset = record.end;
      inBatch = (record.flags & FLAG_LAST_OF_BATCH) === 0;
      continue;
    }
    const next = nextIntact(bytes, tag, offset + STEP_BYTES);
    if (next === null) {
      const rest = trailing(bytes, offset);
      const follows = chain !== null && offset + 12 <= bytes.length && bytes.readUInt32LE(offset + 8) === chain;
      yield { kind: 'end', offset, bytes: rest, written: rest > 0 && (!recycled || inBatch || follows), inBatch };
      return;
    }
    yield { kind: 'bad', offset, bytes: next - offset, problem: problemAt(bytes, offset, next) };
    chain = null;
    offset = next;
  }
}

function intactAt(bytes: Buffer, tag: number, offset: number): ScannedRecord | null {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return null;
  const claimed = claimedBytes(bytes, offset, bytes.length - offset);
  return claimed === null || claimed === 0 ? null : decodeRecord(bytes, offset, tag, offset);
}

function nextIntact(bytes: Buffer, tag: number, from: number): number | null {
  for (let offset = from; offset + RECORD_HEADER_BYTES <= bytes.length; offset += STEP_BYTES) {
    // Most places are ruled out by the two bytes that are 0 in every record, and by the durable offset.
    if (bytes.readUInt16LE(offset + 18) !== 0 || bytes.readUInt32LE(offset + 12) > offset) continue;
    if (intactAt(bytes, tag, offset) !== null) return offset;
  }
  return null;
}

function problemAt(bytes: Buffer, offset: number, next: number): string {
  if (bytes.subarray(offset, next).every((byte) => byte === 0)) return 'zeroes stand where a record was';
  const claimed = claimedBytes(bytes, offset, bytes.length - offset);
  if (claimed === null || claimed === 0) return 'the length of the record is impossible';
  return 'the CRC of the record is wrong for this place of this segment';
}

/** Bytes behind `offset` without trailing zeroes. */
function trailing(bytes: Buffer, offset: number): number {
  let end = bytes.length;
  while (end > offset && bytes[end - 1] === 0) end -= 1;
  return end - offset;
}
