/** Outcomes that the driver gives itself, in one place so that their wording and their meaning stay the same. */
import type { RefusalReason } from '../raft/types.ts';
import type { MemberId } from '../types/ids.ts';
import type { MutationOutcome } from './types.ts';

export type Refused = Extract<MutationOutcome, { kind: 'refused' }>;

/** About the time in which an election ends; what a client should wait while there is no leader. */
const ELECTION_RETRY_MS = 100;

export function noLeader(): Refused {
  return {
    kind: 'refused',
    reason: 'NO_QUORUM',
    leader: null,
    retryAfterMs: ELECTION_RETRY_MS,
    message:
      'no leader is known here: the member is cut off or an election is running; try again or ask another member',
  };
}

/** How often it pays to ask a member that was cut off for long. */
const PARTITIONED_RETRY_MS = 1_000;

export function partitioned(silentMs: number): Refused {
  return {
    kind: 'refused',
    reason: 'PARTITION_ERROR',
    leader: null,
    retryAfterMs: PARTITIONED_RETRY_MS,
    message:
      `this member has had no contact with a majority for ${Math.floor(silentMs / 1_000)} s; ask another member, and check the ` +
      'network between it and the others',
  };
}

export function notLeader(leader: MemberId | null): Refused {
  if (leader === null) return noLeader();
  return {
    kind: 'refused',
    reason: 'NOT_LEADER',
    leader,
    retryAfterMs: null,
    message: `this member does not lead; ask ${leader}`,
  };
}

export function overloaded(retryAfterMs: number): Refused {
  return {
    kind: 'refused',
    reason: 'OVERLOADED',
    leader: null,
    retryAfterMs,
    message: `too much work waits for its commit; try again in ${retryAfterMs} ms`,
  };
}

export function tooLarge(bytes: number, bytesMax: number): Refused {
  return {
    kind: 'refused',
    reason: 'TOO_LARGE',
    leader: null,
    retryAfterMs: null,
    message: `the command has ${bytes} bytes and at most ${bytesMax} are allowed; send it in smaller parts`,
  };
}

export function levelTooLow(level: number, needed: number): Refused {
  return {
    kind: 'refused',
    reason: 'FEATURE_LEVEL_TOO_LOW',
    leader: null,
    retryAfterMs: null,
    message: `upgrade all members and let the feature level rise to ${needed}: the cluster is at ${level}`,
  };
}

export function shuttingDown(): Refused {
  return {
    kind: 'refused',
    reason: 'SHUTTING_DOWN',
    leader: null,
    retryAfterMs: ELECTION_RETRY_MS,
    message: 'this member is stopping; ask another one',
  };
}

/** The entry was replaced by another leader's before it was committed: it will never be applied. */
export function lost(): Refused {
  return {
    kind: 'refused',
    reason: 'NOT_LEADER',
    leader: null,
    retryAfterMs: ELECTION_RETRY_MS,
    message: 'leadership changed before the command was committed; it was not carried out and can be sent again',
  };
}

/**
 * The entry is gone from this member's log, and nothing is committed in its place yet: another member that still
 * holds it may be elected and commit it.
 */
export function displaced(): MutationOutcome {
  return indeterminate('leadership changed before the command was committed');
}

/** How long it may take until room that was made is noticed. */
const NO_SPACE_RETRY_MS = 1_000;

export function noSpace(leader: MemberId | null): Refused {
  return {
    kind: 'refused',
    reason: 'NO_SPACE',
    leader,
    retryAfterMs: NO_SPACE_RETRY_MS,
    message:
      'the disk of the leader is full: nothing is written until there is room; free space there, or hand leadership to a member that has some (reads go on)',
  };
}

export function refusedByCore(reason: RefusalReason, leader: MemberId | null, retryAfterMs: number): Refused {
  switch (reason) {
    case 'not_leader':
      return notLeader(leader);
    case 'overloaded':
      return overloaded(retryAfterMs);
    case 'transferring':
    case 'not_ready':
      return noLeader();
    case 'storage_full':
      return noSpace(leader);
    case 'configuration_pending':
    case 'configuration_invalid':
      // Only the reconciler of the membership proposes configurations, and it looks at the reason itself.
      return noLeader();
  }
}

export function indeterminate(why: string): MutationOutcome {
  return {
    kind: 'indeterminate',
    message: `${why}; the command may or may not be carried out: retry it with the same session and sequence, or look`,
  };
}
