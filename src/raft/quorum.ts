/**
 * Majorities, joint-aware: what both halves of a configuration have decided (I4; Raft thesis, section 4.3).
 * Pure functions; a half without members agrees to everything, so a configuration that is not joint is just `voters`.
 */
import { assert } from '../types/assert.ts';
import type { MemberId } from '../types/ids.ts';
import type { Configuration } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/**
 * blank: the voter lost a part of its log. It votes for nobody else in this term, but cannot tell whether the candidate's log holds
 * what it acknowledged once (W4).
 */
export type Vote = 'granted' | 'blank' | 'refused';

export function voteIn({ granted, blank }: { readonly granted: boolean; readonly blank?: true }): Vote {
  if (granted) return 'granted';
  return blank === true ? 'blank' : 'refused';
}

/** Members that make a majority of `count`: floor(count / 2) + 1. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

function majorityIndex(ids: readonly MemberId[], indexOf: (id: MemberId) => number): number {
  if (ids.length === 0) return Number.MAX_SAFE_INTEGER;
  // Insertion sort, descending: a handful of members, and no comparator call in the hot path.
  const sorted: number[] = [];
  for (const id of ids) {
    const value = indexOf(id);
    let at = sorted.length;
    while (at > 0 && (sorted[at - 1] as number) < value) at--;
    sorted.splice(at, 0, value);
  }
  return sorted[majority(ids.length) - 1] as number;
}

/** The highest number that a majority of each half has reached: a committed index, or a confirmed read sequence. */
export function quorumIndex(configuration: Configuration, indexOf: (id: MemberId) => number): number {
  assert(configuration.voters.length > 0, 'a quorum needs a voter');
  const incoming = majorityIndex(configuration.voters, indexOf);
  return Math.min(incoming, majorityIndex(configuration.votersOutgoing, indexOf));
}

function majorityVote(ids: readonly MemberId[], voteOf: (id: MemberId) => boolean | undefined): VoteResult {
  if (ids.length === 0) return 'won';
  let granted = 0;
  let refused = 0;
  for (const id of ids) {
    const vote = voteOf(id);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  if (granted >= majority(ids.length)) return 'won';
  return granted + (ids.length - granted - refused) >= majority(ids.length) ? 'pending' : 'lost';
}

function halfElection(ids: readonly MemberId[], voteOf: (id: MemberId) => Vote | undefined): VoteResult {
  if (ids.length === 0) return 'won';
  const most = majority(ids.length);
  // So many have a member in common with every majority, whatever the others have forgotten.
  const witnesses = ids.length - most + 1;
  const count = (vote: Vote | undefined): number => ids.filter((id) => voteOf(id) === vote).length;
  const [granted, blank, pending] = [count('granted'), count('blank'), count(undefined)];
  if (granted >= witnesses && granted + blank >= most) return 'won';
  return granted + pending >= witnesses && granted + blank + pending >= most ? 'pending' : 'lost';
}

/**
 * An election. A majority of each half gave its vote, so that nobody else is elected in the term; and so many of each half with a whole
 * log that one of them holds whatever was committed. Those are a majority, too, where the number of voters is odd; where it is even,
 * half of them, as of two members the one that lost nothing.
 */
export function electionResult(configuration: Configuration, voteOf: (id: MemberId) => Vote | undefined): VoteResult {
  assert(configuration.voters.length > 0, 'a quorum needs a voter');
  const incoming = halfElection(configuration.voters, voteOf);
  const outgoing = halfElection(configuration.votersOutgoing, voteOf);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

/** Won when a majority of each half granted; lost when one half cannot grant any more. undefined: not heard yet. */
export function voteResult(configuration: Configuration, voteOf: (id: MemberId) => boolean | undefined): VoteResult {
  assert(configuration.voters.length > 0, 'a quorum needs a voter');
  const incoming = majorityVote(configuration.voters, voteOf);
  const outgoing = majorityVote(configuration.votersOutgoing, voteOf);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}
