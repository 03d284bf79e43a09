/**
 * Trouble that nobody mends: when a run heals, only a majority does, and the rest stays as it is, dead or cut off. The majority must
 * do without them. Those whose storage is lost or damaged at that moment count among the rest.
 */
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { SimOptions } from '../options.ts';
import type { SimNetwork } from '../ports/network.ts';
import { decides, type Group, isIn } from './quorum.ts';
import type { SimMember } from './sim-member.ts';

/** In some of the runs. Nobody changes the members of those: a change may need somebody who is gone. */
export function leaveForGood(
  cluster: {
    readonly world: World;
    readonly options: SimOptions;
    readonly network: SimNetwork;
    readonly members: readonly SimMember[];
    readonly firstGroup: Group;
  },
  prng: Prng,
): void {
  const { world, options, network, members, firstGroup } = cluster;
  if (options.membership.everyUs > 0 || !prng.chance(options.forGoodPermille)) return;
  for (const { member, how } of chooseForGood(members, firstGroup, prng)) {
    world.note(member.id, 'for good', how === 'dead' ? 1 : 0, 0, 0, how);
    member.abandoned = true;
    member.dead = how === 'dead';
    if (member.dead) member.crash();
    else network.sever(member.id);
  }
}

/** As many as a majority can do without, in every configuration that somebody may count by, or fewer. */
function chooseForGood(
  members: readonly SimMember[],
  firstGroup: Group,
  prng: Prng,
): readonly { readonly member: SimMember; readonly how: 'dead' | 'cut' }[] {
  const now = [firstGroup, ...members.map(({ log }) => log.group)].filter(({ voters }) => voters.length > 0);
  const groups = [...now, ...now.flatMap(withLearnersPromoted)];
  const bad = new Set<string>(members.filter((member) => member.lost || member.damaged).map(({ id }) => id));
  const left = members.filter((member) => !bad.has(member.id) && !member.swapped && isIn(firstGroup, member.id));
  const chosen: { readonly member: SimMember; readonly how: 'dead' | 'cut' }[] = [];
  while (left.length > 0 && (chosen.length === 0 || prng.chance(800))) {
    const [member] = left.splice(prng.below(left.length), 1);
    if (member === undefined) break;
    if (!groups.every((group) => decides(group, (id) => id !== member.id && !bad.has(id)))) continue;
    bad.add(member.id);
    chosen.push({ member, how: prng.chance(500) ? 'dead' : 'cut' });
  }
  return chosen;
}

/** Those close behind a moment ago, one or some of them, may just be made voters, and die then: the change must get through without them. */
function withLearnersPromoted({ voters, votersOutgoing, learners }: Group): readonly Group[] {
  const outgoing = votersOutgoing.length > 0 ? votersOutgoing : voters;
  return Array.from({ length: 2 ** learners.length }, (_, chosen) => {
    const promoted = learners.filter((_id, at) => ((chosen >> at) & 1) === 1);
    return { voters: [...voters, ...promoted], votersOutgoing: outgoing, learners: [] };
  });
}
