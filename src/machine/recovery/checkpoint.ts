/** The checksum over where a recovery stands (V4): whoever goes on looks at it first, and does not believe a damaged record. */
import crc32 from 'crc-32';
import type { RecoveryRow } from './types.ts';

/** CRC-32 over the UTF-8 bytes of a text, 0 to 2^32 − 1. */
export function textCrc(text: string): number {
  return crc32.str(text) >>> 0;
}

/** Over the fields that say where the recovery stands. */
export function checkpointCrc(row: Omit<RecoveryRow, 'crc'>): number {
  return textCrc(JSON.stringify([row.state, row.step, row.seq, row.restoredThrough, row.tries, row.attempt]));
}

export function isCheckpointGood(row: RecoveryRow): boolean {
  return row.crc === checkpointCrc(row);
}
