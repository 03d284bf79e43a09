/** Who decides, counted by the oracles themselves (Raft thesis, chapter 4). Shares no code with the core. */

export interface Group {
  readonly voters: readonly string[];
  /** Not empty while two configurations decide together. */
  readonly votersOutgoing: readonly string[];
  readonly learners: readonly string[];
}

export const EMPTY_GROUP: Group = { voters: [], votersOutgoing: [], learners: [] };

/** Those for whom `yes` holds can decide. Nobody decides in an empty group. */
export function decides(group: Group, yes: (member: string) => boolean): boolean {
  if (group.voters.length === 0) return false;
  return mostOf(group.voters, yes) && (group.votersOutgoing.length === 0 || mostOf(group.votersOutgoing, yes));
}

/**
 * Can somebody be elected with the votes of `yes`, and those of `blank`, who have lost a part of what they acknowledged? By trying all: the
 * votes are a majority, and whatever majority acknowledged something, one of `yes` was among it.
 */
export function elects(group: Group, yes: (member: string) => boolean, blank: (member: string) => boolean): boolean {
  const halves = [group.voters, group.votersOutgoing].filter((half) => half.length > 0);
  if (halves.length === 0 || !halves.every((half) => mostOf(half, (id) => yes(id) || blank(id)))) return false;
  return halves.every((half) => !mostOf(half, (id) => !yes(id)));
}

function mostOf(members: readonly string[], yes: (member: string) => boolean): boolean {
  return 2 * members.filter(yes).length > members.length;
}

export function isVoter(group: Group, member: string): boolean {
  return group.voters.includes(member) || group.votersOutgoing.includes(member);
}

export function isIn(group: Group, member: string): boolean {
  return isVoter(group, member) || group.learners.includes(member);
}

export function sameGroup(a: Group, b: Group): boolean {
  return (
    sameMembers(a.voters, b.voters) &&
    sameMembers(a.votersOutgoing, b.votersOutgoing) &&
    sameMembers(a.learners, b.learners)
  );
}

/** Asked after every event: lists in the same order are compared without being sorted. */
function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  if (a.every((id, at) => id === b[at])) return true;
  const sorted = [...b].sort();
  return [...a].sort().every((id, at) => id === sorted[at]);
}

export function nameOf({ voters, votersOutgoing, learners }: Group): string {
  const list = (members: readonly string[]): string => [...members].sort().join(' ');
  const outgoing = votersOutgoing.length === 0 ? '' : ` | ${list(votersOutgoing)}`;
  return `{${list(voters)}${outgoing}${learners.length === 0 ? '' : ` + ${list(learners)}`}}`;
}

/**
 * Whoever decides in one and whoever decides in the other have somebody in common. By trying all: nobody decides in `a`
 * while all others decide in `b`.
 */
export function quorumsIntersect(a: Group, b: Group): boolean {
  const all = [...new Set([...a.voters, ...a.votersOutgoing, ...b.voters, ...b.votersOutgoing])].sort();
  for (let chosen = 0; chosen < 1 << all.length; chosen += 1) {
    const isChosen = (member: string): boolean => ((chosen >> all.indexOf(member)) & 1) === 1;
    if (decides(a, isChosen) && decides(b, (member) => !isChosen(member))) return false;
  }
  return true;
}
