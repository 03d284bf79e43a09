/** What every handler needs to know. */
import type { Logger } from 'pino';
import type { ResponseHeader } from '../gen/quorate/v1/common_pb.ts';
import type { MemberPort } from '../node/types.ts';
import type { ClusterId, LogIndex, MemberId, Revision, Term } from '../types/ids.ts';

/** A member as the configuration names it. */
export interface ApiMember {
  readonly id: MemberId;
  /** host:port */
  readonly clientAddress: string;
  readonly peerAddress: string;
}

export interface ApiContext {
  readonly member: MemberPort;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** Sorted by id. */
  readonly members: readonly ApiMember[];
  /** Client address of a member, '' when it is not known. */
  readonly addressOf: (member: MemberId) => string;
  readonly version: string;
  readonly logger: Logger;
  /** Longest silence of a watch, milliseconds. */
  readonly watchProgressMs: number;
}

export function responseHeader(
  context: ApiContext,
  applied: { readonly term: Term; readonly index: LogIndex; readonly replayed: boolean },
  revision: Revision,
): ResponseHeader {
  return {
    $typeName: 'quorate.v1.ResponseHeader',
    clusterId: context.clusterId,
    memberId: context.memberId,
    revision: BigInt(revision),
    term: BigInt(applied.term),
    replayed: applied.replayed,
  };
}
