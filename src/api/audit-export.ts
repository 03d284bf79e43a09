/**
 * The audit log as a stream (O3).
 *
 * AX1  What is sent is of one moment: the rows are taken when the call is admitted, and rows never change.
 * AX2  One block at a time, and none while the client's window is full. Hashing is given up to other work between blocks.
 * AX3  The stream ends with OK only after the last record. A client that takes nothing for STALL_MS is given up, and at most
 *      EXPORTS_MAX run at a time: rows that were dropped meanwhile stay in memory as long as an export holds them.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { auditHash } from '../audit/hash.ts';
import {
  type AuditInfo,
  ExportAuditResponseSchema,
  OverrideService,
  type AuditRecord as RecordMessage,
} from '../gen/quorate/v1/override_pb.ts';
import { AUDIT_HASH_START } from '../machine/audit/record-text.ts';
import type { AuditBlockRow } from '../machine/audit/types.ts';
import { type AuditSlice, auditFrom } from '../machine/audit/view.ts';
import { encodeMessage } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure, refused } from './errors.ts';
import { checkMetadata, decodeRequest, timeLeft } from './unary.ts';

/** Longest time for which a client may take nothing, milliseconds. */
const STALL_MS = 60_000;
const EXPORTS_MAX = 8;

type Call = ServerWritableStream<Buffer, Buffer>;

export function auditHandler(context: ApiContext): (call: Call) => void {
  let running = 0;
  return (call) => {
    const from = running < EXPORTS_MAX ? admit(call) : err(tooMany(context));
    if (!from.ok) {
      // How grpc-js ends a server stream with a status.
      call.emit('error', from.error);
      return;
    }
    running += 1;
    send(context, call, from.value)
      .catch((error: unknown) => {
        context.logger.error({ err: error, method: 'ExportAudit' }, 'an export of the audit log failed: this is a bug');
        return failure('INTERNAL', `an internal error in ExportAudit; the log of member ${context.memberId} has it`);
      })
      .then((error) => {
        running -= 1;
        if (call.cancelled) return;
        if (error === null) call.end();
        else call.emit('error', error);
      });
  };
}

function tooMany({ memberId }: ApiContext): StatusError {
  const message = `member ${memberId} has ${EXPORTS_MAX} audit exports under way; use another member, or try later`;
  return failure('OVERLOADED', message);
}

function admit(call: Call): Result<number, StatusError> {
  const tooLarge = checkMetadata(call.metadata);
  if (tooLarge !== null) return err(tooLarge);
  const request = decodeRequest(OverrideService.method.exportAudit, call.request);
  if (!request.ok) return request;
  const check = new Check();
  const from: number = check.number('from_position', request.value.fromPosition, 0);
  const invalid = check.failure();
  return invalid === null ? ok(Math.max(1, from)) : err(invalid);
}

/** Resolves with null when all was handed over or the client has gone, else with what to end the call with. */
async function send(context: ApiContext, call: Call, wanted: number): Promise<StatusError | null> {
  const deadlineMs = timeLeft(call.getDeadline());
  if (deadlineMs === null) return failure('DEADLINE_EXPIRED', 'the deadline had passed when the call arrived');
  const outcome = await context.member.read(DATA_STREAM, deadlineMs, { kind: 'linearizable' });
  if (outcome.kind === 'refused') return refused(outcome, context.addressOf);
  const slice = auditFrom(outcome.view, wanted);
  if (wanted > slice.end) {
    const description = `is ${wanted}, but the log ends at ${slice.end - 1}; send at most ${slice.end}`;
    const check = new Check();
    check.report('from_position', description);
    return check.failure();
  }
  const pieces = new Pieces(context, slice, Math.max(wanted, slice.firstKept));
  for (const piece of pieces.all()) {
    if (call.cancelled) return null;
    const more = call.write(encodeMessage(ExportAuditResponseSchema, piece));
    if (!more && !(await drained(call))) {
      const message = `nothing of the export was taken for ${STALL_MS} ms; start it again, and read it as it comes`;
      return call.cancelled ? null : failure('OVERLOADED', message);
    }
    // AX2: a block takes a fraction of a millisecond, a thousand of them do not.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return null;
}

/** False when the client has gone, or takes nothing. */
function drained(call: Call): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (drainedNow: boolean): void => {
      clearTimeout(timer);
      call.off('drain', onDrain);
      call.off('cancelled', onCancel);
      resolve(drainedNow);
    };
    const onDrain = (): void => end(true);
    const onCancel = (): void => end(false);
    const timer = setTimeout(onCancel, STALL_MS);
    call.once('drain', onDrain);
    call.once('cancelled', onCancel);
  });
}

/** The messages of one export, hashed as they are asked for. */
class Pieces {
  readonly #context: ApiContext;
  readonly #slice: AuditSlice;
  readonly #first: number;

  constructor(context: ApiContext, slice: AuditSlice, first: number) {
    this.#context = context;
    this.#slice = slice;
    this.#first = first;
  }

  *all(): Generator<{ $typeName: 'quorate.v1.ExportAuditResponse'; info?: AuditInfo; records: RecordMessage[] }> {
    const $typeName = 'quorate.v1.ExportAuditResponse' as const;
    const [begin, ...rest] = this.#slice.blocks;
    if (begin === undefined) {
      yield { $typeName, info: this.#info(AUDIT_HASH_START), records: [] };
      return;
    }
    const { records, hashBefore } = hashed(begin, this.#first);
    yield { $typeName, info: this.#info(hashBefore), records: [] };
    yield { $typeName, records };
    for (const block of rest) yield { $typeName, records: hashed(block, block.first).records };
  }

  #info(previousHash: string): AuditInfo {
    const { clusterId, memberId } = this.#context;
    return {
      $typeName: 'quorate.v1.AuditInfo',
      clusterId,
      memberId,
      firstPosition: BigInt(this.#first),
      previousHash,
      records: BigInt(this.#slice.end - this.#first),
    };
  }
}

/** Records of a block from `from` on, and the hash before the first of them. */
function hashed(block: AuditBlockRow, from: number): { records: RecordMessage[]; hashBefore: string } {
  let hash = block.previousHash;
  let hashBefore = hash;
  const records: RecordMessage[] = [];
  block.records.forEach((record, i) => {
    const position = block.first + i;
    hash = auditHash(hash, position, record);
    if (position < from) {
      hashBefore = hash;
      return;
    }
    records.push({
      $typeName: 'quorate.v1.AuditRecord',
      ...record,
      position: BigInt(position),
      index: BigInt(record.index),
      timeMs: BigInt(record.timeMs),
      hash,
    });
  });
  return { records, hashBefore };
}
