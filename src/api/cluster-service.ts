/** ClusterService: what the asked member knows of itself and of the others. */
import { ClusterService, type IoStatus, type StreamStatus } from '../gen/quorate/v1/cluster_pb.ts';
import type { MemberStatus } from '../node/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { ok } from '../types/result.ts';
import type { ApiContext, IoUsage } from './context.ts';
import { memberMessages } from './members.ts';
import { type RawUnaryHandler, unary } from './unary.ts';

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof ClusterService>>]: RawUnaryHandler };

export function clusterHandlers(context: ApiContext): Handlers {
  return {
    getStatus: unary(context, ClusterService.method.getStatus, 'INTERNAL', () => {
      const io = context.io?.();
      const status = context.member.status(DATA_STREAM);
      return ok({
        $typeName: 'quorate.v1.GetStatusResponse',
        clusterId: context.clusterId,
        memberId: context.memberId,
        version: context.version,
        members: memberMessages(context, status, context.member.local(DATA_STREAM)),
        streams: [streamMessage(context, status)],
        fault: status.fault ?? '',
        featureLevel: status.featureLevel,
        alarms: [...status.alarms],
        removed: status.removed,
        waitsToJoin: !status.removed && status.raft.configuration.voters.length === 0,
        ...(io === undefined ? {} : { io: ioMessage(io) }),
      });
    }),
  };
}

function ioMessage({
  bytesProposed,
  bytesWritten,
  maxIoOverheadRatio,
  fsyncP50Ms,
  fsyncP99Ms,
  fsyncs,
}: IoUsage): IoStatus {
  return {
    $typeName: 'quorate.v1.IoStatus',
    bytesProposed: BigInt(bytesProposed),
    bytesWritten: BigInt(bytesWritten),
    maxIoOverheadRatio,
    fsyncP50Ms,
    fsyncP99Ms,
    fsyncs: BigInt(fsyncs),
  };
}

function streamMessage({ member, addressOf }: ApiContext, status: MemberStatus): StreamStatus {
  const { raft } = status;
  return {
    $typeName: 'quorate.v1.StreamStatus',
    streamId: status.stream,
    role: raft.role,
    term: BigInt(raft.term),
    leaderId: raft.leader ?? '',
    leaderClientAddress: raft.leader === null ? '' : addressOf(raft.leader),
    lastIndex: BigInt(raft.lastIndex),
    durableIndex: BigInt(raft.durableIndex),
    commitIndex: BigInt(raft.commitIndex),
    appliedIndex: BigInt(status.appliedIndex),
    stateHash: status.stateHash,
    sessions: BigInt(status.sessions),
    waitingProposals: BigInt(status.waitingProposals),
    watches: BigInt(status.watches),
    firstEventRevision: BigInt(member.local(status.stream).firstEventRevision()),
    firstLogIndex: BigInt(raft.firstIndex),
    storedIndex: BigInt(status.storedIndex),
    configurationIndex: BigInt(raft.configurationIndex),
    joint: raft.configuration.votersOutgoing.length > 0,
    recovering: raft.recovering,
  };
}
