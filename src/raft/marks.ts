/**
 * Rare branches of the core, by name: coverage marks of the simulator. A mark that a run takes is a trace event; nothing is done
 * where nobody traces. Each has a row in test/sim/marks.ts, which says how often it is to be met.
 */
export type MarkName =
  | 'append_behind_commit'
  | 'append_while_restoring'
  | 'append_without_room'
  | 'check_quorum_step_down'
  | 'elected_beside_blank_vote'
  | 'leader_suspected'
  | 'leave_joint'
  | 'log_read_empty'
  | 'log_read_stale'
  | 'misaddressed'
  | 'needs_snapshot'
  | 'old_term'
  | 'probe_again'
  | 'progress_anew'
  | 'recover_response_stale'
  | 'recovered'
  | 'removed_leader_resigns'
  | 'removed_member_knows'
  | 'replicate_stalled'
  | 'restore'
  | 'restore_keeps_entries'
  | 'stale_rejection'
  | 'timeout_now'
  | 'vote_ignored_in_lease';
