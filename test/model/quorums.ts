/** Quorums by trying them all, independent of `src/raft/quorum.ts`. For a handful of members. */
import type { Configuration } from '../../src/raft/types.ts';

function majorityOf(half: readonly string[], some: readonly string[]): boolean {
  return half.length === 0 || 2 * half.filter((id) => some.includes(id)).length > half.length;
}

export function isQuorum(some: readonly string[], { voters, votersOutgoing }: Configuration): boolean {
  return majorityOf(voters, some) && majorityOf(votersOutgoing, some);
}

/** Every quorum of the one has a member in common with every quorum of the other. Where nobody votes yet there is none. */
export function quorumsIntersect(left: Configuration, right: Configuration): boolean {
  if (left.voters.length === 0) return true;
  const ids = [...new Set([left, right].flatMap(({ voters, votersOutgoing }) => [...voters, ...votersOutgoing]))];
  const all = Array.from({ length: 2 ** ids.length }, (_, bits) => ids.filter((_id, at) => (bits & (1 << at)) !== 0));
  const theirs = all.filter((some) => isQuorum(some, right));
  return all
    .filter((some) => isQuorum(some, left))
    .every((mine) => theirs.every((other) => other.some((id) => mine.includes(id))));
}
