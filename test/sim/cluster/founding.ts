/** Who is in the cluster when it begins. */
import { type MemberId, memberId } from '../../../src/types/ids.ts';
import type { SimOptions } from '../options.ts';
import type { SimMember } from './sim-member.ts';

/** The configuration that the first members are told. */
export interface Founding {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** What a machine is told that waits to be added. */
export const NOBODY: Founding = { voters: [], votersOutgoing: [], learners: [] };

export function foundingOf({ members, learners }: SimOptions): Founding {
  const all = Array.from({ length: members + learners }, (_, at) => memberId(`m${at + 1}`));
  return { voters: all.slice(0, members), votersOutgoing: [], learners: all.slice(members) };
}

/** Levels that the others announce; said in the hello of every connection. */
export function levelsBeside(self: SimMember, members: readonly SimMember[]): ReadonlyMap<MemberId, number> {
  const levels = new Map<MemberId, number>();
  for (const other of members) {
    if (other !== self && other.running !== null) levels.set(other.id, other.featureLevelMax);
  }
  return levels;
}
