/** Questions about a configuration, joint or not (I4; Raft thesis, section 4.3). */
import { assert } from '../types/assert.ts';
import type { MemberId } from '../types/ids.ts';
import type { Configuration } from './types.ts';

/** True for sorted lists without duplicates. */
export function isSortedUnique(ids: readonly MemberId[]): boolean {
  return ids.every((id, at) => at === 0 || (ids[at - 1] as MemberId) < id);
}

/** Nobody votes: a member that waits to be added to a cluster. */
export function isEmpty(configuration: Configuration): boolean {
  return configuration.voters.length === 0;
}

/** Decisions need a majority of both halves. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/**
 * Throws unless the lists are sorted and unique, and nobody is voter and learner at once. An outgoing voter may be a learner: it
 * is being demoted. Without a voter there is nobody at all.
 */
export function assertConfiguration(configuration: Configuration): void {
  const { voters, votersOutgoing, learners } = configuration;
  assert(isSortedUnique(voters), `voters are sorted and unique: ${voters.join(',')}`);
  assert(isSortedUnique(votersOutgoing), `outgoing voters are sorted and unique: ${votersOutgoing.join(',')}`);
  assert(isSortedUnique(learners), `learners are sorted and unique: ${learners.join(',')}`);
  for (const id of learners) assert(!voters.includes(id), `${id} is a voter or a learner`);
  if (isEmpty(configuration)) assert(votersOutgoing.length + learners.length === 0, 'a configuration has a voter');
}

/** True when `id` counts in a majority of either half. */
export function isVoter(configuration: Configuration, id: MemberId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

/** True when `id` decides alone. */
export function isSoleVoter(configuration: Configuration, id: MemberId): boolean {
  const { voters, votersOutgoing } = configuration;
  return voters.length === 1 && voters[0] === id && votersOutgoing.every((other) => other === id);
}

/** Everyone but `self` who gets the log: voters of both halves and learners; sorted, unique. */
export function peersOf(configuration: Configuration, self: MemberId): readonly MemberId[] {
  const { voters, votersOutgoing, learners } = configuration;
  const all = new Set([...voters, ...votersOutgoing, ...learners]);
  all.delete(self);
  return [...all].sort();
}

/** Voters of both halves but `self`; sorted, unique. */
export function otherVoters(configuration: Configuration, self: MemberId): readonly MemberId[] {
  const all = new Set([...configuration.voters, ...configuration.votersOutgoing]);
  all.delete(self);
  return [...all].sort();
}
