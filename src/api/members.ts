/** The members as the asked one knows them: configuration, replicated wishes, and what its streams tell it. */
import type { Member, TransferProgress } from '../gen/quorate/v1/cluster_pb.ts';
import type { MachineView } from '../machine/api.ts';
import type { MemberRow } from '../machine/rows.ts';
import type { MemberStatus } from '../node/types.ts';
import type { MemberId } from '../types/ids.ts';
import type { ApiContext } from './context.ts';

type Configuration = MemberStatus['raft']['configuration'];
export type MemberRole = 'voter' | 'learner' | 'outgoing' | '';

/** What the member counts for; an outgoing voter that stays as a learner votes until the change is complete. */
export function roleIn({ voters, votersOutgoing, learners }: Configuration, id: MemberId): MemberRole {
  if (voters.includes(id)) return 'voter';
  if (votersOutgoing.includes(id)) return 'outgoing';
  return learners.includes(id) ? 'learner' : '';
}

export function isIn(configuration: Configuration, id: MemberId): boolean {
  return roleIn(configuration, id) !== '';
}

/** Everybody that the configuration has or the cluster wants; as long as there is none, those of the settings. */
export function memberMessages(context: ApiContext, status: MemberStatus, view: MachineView): Member[] {
  const { configuration } = status.raft;
  const rows = new Map(view.members().map((row) => [row.member, row]));
  const wanted = [...rows.values()].filter((row) => row.wanted !== 'removed').map((row) => row.member);
  const { voters, votersOutgoing, learners } = configuration;
  const ids = new Set([...voters, ...votersOutgoing, ...learners, ...wanted]);
  if (voters.length === 0) for (const { id } of context.members) ids.add(id);
  return [...ids].sort().map((id) => memberMessage(context, status, id, rows.get(id)));
}

function memberMessage(
  { members }: ApiContext,
  { raft, featureLevels, transfers }: MemberStatus,
  id: MemberId,
  row: MemberRow | undefined,
): Member {
  const setting = members.find((one) => one.id === id);
  const peer = raft.peers.find((one) => one.id === id);
  const leads = raft.role === 'leader' && raft.id === id;
  // A leader is no peer of its own: what it holds itself is what is durable there.
  const matchIndex = leads ? raft.durableIndex : (peer?.matchIndex ?? 0);
  const role = roleIn(raft.configuration, id);
  const transfer = transfers.find((one) => one.to === id);
  const message: Member = {
    $typeName: 'quorate.v1.Member',
    memberId: id,
    clientAddress: row?.clientAddress || (setting?.clientAddress ?? ''),
    peerAddress: row?.peerAddress || (setting?.peerAddress ?? ''),
    voter: role === 'voter' || role === 'outgoing',
    leader: raft.leader === id,
    matchIndex: BigInt(matchIndex),
    active: leads || (peer?.active ?? false),
    role,
    wanted: row?.wanted ?? '',
    replaces: row?.replaces ?? '',
    lagEntries: BigInt(leads || peer !== undefined ? Math.max(0, raft.lastIndex - matchIndex) : 0),
    featureLevel: featureLevels.get(id) ?? 0,
    recovering: raft.id === id && raft.recovering,
    incarnation: row?.incarnation ?? '',
  };
  if (transfer !== undefined) message.transfer = transferMessage(transfer);
  return message;
}

function transferMessage(transfer: MemberStatus['transfers'][number]): TransferProgress {
  const { index, chunksAcked, bytesSent, resumed } = transfer;
  return {
    $typeName: 'quorate.v1.TransferProgress',
    index: BigInt(index),
    chunksAcked: BigInt(chunksAcked),
    bytesSent: BigInt(bytesSent),
    resumed: BigInt(resumed),
  };
}

/** The configuration is what is wanted of every member, committed, and not joint. */
export function isSettled({ raft }: MemberStatus, view: MachineView): boolean {
  const { configuration, configurationIndex, commitIndex } = raft;
  if (configuration.votersOutgoing.length > 0 || configurationIndex > commitIndex) return false;
  return view
    .members()
    .every((row) => roleIn(configuration, row.member) === (row.wanted === 'removed' ? '' : row.wanted));
}

/** Highest level that every member of the configuration supports; 0 when one of them was not heard of. */
export function supportedLevel({ raft, featureLevels }: MemberStatus): number {
  const { voters, votersOutgoing, learners } = raft.configuration;
  const levels = [raft.id, ...voters, ...votersOutgoing, ...learners].map((id) => featureLevels.get(id) ?? 0);
  return Math.min(...levels);
}
