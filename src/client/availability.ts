/** Members that are slow or away, as the client sees them (A1–A3). */
import type { MemberAvailability as MemberMessage } from '../gen/quorate/v1/availability_pb.ts';
import { AvailabilityService } from '../gen/quorate/v1/availability_pb.ts';
import { fromConsistency, toNumber } from './convert.ts';
import type { Reader } from './reader.ts';
import type { ReadOptions } from './types.ts';

/** Times in milliseconds since the Unix epoch; null: none. */
export interface MemberAvailability {
  readonly memberId: string;
  /** voter, learner, outgoing, or null when the configuration is without it. */
  readonly role: string | null;
  /** Its fsyncs are slow: a learner until it keeps up. */
  readonly lagging: boolean;
  /** It may acknowledge before its fsync until then. */
  readonly asyncUntilMs: number | null;
  /** It was not heard of for the isolation time; and when it may be evicted. */
  readonly isolatedAtMs: number | null;
  readonly evictAtMs: number | null;
  readonly evictionBlocked: boolean;
  readonly issue: number | null;
}

export interface Availability {
  /** Those of which something holds, sorted by id; all others are well. */
  readonly members: readonly MemberAvailability[];
  /** Time of the replicated state. */
  readonly timeMs: number;
}

export async function readAvailability(reader: Reader, options?: ReadOptions): Promise<Availability> {
  const answer = await reader.read(AvailabilityService.method.getAvailability, fromConsistency(options), options);
  return { members: answer.members.map(toMember), timeMs: toNumber(answer.timeMs) };
}

function toMember(message: MemberMessage): MemberAvailability {
  const orNull = (value: bigint): number | null => (value === 0n ? null : toNumber(value));
  return {
    memberId: message.memberId,
    role: message.role === '' ? null : message.role,
    lagging: message.lagging,
    asyncUntilMs: orNull(message.asyncUntilMs),
    isolatedAtMs: orNull(message.isolatedAtMs),
    evictAtMs: orNull(message.evictAtMs),
    evictionBlocked: message.evictionBlocked,
    issue: orNull(message.issue),
  };
}
