/** ClusterService: what the asked member knows of itself and of the others. */
import { ClusterService, type Member, type StreamStatus } from '../gen/quorate/v1/cluster_pb.ts';
import type { MemberStatus } from '../node/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { ok } from '../types/result.ts';
import type { ApiContext, ApiMember } from './context.ts';
import { type RawUnaryHandler, unary } from './unary.ts';

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof ClusterService>>]: RawUnaryHandler };

export function clusterHandlers(context: ApiContext): Handlers {
  return {
    getStatus: unary(context, ClusterService.method.getStatus, 'INTERNAL', () => {
      const status = context.member.status(DATA_STREAM);
      return ok({
        $typeName: 'quorate.v1.GetStatusResponse',
        clusterId: context.clusterId,
        memberId: context.memberId,
        version: context.version,
        members: context.members.map((member) => memberMessage(member, status)),
        streams: [streamMessage(context, status)],
        fault: status.fault ?? '',
      });
    }),
  };
}

function memberMessage(member: ApiMember, { raft }: MemberStatus): Member {
  const { id, clientAddress, peerAddress } = member;
  const { voters, votersOutgoing } = raft.configuration;
  const peer = raft.peers.find((one) => one.id === id);
  const leads = raft.role === 'leader' && raft.id === id;
  return {
    $typeName: 'quorate.v1.Member',
    memberId: id,
    clientAddress,
    peerAddress,
    voter: voters.includes(id) || votersOutgoing.includes(id),
    leader: raft.leader === id,
    // A leader is no peer of its own: what it holds itself is what is durable there.
    matchIndex: BigInt(leads ? raft.durableIndex : (peer?.matchIndex ?? 0)),
    active: leads || (peer?.active ?? false),
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
  };
}
