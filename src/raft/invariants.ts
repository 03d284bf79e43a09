/**
 * Invariants of a member, checked after each step. They stay on in production: a broken one stops the member.
 * I1–I4 are in `types.ts`; the code cites all of them by number.
 *
 * I5   appliedIndex ≤ releasedIndex ≤ commitIndex ≤ lastIndex.
 * I6   A commit effect never goes past what is durable here: what is applied survives a restart of the log.
 * I7   Term, commit index, released and applied index never go back; nor does the durable index but by truncation.
 * I8   One leader in each term, and one vote: once given, it stays for the term.
 * I9   Only voters campaign and lead, and whoever the newest configuration took out, until that is known to be committed.
 * I10  A leader's log ends in its own term, only grows, and is committed by counting only from the term's start on.
 * I11  What is committed is never truncated and never differs from a leader's log.
 * I12  For each follower: matchIndex < nextIndex ≤ lastIndex + 1, within the in-flight limits.
 * I13  The commit index of a leader is backed by a majority that holds it durably, of both halves of the configuration in force;
 *      members that left it, and learners, count for nothing.
 * I14  A leader adds a configuration only when the one before it is committed: at most one is not (thesis 4.1).
 * I15  Quorums of successive configurations intersect (thesis 4.3); asserted where a configuration enters the history.
 * I16  Between the acceptance of an image and the `applied` of its index nothing is applied, and nobody campaigns.
 * I17  A member that lost a part of its log follows, and nothing else, until it has it back.
 * I18  A learner is sent nothing that is not committed.
 */
import { assert } from '../types/assert.ts';
import type { LogIndex, MemberId, Term } from '../types/ids.ts';
import { quorumIndex } from './quorum.ts';
import { type LeaderRole, mayCampaign, type State } from './state.ts';

export class InvariantChecker {
  #term: Term;
  #votedFor: MemberId | null;
  #commitIndex: LogIndex;
  #releasedIndex: LogIndex;
  #lastIndex: LogIndex;
  #leader: LeaderRole | null = null;

  constructor(state: State) {
    this.#term = state.term;
    this.#votedFor = state.votedFor;
    this.#commitIndex = state.commitIndex;
    this.#releasedIndex = state.releasedIndex;
    this.#lastIndex = state.log.lastIndex;
  }

  /** Costs a few comparisons and one pass over the followers. */
  check(state: State): void {
    const { log, durability, role } = state;
    assert(state.appliedIndex <= state.releasedIndex, 'I5: applied ≤ released');
    assert(state.releasedIndex <= state.commitIndex, 'I5: released ≤ commit');
    assert(state.commitIndex <= log.lastIndex, 'I5: commit ≤ last');
    assert(durability.durableIndex <= log.lastIndex, 'I6: durable ≤ last');
    assert(state.releasedIndex <= durability.durableIndex, 'I6: released ≤ durable');
    assert(Number.isSafeInteger(state.term) && Number.isSafeInteger(log.lastIndex + 1), 'terms and indexes are safe');
    assert(state.term >= this.#term, 'I7: term');
    assert(state.commitIndex >= this.#commitIndex, 'I7: commit index');
    assert(state.releasedIndex >= this.#releasedIndex, 'I7: released index');
    assert(state.term >= log.lastTerm, 'the log holds nothing newer than the term');
    if (state.term === this.#term && this.#votedFor !== null) {
      assert(state.votedFor === this.#votedFor, 'I8: a vote stays for its term');
    }
    assert(log.baseIndex <= state.commitIndex, 'I5: what is compacted was committed');
    if (role.kind !== 'follower') assert(mayCampaign(state), 'I9: only voters campaign');
    if (state.restoring !== null) {
      assert(role.kind === 'follower', 'I16: no campaign without the state');
      assert(state.appliedIndex < state.restoring.mark.index, 'I16: an image is newer than what is applied');
      assert(state.releasedIndex <= state.restoring.mark.index, 'I16: nothing is released before the image is applied');
    }
    if (state.recovery !== null) assert(role.kind === 'follower', 'I17: no campaign without the log');
    if (role.kind === 'leader') this.#checkLeader(state, role);
    this.#leader = role.kind === 'leader' ? role : null;
    this.#term = state.term;
    this.#votedFor = state.votedFor;
    this.#commitIndex = state.commitIndex;
    this.#releasedIndex = state.releasedIndex;
    this.#lastIndex = log.lastIndex;
  }

  #checkLeader(state: State, role: LeaderRole): void {
    const { log, limits } = state;
    assert(log.lastTerm === state.term, 'I10: a leader’s log ends in its own term');
    assert(log.lastIndex >= this.#lastIndex, 'I10: a leader’s log only grows');
    if (this.#leader === role && state.commitIndex > this.#commitIndex) this.#checkCommit(state, role);
    for (const progress of role.peers) {
      assert(progress.matchIndex < progress.nextIndex, 'I12: match < next');
      assert(progress.nextIndex <= log.lastIndex + 1, 'I12: next ≤ last + 1');
      assert(progress.inflightMessages <= limits.inflightMessagesMax, 'I12: in-flight messages');
    }
    const { current, previous } = state.membership;
    if (current.index >= role.termStartIndex && previous !== null) {
      assert(previous.index <= state.commitIndex, 'I14: one configuration at a time');
    }
    assert(role.uncommittedBytes >= 0, 'uncommitted bytes are counted once');
  }

  #checkCommit(state: State, role: LeaderRole): void {
    assert(state.commitIndex >= role.termStartIndex, 'I10: commits by counting only in its own term');
    const backed = quorumIndex(state.configuration, (id) =>
      id === state.id ? state.durability.durableIndex : (role.peerById.get(id)?.matchIndex ?? 0),
    );
    assert(state.commitIndex <= backed, 'I13: a majority holds what is committed');
  }
}
