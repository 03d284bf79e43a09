/** What every handler needs to know. */
import type { Logger } from 'pino';
import type { AgentHeartbeats } from '../detect/types.ts';
import type { AllowList } from '../effector/allow-list.ts';
import type { ResponseHeader } from '../gen/quorate/v1/common_pb.ts';
import type { MemberPort } from '../node/types.ts';
import { type ClusterId, DATA_STREAM, type LogIndex, type MemberId, type Revision, type Term } from '../types/ids.ts';
import type { Result } from '../types/result.ts';

/** A member as the settings name it. */
export interface ApiMember {
  readonly id: MemberId;
  /** host:port */
  readonly clientAddress: string;
  readonly peerAddress: string;
}

/** Who answers on the peer port of an address. */
export interface IdentifiedMember {
  readonly clusterId: string;
  readonly memberId: string;
  /** Of its data folder, 32 hexadecimal digits. */
  readonly incarnation: string;
  readonly version: string;
  readonly featureLevel: number;
  /** It has taken part in nothing yet, and waits to be added to a cluster. */
  readonly joining: boolean;
}

/** Asks the peer port at `peerAddress`, for at most `deadlineMs` milliseconds. The error is a sentence. Never rejects. */
export type Identify = (peerAddress: string, deadlineMs: number) => Promise<Result<IdentifiedMember, string>>;

/** What the process writes, since it was started. The fields are those of `IoStatus` in cluster.proto. */
export interface IoUsage {
  readonly bytesProposed: number;
  readonly bytesWritten: number;
  readonly maxIoOverheadRatio: number;
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
  readonly fsyncs: number;
}

/** What effects cost (L4). */
export interface Budget {
  /**
   * `amount` (decimal text) of `currency` in `region`, '' for the budget's own of each, in millionths of the budget's currency,
   * and what one trace may spend there. The error is a sentence that says what to send instead.
   */
  price(
    region: string,
    currency: string,
    amount: string,
  ): Result<{ readonly costMicros: string; readonly limitMicros: string }, string>;
}

/** Checks contents of documents against their JSON Schemas (P6). What is wrong comes as a sentence, null when nothing is. */
export interface DocumentSchemas {
  checkSchema(schema: string): string | null;
  validate(schema: string, content: string): string | null;
}

export interface ApiContext {
  readonly member: MemberPort;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** As the settings name them, sorted by id; what the replicated state says of a member goes before. */
  readonly members: readonly ApiMember[];
  readonly identify: Identify;
  /** Client address of a member, '' when it is not known. */
  readonly addressOf: (member: MemberId) => string;
  readonly version: string;
  /** null: nobody measures it. */
  readonly io: (() => IoUsage) | null;
  /** Where heartbeats of agents go; null: this process watches no agents. */
  readonly agents: AgentHeartbeats | null;
  readonly budget: Budget;
  /** Where compensators may be called; null: everywhere. */
  readonly allowList: Pick<AllowList, 'allows'> | null;
  readonly schemas: DocumentSchemas;
  readonly logger: Logger;
  /** Longest silence of a watch, milliseconds. */
  readonly watchProgressMs: number;
}

/** What the replicated state says goes before the settings: these are of the time when the member was started. */
export function clientAddressOf({ member, members }: Pick<ApiContext, 'member' | 'members'>, id: MemberId): string {
  const row = member
    .local(DATA_STREAM)
    .members()
    .find((one) => one.member === id);
  return row?.clientAddress || (members.find((one) => one.id === id)?.clientAddress ?? '');
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
