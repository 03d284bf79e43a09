/** The mutable state of one member of one Raft group, and the few steps that every handler shares. */

import type { Random } from '../ports/random.ts';
import { assert, must } from '../types/assert.ts';
import type { LogIndex, MemberId, Term } from '../types/ids.ts';
import { isVoter } from './configuration.ts';
import { Durability } from './durability.ts';
import { LogView } from './log-view.ts';
import type { MarkName } from './marks.ts';
import { ConfigurationHistory } from './membership.ts';
import { Output } from './output.ts';
import type { Progress } from './progress.ts';
import type { Vote } from './quorum.ts';
import { ForwardedReads, type LeaderReads } from './read-index.ts';
import type { TraceEvent } from './trace.ts';
import type { Transfer } from './transfer.ts';
import type { Configuration, RaftLimits, RaftOptions, SnapshotMark } from './types.ts';

export interface FollowerRole {
  readonly kind: 'follower';
  /** The leader of the current term, once heard from. */
  readonly leader: MemberId | null;
  readonly reads: ForwardedReads;
}

export interface PreCandidateRole {
  readonly kind: 'preCandidate';
  /** One answer for each member, bound to the term that would be campaigned for: term + 1. */
  readonly votes: Map<MemberId, Vote>;
}

export interface CandidateRole {
  readonly kind: 'candidate';
  /** One answer for each member, bound to the current term (known bug E7). */
  readonly votes: Map<MemberId, Vote>;
  /** The own vote counts once this persist effect is durable (known bug E4). */
  readonly selfVoteSequence: number;
}

export interface LeaderRole {
  readonly kind: 'leader';
  /** Everybody in the configuration but this member, and those who left it and do not know yet. Sorted by id. */
  peers: readonly Progress[];
  peerById: ReadonlyMap<MemberId, Progress>;
  /** Index of the no-op that opened the term: from here on entries are of the current term. */
  readonly termStartIndex: LogIndex;
  readonly reads: LeaderReads;
  /** What this leadership appended and has not committed; payloads and overhead. */
  uncommittedBytes: number;
  heartbeatElapsed: number;
  /** A transfer was begun in this term: TimeoutNow may still be on its way, and ends every lease (thesis 6.4.1). */
  transferBegun: boolean;
  /** Milliseconds of the own clock: only what followers confirmed after this counts for a lease. */
  leaseFloorMs: number;
}

/** An image was accepted, and is not the state yet. */
export interface Restoring {
  readonly mark: SnapshotMark;
  /** Of the restore effect; 0 until the step that accepted the image ends. */
  sequence: number;
  durable: boolean;
}

/** This member lost a part of its log (W4). See `recovery` in README.md. */
export interface Recovery {
  /** Tells answers to this life of the member from answers to earlier ones. */
  readonly nonce: number;
  /** In which this life of the member began: earlier ones acknowledged nothing in a later one. */
  readonly startTerm: Term;
  /** Where the log of a leader ended after it had heard this nonce; counts for its term only. */
  named: { readonly term: Term; readonly index: LogIndex } | null;
  /** Up to here the log was found equal to that of the leader of `term`. */
  verified: { readonly term: Term; readonly index: LogIndex };
  requestElapsed: number;
  /** Ticks since a leader was heard. */
  aloneElapsed: number;
  /** Voters that said, since a leader was heard last, that they are recovering, too, and the tick at which they said so last. */
  readonly others: Map<MemberId, number>;
  /** Too many recover, as this member has found at `sinceTick`: nobody can be elected any more. */
  impossible: { readonly members: readonly MemberId[]; readonly sinceTick: number; said: boolean } | null;
}

/** The connection to the leader broke: it may be dead (A4). */
export interface Suspicion {
  /** Tick at which the next pre-vote starts. */
  campaignTick: number;
}

export type RoleState = FollowerRole | PreCandidateRole | CandidateRole | LeaderRole;

export interface State {
  readonly id: MemberId;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly leaseTicks: number;
  readonly leaseMs: number;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly encodeConfiguration: RaftOptions['encodeConfiguration'];
  readonly trace: ((event: TraceEvent) => void) | null;
  readonly log: LogView;
  readonly durability: Durability;
  readonly output: Output;
  readonly membership: ConfigurationHistory;
  /** In force: the newest of the log, committed or not. */
  readonly configuration: Configuration;
  term: Term;
  votedFor: MemberId | null;
  /** I5: appliedIndex ≤ releasedIndex ≤ commitIndex ≤ lastIndex. */
  commitIndex: LogIndex;
  /** What commit effects have told the driver: min(commitIndex, durableIndex) (I6). */
  releasedIndex: LogIndex;
  appliedIndex: LogIndex;
  /** The highest commit index that a leader's append named: beyond `commitIndex` while this member catches up. */
  knownCommitIndex: LogIndex;
  role: RoleState;
  /** Ticks since the member started. */
  tick: number;
  /** The newest reading of the monotonic clock that was handed in, milliseconds. */
  nowMs: number;
  /** Tick at which a leader was heard last, of whatever term; 0: at most before the member started. */
  heardTick: number;
  suspicion: Suspicion | null;
  recovery: Recovery | null;
  restoring: Restoring | null;
  /** The disk has no room for entries of clients (W5). */
  storageFull: boolean;
  /** Ticks since the leader was heard, a vote was granted, or a campaign began. */
  electionElapsed: number;
  /** Drawn from [electionTicks, 2 × electionTicks). */
  electionTimeout: number;
  /** A hand-over that this member started as leader and whose outcome is not known yet. */
  transfer: Transfer | null;
  /** Id of the next batch of reads for a leader. Starts at random: an answer to an earlier life must not fit. */
  nextReadBatchId: number;
}

