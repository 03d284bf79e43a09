/**
 * Leadership transfer (Raft thesis, section 3.10): the leader stops taking proposals, brings the target up to date, and
 * tells it to campaign at once. It waits one election timeout, then goes on as before.
 */
import type { LogIndex, MemberId } from '../types/ids.ts';
import type { LeaderRole, State } from './state.ts';

export interface Transfer {
  readonly to: MemberId;
  readonly startTick: number;
}

/** `transferLeadership` input. */
export function startTransfer(state: State, to: MemberId): void {
  if (state.role.kind === 'leader' && to === state.id) {
    state.output.effect({ kind: 'transferEnded', to, outcome: 'done' });
    return;
  }
  if (state.role.kind !== 'leader' || state.transfer !== null || !state.configuration.voters.includes(to)) {
    state.output.effect({ kind: 'transferEnded', to, outcome: 'refused' });
    return;
  }
  state.transfer = { to, startTick: state.tick };
  // However late TimeoutNow arrives, votes are then given without regard to leases.
  state.role.transferBegun = true;
  continueTransfer(state, state.role);
}

/**
 * Sends TimeoutNow when the target holds the whole log. Called again on acknowledgements and heartbeats: a second
 * one is harmless, because the target has left the term by then.
 */
export function continueTransfer(state: State, leader: LeaderRole): void {
  if (state.transfer === null) return;
  const { to } = state.transfer;
  const matchIndex: LogIndex | undefined = leader.peerById.get(to)?.matchIndex;
  if (matchIndex !== state.log.lastIndex) return;
  state.output.send({ kind: 'timeoutNow', from: state.id, to, term: state.term });
}

/** Ends the transfer when another leader than before is known. */
export function settleTransfer(state: State, leader: MemberId): void {
  if (state.transfer === null) return;
  const { to } = state.transfer;
  state.transfer = null;
  state.output.effect({ kind: 'transferEnded', to, outcome: leader === to ? 'done' : 'refused' });
}

export function tickTransfer(state: State): void {
  if (state.transfer === null || state.tick - state.transfer.startTick < state.electionTicks) return;
  const { to } = state.transfer;
  state.transfer = null;
  state.output.effect({ kind: 'transferEnded', to, outcome: 'timed_out' });
}
