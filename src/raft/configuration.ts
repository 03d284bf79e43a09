/** Questions about a configuration, joint or not (I4; Raft thesis, section 4.3). */
import { assert } from '../types/assert.ts';
import type { MemberId } from '../types/ids.ts';
import type { Configuration } from './types.ts';

function assertSortedUnique(ids: readonly MemberId[], what: string): void {
  let previous: MemberId | null = null;
  for (const id of ids) {
    assert(previous === null || previous < id, `${what} are sorted and unique: ${ids.join(',')}`);
    previous = id;
  }
}

/** Throws unless the lists are sorted and unique, there is a voter, and no learner votes. */
export function assertConfiguration(configuration: Configuration): void {
  assertSortedUnique(configuration.voters, 'voters');
  assertSortedUnique(configuration.votersOutgoing, 'outgoing voters');
  assertSortedUnique(configuration.learners, 'learners');
  assert(configuration.voters.length > 0, 'a configuration has a voter');
  for (const id of configuration.learners) assert(!isVoter(configuration, id), `${id} is a voter or a learner`);
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
