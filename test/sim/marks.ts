/** How often the rare branches of the core are met: a run of many seeds that never meets one tests less than it says. */
import type { MarkName } from '../../src/raft/marks.ts';

/**
 * At least so many hits in 1,000 seeds of the default run: about a quarter of what was measured. A mark without a row does not compile.
 * Below 1: one hit in some thousands of seeds, which only runs of as many are asked for. 0: no run can meet it, for the reason beside it.
 */
export const MARK_MINIMA: Readonly<Record<MarkName, number>> = {
  append_behind_commit: 500,
  append_while_restoring: 0.1,
  append_without_room: 10,
  check_quorum_step_down: 100,
  elected_beside_blank_vote: 2,
  leader_suspected: 500,
  leave_joint: 100,
  log_read_empty: 0.1,
  log_read_stale: 2,
  // The member drops what is not addressed to it before the core sees it; test/raft looks at the core alone.
  misaddressed: 0,
  // All of it in few runs: those in which one that is gone for good needs an image.
  needs_snapshot: 0.5,
  old_term: 200,
  probe_again: 500,
  progress_anew: 20,
  recover_response_stale: 5,
  recovered: 50,
  removed_leader_resigns: 10,
  removed_member_knows: 50,
  replicate_stalled: 500,
  restore: 40,
  restore_keeps_entries: 0.1,
  stale_rejection: 200,
  timeout_now: 50,
  vote_ignored_in_lease: 50,
};

/** With fewer seeds, a rare branch may be missed by bad luck. */
export const SEEDS_FOR_MARKS = 1_000;

/** The marks that `seeds` seeds met too rarely, each with what was found and what was expected. */
export function missedMarks(hits: Readonly<Record<string, number>>, seeds: number): readonly string[] {
  const missed: string[] = [];
  for (const [name, minimum] of Object.entries(MARK_MINIMA)) {
    const expected = Math.floor((minimum * seeds) / 1_000);
    const found = hits[name] ?? 0;
    if (found < expected) missed.push(`${name}: ${found}, not ${expected}`);
  }
  return missed;
}
