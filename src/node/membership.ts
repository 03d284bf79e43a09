/**
 * Brings the configuration to what the member table wants (R2): a pure function of both, looked at by the leader again and
 * again. So a change that was begun goes on under the next leader, and nothing has to remember how far it came.
 *
 * MB1  A new member is a learner first, and becomes a voter when it was close behind for an election timeout without a break.
 * MB2  All that can be changed at once is changed at once, by one joint change; learners come first, alone.
 * MB3  No change is begun that the members heard of lately cannot carry through: it would stay joint. One that recovers counts
 *      for nothing there: it follows and acknowledges, but without its vote nobody might be elected again.
 * MB4  A voter that is lagging (A1) becomes a learner, and a voter again when it is not lagging any more and close behind (MB1). Not
 *      the leader itself, and only while healthy voters that stay are a majority of the voters before: floor(N/2)+1. Nor one
 *      whose predecessor is not on record as removed: without a voter in its place that one would be taken in again.
 * MB5  A member that was replaced and is out stays out, also when its successor is removed before that is on record.
 */
import type { Sidelined } from '../machine/availability/view.ts';
import type { MemberRow } from '../machine/rows.ts';
import type { RaftStatus } from '../raft/types.ts';
import type { MemberId } from '../types/ids.ts';
import { MEMBERS_MAX } from '../types/limits.ts';

