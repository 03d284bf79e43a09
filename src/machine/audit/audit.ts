/**
 * The audit log (O3): who asked for what, at which index, with what outcome. One record for each mutating command that the state
 * has answered, rejections included; not for answers that are repeated from a session's memory.
 *
 * AU1. Positions rise by one, from 1. A record never changes and never moves.
 * AU2. The hash of a record covers the record before it; only the hash before each block is stored, the others follow from it.
 * AU3. Bounded: the newest AUDIT_BLOCKS_MAX blocks are kept. The hash before the first of them stands for what was dropped, so that
 *      an export made earlier and one made later can be joined and checked.
 * AU4. A record uses feature level 3. Setting the level alone leaves none as long as nothing else has used it, so that it can
 *      still be taken back (R9).
 */
import { must } from '../../types/assert.ts';
import { logIndex, type Revision } from '../../types/ids.ts';
import { AUDIT_BLOCK_RECORDS, AUDIT_BLOCKS_MAX } from '../../types/limits.ts';
import { padded } from '../keys.ts';
import { useFeatureLevel } from '../member/feature.ts';
import type { MachineState } from '../state.ts';
import type { Command, CommandKind, CommandResult } from '../types.ts';
import { hashAfter } from './chain.ts';
import { AUDIT_HASH_START } from './record-text.ts';
import { detailOf, subjectOf } from './subject.ts';
import type { AuditBlockRow, AuditRecord } from './types.ts';

const LEVEL = 3;
/** They say nothing but that time goes by and that a client lives. */
const UNRECORDED: ReadonlySet<CommandKind> = new Set<CommandKind>(['advanceTime', 'keepAliveSession']);

/** Call it once the answer is known; `at` is the entry's index. */
export function recordAudit(state: MachineState, at: Revision, command: Command, result: CommandResult): void {
  const { body, caller, traceId } = command;
  const { level, used } = state.feature;
  if (level < LEVEL || UNRECORDED.has(body.kind)) return;
  if (used < LEVEL && body.kind === 'setFeatureLevel') return;
  if (used < LEVEL) useFeatureLevel(state, LEVEL);
  append(state, {
    index: logIndex(at),
    timeMs: state.timeMs,
    caller,
    traceId,
    command: body.kind,
    subject: subjectOf(body),
    outcome: result.ok ? 'OK' : result.rejection.reason,
    detail: result.ok ? detailOf(body) : '',
  });
}

function append(state: MachineState, record: AuditRecord): void {
  const { audit } = state.tables.domain;
  const key = audit.lastKey();
  const open = key === undefined ? null : must(audit.get(key), 'the newest audit block');
  if (open !== null && open.records.length < AUDIT_BLOCK_RECORDS) {
    put(state, { ...open, records: [...open.records, record] });
    return;
  }
  const first = open === null ? 1 : open.first + open.records.length;
  const previousHash = open === null ? AUDIT_HASH_START : hashAfter(open);
  put(state, { first, previousHash, records: [record] });
  if (audit.size > AUDIT_BLOCKS_MAX) audit.delete(must(audit.firstKey(), 'the oldest audit block'));
}

function put(state: MachineState, block: AuditBlockRow): void {
  state.tables.domain.audit.put(padded(block.first), block);
}
