/** One line for each message and effect. */
import { voteIn } from '../../src/raft/quorum.ts';
import type { Effect, Entry, Message, PlacedConfiguration, RaftStatus } from '../../src/raft/types.ts';
import { textOf } from '../raft/cluster.ts';

function formatEntries(entries: readonly Entry[]): string {
  return `[${entries.map((entry) => `${entry.index}/${entry.term} ${textOf(entry)}`).join(', ')}]`;
}

function body(message: Message): string {
  switch (message.kind) {
    case 'preVoteRequest':
      return `last=${message.lastLogIndex}/${message.lastLogTerm}`;
    case 'voteRequest':
      return `last=${message.lastLogIndex}/${message.lastLogTerm}${message.leadershipTransfer ? ' transfer' : ''}`;
    case 'preVoteResponse':
    case 'voteResponse':
      return voteIn(message);
    case 'appendRequest': {
      const { prevLogIndex, prevLogTerm, leaderCommit, entries } = message;
      return `prev=${prevLogIndex}/${prevLogTerm} commit=${leaderCommit} ${formatEntries(entries)}`;
    }
    case 'appendResponse': {
      const { outcome } = message;
      if (outcome.kind === 'accepted') return `match=${outcome.matchIndex}`;
      return `rejected prev=${outcome.prevLogIndex} hint=${outcome.hintIndex}/${outcome.hintTerm}`;
    }
    case 'heartbeatRequest':
      return `commit=${message.leaderCommit} read=${message.readSequence}`;
    case 'heartbeatResponse':
      return `read=${message.readSequence}`;
    case 'readIndexRequest':
      return `id=${message.requestId}`;
    case 'readIndexResponse':
      return `id=${message.requestId} index=${message.readIndex ?? 'refused'}`;
    case 'timeoutNow':
      return '';
    case 'recoverRequest':
      return `nonce=${message.nonce}`;
    case 'recoverResponse':
      return `nonce=${message.nonce} last=${message.lastIndex ?? '-'}${message.recovering ? ' recovering' : ''}`;
    default:
      return message satisfies never;
  }
}

export function formatMessage(message: Message): string {
  return `${message.from}->${message.to} ${message.kind} t${message.term} ${body(message)}`.trimEnd();
}

/** Lines for one effect of the member `id`. A persist effect lists below it what waits for it. */
export function formatEffect(id: string, effect: Effect): readonly string[] {
  switch (effect.kind) {
    case 'send':
      return [formatMessage(effect.message)];
    case 'persist': {
      const { hardState, entries, afterDurable } = effect;
      const parts = [`${id} persist #${effect.sequence}`];
      if (hardState !== null) parts.push(`term=${hardState.term} vote=${hardState.votedFor ?? '-'}`);
      if (entries.length > 0) parts.push(formatEntries(entries));
      return [parts.join(' '), ...afterDurable.map((message) => `  when durable: ${formatMessage(message)}`)];
    }
    case 'commit':
      return [`${id} commit ${effect.index}`];
    case 'readLog':
      return [`${id} readLog for ${effect.to} from=${effect.from} entriesMax=${effect.entriesMax}`];
    case 'proposalAppended':
      return [`${id} proposal ${effect.proposalId} appended ${effect.index}/${effect.term}`];
    case 'proposalRefused':
      return [`${id} proposal ${effect.proposalId} refused ${effect.reason} leader=${effect.leader ?? '-'}`];
    case 'readReady':
      return [`${id} read ${effect.requestId} ready index=${effect.index}`];
    case 'readRefused':
      return [`${id} read ${effect.requestId} refused ${effect.reason} leader=${effect.leader ?? '-'}`];
    case 'roleChanged':
      return [`${id} is ${effect.role} t${effect.term} leader=${effect.leader ?? '-'}`];
    case 'restore': {
      const { sequence, mark, keepEntries, afterDurable } = effect;
      const head = `${id} restore #${sequence} ${mark.index}/${mark.term}${keepEntries ? ' keeps entries' : ''}`;
      return [head, ...afterDurable.map((message) => `  when durable: ${formatMessage(message)}`)];
    }
    case 'snapshotRefused':
      return [`${id} image ${effect.mark.index}/${effect.mark.term} refused ${effect.reason}`];
    case 'sendSnapshot':
      return [`${id} sendSnapshot to ${effect.to}`];
    case 'configurationChanged':
      return [`${id} ${formatConfiguration(effect.placed)}${effect.committed ? ' committed' : ''}`];
    case 'recovered':
      return [`${id} recovered ${effect.index}`];
    case 'recoveryImpossible':
      return [`${id} recovery impossible: ${effect.members.join(',')}`];
    case 'transferEnded':
      return [`${id} transfer to ${effect.to} ${effect.outcome}`];
    default:
      return effect satisfies never;
  }
}

export function formatConfiguration({ index, configuration }: PlacedConfiguration): string {
  const { voters, votersOutgoing, learners } = configuration;
  const parts = [`configuration @${index} voters=${voters.join(',')}`];
  if (votersOutgoing.length > 0) parts.push(`outgoing=${votersOutgoing.join(',')}`);
  if (learners.length > 0) parts.push(`learners=${learners.join(',')}`);
  return parts.join(' ');
}

export function formatStatus(status: RaftStatus): readonly string[] {
  const { id, role, term, votedFor, leader, lastIndex, lastTerm, durableIndex, commitIndex, appliedIndex } = status;
  const head =
    `${id} ${role} t${term} vote=${votedFor ?? '-'} leader=${leader ?? '-'} last=${lastIndex}/${lastTerm} ` +
    `durable=${durableIndex} commit=${commitIndex} applied=${appliedIndex}`;
  const peers = status.peers.map((peer) => {
    const active = peer.active ? '' : ' inactive';
    return `  ${peer.id}: ${peer.state} match=${peer.matchIndex} next=${peer.nextIndex} inflight=${peer.inflightMessages}${active}`;
  });
  return [head, ...peers];
}

export function formatLog(id: string, memory: readonly Entry[], durable: number): string {
  const shown = memory.map((entry) => `${entry.index}/${entry.term} ${textOf(entry)}`);
  return `${id} log: ${shown.join(', ') || 'empty'} (durable ${durable})`;
}