const READ_BATCH_ID_START_MAX = 2 ** 47;
const NONCE_MAX = 2 ** 47;

function newRecovery(options: RaftOptions, random: Random): Recovery {
  return {
    nonce: 1 + random.below(NONCE_MAX),
    startTerm: options.hardState.term,
    named: null,
    verified: { term: options.hardState.term, index: options.appliedIndex },
    // Asks with the first tick.
    requestElapsed: options.heartbeatTicks,
    aloneElapsed: 0,
    others: new Map(),
    impossible: null,
  };
}

export function createState(options: RaftOptions, random: Random, trace: State['trace']): State {
  assert(options.electionTicks > 1 && options.heartbeatTicks > 0, 'timeouts are positive');
  assert(options.heartbeatTicks < options.electionTicks, 'heartbeats are more frequent than elections');
  assert(options.leaseTicks >= 0 && options.leaseTicks <= options.electionTicks, 'a lease ends before an election');
  assert(options.limits.appendEntriesMax > 0, 'an append holds an entry');
  const log = new LogView(options.log);
  assert(options.appliedIndex >= log.baseIndex, 'what is compacted was applied');
  assert(options.appliedIndex <= log.lastIndex, 'what was applied is in the log (I6)');
  assert(options.hardState.term >= log.lastTerm, 'the term is at least the last entry’s');
  const { configurations, decodeConfiguration } = options;
  const membership = new ConfigurationHistory(configurations, log.baseIndex, log.lastIndex, decodeConfiguration);
  const state: State = {
    id: options.id,
    electionTicks: options.electionTicks,
    heartbeatTicks: options.heartbeatTicks,
    leaseTicks: options.leaseTicks,
    leaseMs: options.leaseMs,
    limits: options.limits,
    random,
    encodeConfiguration: options.encodeConfiguration,
    trace,
    log,
    durability: new Durability(log.lastIndex),
    output: new Output(),
    membership,
    get configuration() {
      return membership.current.configuration;
    },
    term: options.hardState.term,
    votedFor: options.hardState.votedFor,
    commitIndex: options.appliedIndex,
    releasedIndex: options.appliedIndex,
    appliedIndex: options.appliedIndex,
    knownCommitIndex: options.appliedIndex,
    role: { kind: 'follower', leader: null, reads: new ForwardedReads(options.limits.readsMax) },
    tick: 0,
    nowMs: 0,
    // A leader may have been heard just before a restart, and may rely on it, even if its term was not durable here yet.
    heardTick: 0,
    suspicion: null,
    recovery: options.recovering ? newRecovery(options, random) : null,
    restoring: null,
    storageFull: false,
    electionElapsed: 0,
    electionTimeout: 0,
    transfer: null,
    nextReadBatchId: 1 + random.below(READ_BATCH_ID_START_MAX),
  };
  resetElectionTimer(state);
  return state;
}

export function resetElectionTimer(state: State): void {
  state.electionElapsed = 0;
  state.electionTimeout = state.electionTicks + state.random.below(state.electionTicks);
}

/** The member that leads the current term as far as this one knows. */
export function leaderOf(state: State): MemberId | null {
  switch (state.role.kind) {
    case 'leader':
      return state.id;
    case 'follower':
      return state.role.leader;
    default:
      return null;
  }
}

/**
 * True while a leader is believed alive, or may still answer reads by its lease. Votes and pre-votes are refused then.
 *
 * Within `leaseTicks` of hearing a leader, nothing but a transfer of leadership gets a vote: not a broken connection, not a
 * restart, not a higher term from elsewhere. The leader counts on it (thesis 6.4.1). After that, and up to the base
 * election timeout, a leader that is not suspected is protected from being disturbed (thesis 4.2.3).
 */
export function inLeaderLease(state: State): boolean {
  if (state.role.kind === 'leader' || inVoteLease(state)) return true;
  return leaderOf(state) !== null && state.suspicion === null && state.electionElapsed < state.electionTicks;
}

/** True while some leader may count on this member not to vote. */
export function inVoteLease(state: State): boolean {
  return state.tick - state.heardTick < state.leaseTicks;
}

/**
 * True when this member may become leader (known bug E14). Besides voters that is one that the newest configuration, not known to
 * be committed, does not count any more: it may hold entries that the others need to elect anybody (thesis 4.2.2). It asks for
 * the votes of the new configuration and does not count its own.
 */
export function mayCampaign(state: State): boolean {
  // Recovering: its log may lack what it acknowledged. Restoring: its state is not there yet.
  if (state.recovery !== null || state.restoring !== null) return false;
  if (isVoter(state.configuration, state.id)) return true;
  const { current, previous } = state.membership;
  return current.index > state.commitIndex && previous !== null && isVoter(previous.configuration, state.id);
}

/** Moves the commit index of a follower or leader forward; never back. */
export function commitTo(state: State, index: LogIndex): boolean {
  if (index <= state.commitIndex) return false;
  assert(index <= state.log.lastIndex, `I5: commit ${index} is inside the log, which ends at ${state.log.lastIndex}`);
  state.commitIndex = index;
  state.trace?.({
    kind: 'commit',
    term: state.term,
    index,
    entryTerm: must(state.log.termAt(index), 'committed entry'),
  });
  return true;
}

export function mark(state: State, name: MarkName): void {
  state.trace?.({ kind: 'mark', name });
}
