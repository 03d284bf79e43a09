/** Reads of the audit log. */
import { AUDIT_BLOCK_RECORDS } from '../../types/limits.ts';
import type { MachineView } from '../api.ts';
import { KEY_END, padded } from '../keys.ts';
import type { AuditBlockRow } from './types.ts';

export interface AuditSlice {
  /** Position of the first record that is kept; 1 while there is none. */
  readonly firstKept: number;
  /** Position after the last record. */
  readonly end: number;
  /**
   * Blocks that hold the record before `from` or later ones, in order; the first may begin earlier. Rows never change, so this is
   * of one moment.
   */
  readonly blocks: readonly AuditBlockRow[];
}

export function auditFrom(view: MachineView, from: number): AuditSlice {
  const { audit } = view.rows;
  const oldest = audit.range('', KEY_END, 1)[0]?.[1];
  // A block begins at most so many positions before the end of its last record.
  const start = padded(Math.max(0, from - AUDIT_BLOCK_RECORDS));
  const found = audit.range(start, KEY_END, audit.size).map(([, block]) => block);
  const newest = found.at(-1) ?? audit.range('', KEY_END, audit.size).at(-1)?.[1];
  return {
    firstKept: oldest?.first ?? 1,
    end: newest === undefined ? 1 : newest.first + newest.records.length,
    blocks: found.filter((block) => block.first + block.records.length >= from),
  };
}