export interface ConfigurationStep {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

const NOBODY: Sidelined = { lagging: new Set(), doubtful: new Set() };

/** The next change to ask the core for, or null when there is nothing to do now. */
export function nextStep(
  status: RaftStatus,
  rows: readonly MemberRow[],
  ready: (learner: MemberId) => boolean,
  sidelined: Sidelined = NOBODY,
): ConfigurationStep | null {
  const { configuration, configurationIndex, commitIndex } = status;
  if (status.role !== 'leader' || configuration.votersOutgoing.length > 0 || configurationIndex > commitIndex)
    return null;
  const added = withNewLearners(status, rows);
  if (added !== null) return added;
  const voters = new Set(configuration.voters);
  const learners = new Set(configuration.learners);
  const wanted = new Map(rows.map((row) => [row.member, row.wanted]));
  for (const learner of configuration.learners) {
    // A first member has no row, and is a learner only because it was lagging.
    const shall = (wanted.get(learner) ?? 'voter') === 'voter' && !sidelined.lagging.has(learner);
    if (!shall || !ready(learner)) continue;
    learners.delete(learner);
    voters.add(learner);
  }
  const going = goneMembers(rows, voters);
  for (const member of going) {
    voters.delete(member);
    learners.delete(member);
  }
  for (const member of demotable(status, rows, voters, sidelined)) {
    voters.delete(member);
    learners.add(member);
  }
  const step = { voters: [...voters].sort(), learners: [...learners].sort() };
  if (same(step.voters, configuration.voters) && same(step.learners, configuration.learners)) return null;
  return canComplete(status, step.voters) ? step : null;
}

/** MB2: those that are wanted and not there yet. They do not count, so this needs nobody's consent but the present voters'. */
function withNewLearners(status: RaftStatus, rows: readonly MemberRow[]): ConfigurationStep | null {
  const { voters, learners } = status.configuration;
  const known = new Set([...voters, ...learners]);
  const gone = new Set([...goneMembers(rows, new Set(voters)), ...succeededBefore(rows)]);
  // Successor and predecessor are both there for a while.
  const leaving = rows.filter(
    (row) => row.wanted !== 'removed' && row.replaces !== '' && known.has(row.replaces),
  ).length;
  const fresh = rows
    .filter((row) => row.wanted !== 'removed' && !known.has(row.member) && !gone.has(row.member))
    .map((row) => row.member)
    .slice(0, Math.max(0, MEMBERS_MAX + leaving - known.size));
  return fresh.length === 0 ? null : { voters, learners: [...learners, ...fresh].sort() };
}

/** Members that are to go, or whose successor is a voter (or becomes one in this step). */
export function goneMembers(rows: readonly MemberRow[], voters: ReadonlySet<MemberId>): ReadonlySet<MemberId> {
  const gone = new Set(rows.filter((row) => row.wanted === 'removed').map((row) => row.member));
  const succeeded = new Set<MemberId>();
  // The successor of one that was to be a successor itself, and so on: as many times as that can go on.
  for (let before = -1; before !== succeeded.size; ) {
    before = succeeded.size;
    for (const { member, replaces, wanted } of rows) {
      const there = voters.has(member) || succeeded.has(member);
      if (replaces !== '' && wanted === 'voter' && there) succeeded.add(replaces);
    }
  }
  for (const member of succeeded) gone.add(member);
  return gone;
}

/**
 * Members whose successor is itself to go. Those that are still in stay, until somebody says more; one that is out stays out, although
 * nobody stands in its place any more (MB5).
 */
function succeededBefore(rows: readonly MemberRow[]): readonly MemberId[] {
  return rows.flatMap(({ replaces, wanted }) => (replaces !== '' && wanted === 'removed' ? [replaces] : []));
}

/**
 * A member that was replaced and is out, and has no row yet that says so; null when there is none. Of a chain of successors the
 * oldest comes first: a row that still names one that is not out yet cannot be taken back.
 */
export function untoldRemoval({ configuration }: RaftStatus, rows: readonly MemberRow[]): MemberId | null {
  const { voters, learners, votersOutgoing } = configuration;
  const inside = new Set([...voters, ...learners, ...votersOutgoing]);
  const told = new Set(rows.filter((row) => row.wanted === 'removed').map((row) => row.member));
  const done = (member: MemberId): boolean => !inside.has(member) && told.has(member);
  const gone = goneMembers(rows, new Set(voters));
  const replaced = new Set([...gone, ...succeededBefore(rows)]);
  for (const member of [...replaced].sort()) {
    if (inside.has(member) || told.has(member)) continue;
    const row = rows.find((candidate) => candidate.member === member);
    // By MB5 alone: nobody goes because of that row any more.
    if (row === undefined || row.replaces === '' || done(row.replaces) || !gone.has(member)) return member;
  }
  return null;
}

/** MB4. Those of `voters` that become learners now: all that are lagging, or nobody. */
function demotable(
  status: RaftStatus,
  rows: readonly MemberRow[],
  voters: ReadonlySet<MemberId>,
  { lagging, doubtful }: Sidelined,
): readonly MemberId[] {
  const before = status.configuration.voters;
  const slow = before.filter(
    (voter) => voters.has(voter) && lagging.has(voter) && voter !== status.id && !awaitsRemoval(rows, voter),
  );
  if (slow.length === 0) return [];
  const left = before.filter((voter) => voters.has(voter) && !slow.includes(voter) && !doubtful.has(voter));
  return healthyOf(status, left).length >= Math.floor(before.length / 2) + 1 ? slow : [];
}

/** The member that `successor` stands in for, or one before that, is not on record as removed yet. */
function awaitsRemoval(rows: readonly MemberRow[], successor: MemberId): boolean {
  const row = rows.find(({ member }) => member === successor);
  if (row === undefined || row.replaces === '') return false;
  return rows.find(({ member }) => member === row.replaces)?.wanted !== 'removed';
}

/** Those who would vote and answer now. */
export function healthyOf(status: RaftStatus, members: readonly MemberId[]): readonly MemberId[] {
  return members.filter(
    (id) => id === status.id || status.peers.some((peer) => peer.id === id && peer.active && !peer.recovering),
  );
}

/** MB3. The old majority is active, else this member would not lead; the new one has to be as well. */
function canComplete(status: RaftStatus, voters: readonly MemberId[]): boolean {
  return healthyOf(status, voters).length >= Math.floor(voters.length / 2) + 1;
}

function same(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((member, i) => member === b[i]);
}

/** MB1: follows how long each learner has been close behind. */
export class LearnerWatch {
  readonly #close = new Map<MemberId, number>();

  observe(status: RaftStatus, lagEntries: number, nowMs: number): void {
    const close = status.peers.filter(
      (peer) =>
        status.configuration.learners.includes(peer.id) &&
        peer.active &&
        !peer.recovering &&
        peer.state === 'replicate' &&
        status.commitIndex - peer.matchIndex <= lagEntries,
    );
    const ids = new Set(close.map((peer) => peer.id));
    for (const member of [...this.#close.keys()]) if (!ids.has(member)) this.#close.delete(member);
    for (const member of ids) if (!this.#close.has(member)) this.#close.set(member, nowMs);
  }

  ready(learner: MemberId, nowMs: number, forMs: number): boolean {
    const since = this.#close.get(learner);
    return since !== undefined && nowMs - since >= forMs;
  }

  clear(): void {
    this.#close.clear();
  }
}

/** Whom to hand leadership to: the active voter that is furthest; null when there is none. */
export function successorOf({ id, peers, configuration }: RaftStatus): MemberId | null {
  let best: RaftStatus['peers'][number] | null = null;
  for (const peer of peers) {
    if (!peer.active || peer.recovering || !configuration.voters.includes(peer.id) || peer.id === id) continue;
    if (best === null || peer.matchIndex > best.matchIndex) best = peer;
  }
  return best?.id ?? null;
}
