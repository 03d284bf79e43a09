/**
 * A member that lost a part of its log (W4). It remembers term and vote, but not what it acknowledged: until it has all of that
 * back it does not campaign, and its vote only keeps others from being elected in the same term (known bug D5). The reasoning is in
 * README.md.
 */
import { type LogIndex, logIndex, type MemberId } from '../types/ids.ts';
import { isVoter, otherVoters } from './configuration.ts';
import { electionResult } from './quorum.ts';
import { leaderOf, mark, type Recovery, type State } from './state.ts';

/** Without a leader for so many election timeouts, one that leads still would have been heard, or stepped down. */
const ALONE_TIMEOUTS = 10;

/** Asks the leader, or everybody who could be it, each heartbeat interval until the leader of this term has answered. */
export function tickRecovery(state: State): void {
  const { recovery } = state;
  if (recovery === null) return;
  recovery.requestElapsed++;
  recovery.aloneElapsed++;
  checkImpossible(state, recovery);
  if (recovery.named?.term === state.term || recovery.requestElapsed < state.heartbeatTicks) return;
  recovery.requestElapsed = 0;
  const leader = leaderOf(state);
  for (const to of leader === null ? otherVoters(state.configuration, state.id) : [leader]) {
    state.output.send({ kind: 'recoverRequest', from: state.id, to, term: state.term, nonce: recovery.nonce });
  }
}

/**
 * Where those that recover are too many nobody can be elected, and without a leader they do not recover. A leader that was
 * there before may still lead, and help them: that is ruled out only after a while.
 */
function checkImpossible(state: State, recovery: Recovery): void {
  if (!isVoter(state.configuration, state.id)) return;
  const aloneTicks = ALONE_TIMEOUTS * state.electionTicks;
  if (recovery.impossible === null) {
    if (recovery.aloneElapsed < aloneTicks) return;
    // Who was not heard lately may have recovered from a leader that only this member does not hear.
    const others = [...recovery.others].filter(([, saidTick]) => state.tick - saidTick < state.electionTicks);
    const lost = new Set([state.id, ...others.map(([id]) => id)]);
    if (electionResult(state.configuration, (id) => (lost.has(id) ? 'blank' : 'granted')) === 'won') return;
    recovery.impossible = { members: [...lost].sort(), sinceTick: state.tick, said: false };
  }
  const { impossible } = recovery;
  // Whoever stops answers nobody any more: the others, who began to wait later, must find out, too.
  const lingerTicks = impossible.members.length > 1 ? aloneTicks : 0;
  if (impossible.said || state.tick - impossible.sinceTick < lingerTicks) return;
  impossible.said = true;
  state.output.effect({ kind: 'recoveryImpossible', members: impossible.members });
}

/** `from` does not recover (any more): it is asked again whether a majority is lost. */
export function noteWhole(recovery: Recovery, from: MemberId): void {
  recovery.others.delete(from);
  if (recovery.impossible?.members.includes(from) === true) recovery.impossible = null;
}

/** A leader was heard: whoever recovers, too, does so from it. */
export function noteLeader(state: State): void {
  if (state.recovery === null) return;
  state.recovery.aloneElapsed = 0;
  state.recovery.others.clear();
  state.recovery.impossible = null;
}

function verifiedIndex(state: State, recovery: Recovery): LogIndex {
  // What is committed here is in the log of every leader; of the rest another one may know nothing.
  const { verified } = recovery;
  return verified.term === state.term ? logIndex(Math.max(verified.index, state.commitIndex)) : state.commitIndex;
}

/** The log equals that of the leader of this term up to `index`. */
export function noteVerified(state: State, index: LogIndex): void {
  const { recovery, term } = state;
  if (recovery === null) return;
  recovery.verified = { term, index: logIndex(Math.max(index, verifiedIndex(state, recovery))) };
}

/** How far a heartbeat may move the commit index: the leader may count acknowledgements that this member forgot. */
export function clampCommit(state: State, index: LogIndex): LogIndex {
  const { recovery } = state;
  return recovery === null ? index : logIndex(Math.min(index, verifiedIndex(state, recovery)));
}

/**
 * Up to where the log of this term's leader must be held; null: not known yet. A leader that was elected in this life has no
 * acknowledgement of an earlier one, and all that counts of older terms lies before the first entry of its own: it need not be asked, and
 * may be gone when it is (simulator, seed 887000016646).
 */
function neededIndex(state: State, recovery: Recovery): LogIndex | null {
  const { named, startTerm } = recovery;
  const held = logIndex(Math.min(verifiedIndex(state, recovery), state.durability.durableIndex));
  if (state.term > startTerm && state.log.termAt(held) === state.term) return held;
  return named?.term === state.term ? named.index : null;
}

/** Ends the recovery once everything that may have been acknowledged is durable here, and equal to the log of this term's leader. */
export function endRecovery(state: State): void {
  const { recovery } = state;
  if (recovery === null || state.restoring !== null) return;
  const index = neededIndex(state, recovery);
  if (index === null) return;
  if (verifiedIndex(state, recovery) < index || state.durability.durableIndex < index) return;
  state.recovery = null;
  mark(state, 'recovered');
  state.output.effect({ kind: 'recovered', index });
}
