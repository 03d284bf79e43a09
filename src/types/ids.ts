/**
 * Branded identifiers and numbers. Terms, indexes, tokens and revisions are JavaScript numbers that are asserted
 * to be safe integers (≤ 2^53 − 1); `bigint` lives only inside generated protobuf messages.
 */
import { assert, InvariantError } from './assert.ts';
import type { Brand } from './brand.ts';

/** Raft term, from 0; rises by at least one at each election. */
export type Term = Brand<number, 'Term'>;
/** Position in a stream's log; the first entry is 1, 0 means "before the log". */
export type LogIndex = Brand<number, 'LogIndex'>;
/** Name of a member: 1–64 characters of `[a-z0-9-]`, unique in the cluster, never used again for another disk. */
export type MemberId = Brand<string, 'MemberId'>;
/** Name of a cluster: 1–64 characters of `[a-z0-9-]`; data of another cluster is refused. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** A Raft group: 0 is the system stream, 1..K are data streams (R8). */
export type StreamId = Brand<number, 'StreamId'>;
/** Rises forever within its stream: the log index of the entry that granted it. */
export type FencingToken = Brand<number, 'FencingToken'>;
/** Position in the event history: the log index of the entry that caused the events. */
export type Revision = Brand<number, 'Revision'>;
/** The cluster's time, stamped by leaders: milliseconds since the Unix epoch, never going back (R7). */
export type ClusterTimeMs = Brand<number, 'ClusterTimeMs'>;
/** A client session: the log index of the entry that opened it. */
export type SessionId = Brand<number, 'SessionId'>;

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

function safe(value: number, what: string): number {
  // Every entry passes here several times: the message is made only when it is needed.
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvariantError(`${what} is not a safe non-negative integer: ${value}`);
}

export const term = (value: number): Term => safe(value, 'term') as Term;
export const logIndex = (value: number): LogIndex => safe(value, 'log index') as LogIndex;
export const streamId = (value: number): StreamId => safe(value, 'stream id') as StreamId;
export const fencingToken = (value: number): FencingToken => safe(value, 'fencing token') as FencingToken;
export const revision = (value: number): Revision => safe(value, 'revision') as Revision;
export const clusterTimeMs = (value: number): ClusterTimeMs => safe(value, 'cluster time') as ClusterTimeMs;
export const sessionId = (value: number): SessionId => safe(value, 'session id') as SessionId;

/** True when `value` can name a member or a cluster. */
export function isName(value: string): boolean {
  return NAME.test(value);
}

export function memberId(value: string): MemberId {
  assert(isName(value), `not a member id: ${JSON.stringify(value)}`);
  return value as MemberId;
}

export function clusterId(value: string): ClusterId {
  assert(isName(value), `not a cluster id: ${JSON.stringify(value)}`);
  return value as ClusterId;
}

/** The stream that holds loops, sessions and events while K = 1 (R8). */
export const DATA_STREAM: StreamId = streamId(1);
