/** The mutable state of one member of one Raft group, and the few steps that every handler shares. */
import type { Random } from '../ports/random.ts';
import { assert } from '../types/assert.ts';
import type { LogIndex, MemberId, Term } from '../types/ids.ts';
import { assertConfiguration } from './configuration.ts';
import { Durability } from './durability.ts';
import { LogView } from './log-view.ts';
import { Output } from './output.ts';
import type { Progress } from './progress.ts';
import { ForwardedReads, type LeaderReads } from './read-index.ts';
import type { Transfer } from './transfer.ts';
import type { Configuration, RaftLimits, RaftOptions, TraceEvent } from './types.ts';

export interface FollowerRole {
  readonly kind: 'follower';
  /** The leader of the current term, once heard from. */
  readonly leader: MemberId | null;
  readonly reads: ForwardedReads;
}

export interface PreCandidateRole {
  readonly kind: 'preCandidate';
  /** One answer for each member, bound to the term that would be campaigned for: term + 1. */
  readonly votes: Map<MemberId, boolean>;
}

export interface CandidateRole {
  readonly kind: 'candidate';
  /** One answer for each member, bound to the current term (known bug E7). */
  readonly votes: Map<MemberId, boolean>;
  /** The own vote counts once this persist effect is durable (known bug E4). */
  readonly selfVoteSequence: number;
}

export interface LeaderRole {
  readonly kind: 'leader';
  /** Sorted by id. */
  readonly peers: readonly Progress[];
  readonly peerById: ReadonlyMap<MemberId, Progress>;
  /** Index of the no-op that opened the term: from here on entries are of the current term. */
  readonly termStartIndex: LogIndex;
  readonly reads: LeaderReads;
  /** What this leadership appended and has not committed; payloads and overhead. */
  uncommittedBytes: number;
  heartbeatElapsed: number;
}

export type RoleState = FollowerRole | PreCandidateRole | CandidateRole | LeaderRole;

export interface State {
  readonly id: MemberId;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  readonly random: Random;
  readonly trace: ((event: TraceEvent) => void) | null;
  readonly log: LogView;
  readonly durability: Durability;
  readonly output: Output;
  configuration: Configuration;
  term: Term;
  votedFor: MemberId | null;
  /** I5: appliedIndex ≤ releasedIndex ≤ commitIndex ≤ lastIndex. */
  commitIndex: LogIndex;
  /** What commit effects have told the driver: min(commitIndex, durableIndex) (I6). */
  releasedIndex: LogIndex;
  appliedIndex: LogIndex;
  role: RoleState;
  /** Ticks since the member started. */
  tick: number;
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

export function createState(options: RaftOptions, random: Random, trace: State['trace']): State {
  assertConfiguration(options.configuration);
  assert(options.electionTicks > 1 && options.heartbeatTicks > 0, 'timeouts are positive');
  assert(options.heartbeatTicks < options.electionTicks, 'heartbeats are more frequent than elections');
  assert(options.limits.appendEntriesMax > 0, 'an append holds an entry');
  const log = new LogView(options.log);
  assert(options.appliedIndex >= log.baseIndex, 'what is compacted was applied');
  assert(options.appliedIndex <= log.lastIndex, 'what was applied is in the log (I6)');
  assert(options.hardState.term >= log.lastTerm, 'the term is at least the last entry’s');
  const state: State = {
    id: options.id,
    electionTicks: options.electionTicks,
    heartbeatTicks: options.heartbeatTicks,
    limits: options.limits,
    random,
    trace,
    log,
    durability: new Durability(log.lastIndex),
    output: new Output(),
    configuration: options.configuration,
    term: options.hardState.term,
    votedFor: options.hardState.votedFor,
    commitIndex: options.appliedIndex,
    releasedIndex: options.appliedIndex,
    appliedIndex: options.appliedIndex,
    role: { kind: 'follower', leader: null, reads: new ForwardedReads(options.limits.readsMax) },
    tick: 0,
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
 * True while a leader is believed alive: it was heard within the base election timeout, or it is this member. Votes and
 * pre-votes are refused then (thesis 4.2.3).
 */
export function inLeaderLease(state: State): boolean {
  if (state.role.kind === 'leader') return true;
  return leaderOf(state) !== null && state.electionElapsed < state.electionTicks;
}

/** Moves the commit index of a follower or leader forward; never back. */
export function commitTo(state: State, index: LogIndex): boolean {
  if (index <= state.commitIndex) return false;
  assert(index <= state.log.lastIndex, `I5: commit ${index} is inside the log, which ends at ${state.log.lastIndex}`);
  state.commitIndex = index;
  state.trace?.({ kind: 'commit', term: state.term, index });
  return true;
}

export function mark(state: State, name: string): void {
  state.trace?.({ kind: 'mark', name });
}
