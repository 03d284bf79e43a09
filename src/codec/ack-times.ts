/** Reports of how long a member's log takes ⇄ `quorate.internal.v1.AckTimes`. See `envelope.ts` for what is checked. */
import type { AckTimes as AckTimesMessage } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { Envelope } from '../node/types.ts';
import type { StreamId } from '../types/ids.ts';
import { ACK_TIMES_PER_REPORT_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';

export function ackTimesToMessage({ samplesMs, pendingMs }: Extract<Envelope, { kind: 'ackTimes' }>): AckTimesMessage {
  return { $typeName: 'quorate.internal.v1.AckTimes', samplesMs: [...samplesMs], pendingMs };
}

export function ackTimesFromMessage(
  stream: StreamId,
  { samplesMs, pendingMs }: AckTimesMessage,
): Result<Envelope, string> {
  const { length } = samplesMs;
  if (length > ACK_TIMES_PER_REPORT_MAX) return err(`ack_times.samples_ms has ${length} values`);
  if (!samplesMs.every(isDuration)) return err('ack_times.samples_ms has a value that is no time');
  if (!isDuration(pendingMs)) return err(`ack_times.pending_ms is ${pendingMs}, no time`);
  return ok({ kind: 'ackTimes', stream, samplesMs, pendingMs });
}

function isDuration(ms: number): boolean {
  return Number.isFinite(ms) && ms >= 0;
}
