/** Leader to follower: appends within the limits, heartbeats, and the commit index. */
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex } from '../types/ids.ts';
import { isVoter } from './configuration.ts';
import { payloadBytes } from './log-view.ts';
import type { Progress } from './progress.ts';
import { type LeaderRole, mark, type State } from './state.ts';
import type { Entry } from './types.ts';

/**
 * How far a follower gets the log: a learner as far as it is committed. With a tail that may still be overwritten it would be ahead of
 * voters that need its vote, where an uncommitted change of members counts it as a voter, and it may not campaign itself: nobody could be
 * elected if the leader is lost for good (simulator, seed 885000000264).
 */
function sendableIndex(state: State, progress: Progress): LogIndex {
  return isLearner(state, progress) ? state.commitIndex : state.log.lastIndex;
}

function isLearner({ configuration }: State, { id }: Progress): boolean {
  const { learners } = configuration;
  return learners.length > 0 && learners.includes(id) && !isVoter(configuration, id);
}

/** Sends as many appends as the follower's progress allows. */
export function replicate(state: State, progress: Progress): void {
  const { log, limits } = state;
  const lastIndex = sendableIndex(state, progress);
  while (progress.ready) {
    const { nextIndex } = progress;
    const probing = progress.state === 'probe';
    if (nextIndex > lastIndex && !probing) return;
    if (nextIndex <= log.baseIndex) {
      needSnapshot(state, progress);
      return;
    }
    const entries =
      nextIndex > lastIndex ? [] : log.slice(nextIndex, lastIndex, limits.appendEntriesMax, limits.appendBytesMax);
    if (entries === null && !probing) {
      readBack(state, progress);
      return;
    }
    // A probe whose entries are not in memory goes out empty: most probes only find out where the logs agree.
    sendAppend(state, progress, entries ?? []);
  }
}

/**
 * Entries that the follower needs are compacted: only an image helps (known bug R16). The heartbeats go on meanwhile. One that is
 * not heard would not answer, and one that left the configuration has no use for it.
 */
function needSnapshot(state: State, progress: Progress): void {
  if (progress.departedWith !== null || !progress.isActive(state.tick, state.electionTicks)) {
    mark(state, 'needs_snapshot');
    return;
  }
  progress.becomeSnapshot();
  state.output.effect({ kind: 'sendSnapshot', to: progress.id });
}

export function replicateToAll(state: State, leader: LeaderRole): void {
  for (const progress of leader.peers) replicate(state, progress);
}

/** Asks for entries that are not in memory: they were evicted, being applied, or they are of an earlier life. The log on disk holds them. */
function readBack(state: State, progress: Progress): void {
  const from = progress.nextIndex;
  const missing = Math.min(state.log.cacheFirstIndex - 1, sendableIndex(state, progress)) - from + 1;
  assert(missing > 0, 'only what is not in memory is read back');
  progress.readStarted(from);
  state.output.effect({
    kind: 'readLog',
    to: progress.id,
    from,
    entriesMax: Math.min(missing, state.limits.appendEntriesMax),
    bytesMax: state.limits.appendBytesMax,
  });
}

/** `logRead` input: the answer to {@link readBack}. It may come late: for an earlier leadership or another place. */
export function logRead(state: State, progress: Progress, entries: readonly Entry[]): void {
  if (progress.readingFrom === null) return;
  progress.readEnded();
  const first = entries[0];
  if (first === undefined) {
    // Tried again with the next heartbeat, not in a tight loop.
    mark(state, 'log_read_empty');
    return;
  }
  let fits = progress.state === 'replicate' && first.index === progress.nextIndex;
  for (const [at, entry] of entries.entries()) {
    if (entry.index !== first.index + at || state.log.termAt(entry.index) !== entry.term) fits = false;
  }
  // It may have been a voter when they were asked for.
  const sendable = entries.filter(({ index }) => index <= sendableIndex(state, progress));
  if (fits && sendable.length > 0) sendAppend(state, progress, sendable);
  else mark(state, 'log_read_stale');
  replicate(state, progress);
}

function sendAppend(state: State, progress: Progress, entries: readonly Entry[]): void {
  const prevLogIndex = logIndex(progress.nextIndex - 1);
  const lastIndex = logIndex(prevLogIndex + entries.length);
  progress.sent(lastIndex, payloadBytes(entries), state.tick);
  emitAppend(state, progress, prevLogIndex, entries);
}

function emitAppend(state: State, progress: Progress, prevLogIndex: LogIndex, entries: readonly Entry[]): void {
  const prevLogTerm = state.log.termAt(prevLogIndex);
  assert(prevLogTerm !== null, `term of ${prevLogIndex} is known`);
  assert(
    entries.length === 0 || prevLogIndex + entries.length <= sendableIndex(state, progress),
    'I18: a learner gets what is committed',
  );
  progress.commitWasSent(logIndex(Math.min(state.commitIndex, prevLogIndex + entries.length)));
  state.output.send({
    kind: 'appendRequest',
    from: state.id,
    to: progress.id,
    term: state.term,
    prevLogIndex,
    prevLogTerm,
    entries,
    leaderCommit: state.commitIndex,
  });
}

/**
 * The follower is alive but has acknowledged nothing for a heartbeat although something is out. In probe the append
 * goes again. In replicate an empty append right after everything sent settles it, beside the window: accepted,
 * it makes up for every lost acknowledgement; rejected, it shows that an append was lost (known bug R15).
 */
export function recoverLost(state: State, progress: Progress): void {
  if (!progress.isStalled(state.tick, state.heartbeatTicks)) return;
  mark(state, progress.state === 'probe' ? 'probe_again' : 'replicate_stalled');
  progress.retry(state.tick);
  // Behind the base of the log an empty append has no term to check against, and what was lost cannot be sent again:
  // `replicate`, which follows, finds that only an image helps.
  if (progress.nextIndex <= state.log.baseIndex) progress.giveUpWindow();
  else if (progress.state === 'replicate') emitAppend(state, progress, logIndex(progress.nextIndex - 1), []);
}

export function sendHeartbeat(state: State, leader: LeaderRole, progress: Progress): void {
  const leaderCommit = logIndex(Math.min(state.commitIndex, progress.matchIndex));
  progress.commitWasSent(leaderCommit);
  progress.departureTold(leaderCommit, state.nowMs);
  state.output.send({
    kind: 'heartbeatRequest',
    from: state.id,
    to: progress.id,
    term: state.term,
    leaderCommit,
    readSequence: leader.reads.sequence,
    sentMs: state.nowMs,
  });
}

export function sendHeartbeats(state: State, leader: LeaderRole): void {
  for (const progress of leader.peers) sendHeartbeat(state, leader, progress);
}

/** Tells followers that hold all that they get how far they may commit. The others learn it from the next append. */
export function announceCommit(state: State, leader: LeaderRole): void {
  for (const progress of leader.peers) {
    // What a learner gets has just become more.
    if (isLearner(state, progress)) replicate(state, progress);
    const complete = progress.matchIndex >= sendableIndex(state, progress);
    if (complete && state.commitIndex > progress.commitSent) sendHeartbeat(state, leader, progress);
  }
}
