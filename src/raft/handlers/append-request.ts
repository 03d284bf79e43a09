import { assert } from '../../types/assert.ts';
import { type LogIndex, logIndex, type Term } from '../../types/ids.ts';
import { noteVerified } from '../recovery.ts';
import { heardLeader } from '../roles/follower.ts';
import { commitTo, mark, type State } from '../state.ts';
import { spansOf } from '../trace.ts';
import type { AppendRequest, Entry } from '../types.ts';

/** AppendEntries (Raft paper, figure 2), from the leader of the current term. */
export function handleAppendRequest(state: State, message: AppendRequest): void {
  heardLeader(state, message.from);
  assertRun(message);
  if (message.leaderCommit > state.knownCommitIndex) state.knownCommitIndex = message.leaderCommit;
  if (state.restoring?.durable === false) {
    // The log that an append would add to is not on the disk yet.
    mark(state, 'append_while_restoring');
    return;
  }
  const { log } = state;
  let { prevLogIndex, prevLogTerm, entries } = message;
  let lastSent = logIndex(prevLogIndex + entries.length);
  if (prevLogIndex < state.commitIndex) {
    // What is committed here is in the leader's log as well (leader completeness): only the rest is news.
    assertCommittedAgree(state, message);
    const skip = Math.min(entries.length, state.commitIndex - prevLogIndex);
    entries = entries.slice(skip);
    prevLogIndex = state.commitIndex;
    prevLogTerm = log.termAt(prevLogIndex) as Term;
    mark(state, 'append_behind_commit');
  }
  if (log.termAt(prevLogIndex) !== prevLogTerm) {
    reject(state, message);
    return;
  }
  if (state.storageFull) {
    const room = withRoom(state, entries);
    if (room === null) {
      mark(state, 'append_without_room');
      return;
    }
    entries = room;
    lastSent = logIndex(prevLogIndex + entries.length);
  }
  store(state, entries);
  // Equal to the leader's log up to here: the prev check passed, and what followed was compared or replaced.
  const verified = logIndex(Math.max(prevLogIndex, lastSent));
  noteVerified(state, verified);
  state.output.sendDurable({
    kind: 'appendResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    outcome: { kind: 'accepted', matchIndex: verified },
  });
  // Not min(leaderCommit, lastIndex): what lies behind `verified` may be another leader's (known bug R5).
  commitTo(state, logIndex(Math.min(message.leaderCommit, verified)));
}

/**
 * What a full disk takes of `entries`: up to the first command that is not in the log yet (W5). null when that is nothing at
 * all: the append goes unanswered, so that the leader tries again at the pace of its heartbeats and not at once.
 */
function withRoom(state: State, entries: readonly Entry[]): readonly Entry[] | null {
  const at = entries.findIndex(({ index, term, kind }) => kind === 'command' && state.log.termAt(index) !== term);
  if (at < 0) return entries;
  return at === 0 ? null : entries.slice(0, at);
}

/** Entries follow each other, terms never fall, and none is newer than the sender. */
function assertRun(message: AppendRequest): void {
  let index: number = message.prevLogIndex;
  let term: Term = message.prevLogTerm;
  for (const entry of message.entries) {
    index++;
    assert(entry.index === index, 'entries of an append are consecutive');
    assert(entry.term >= term, 'terms of an append do not fall');
    term = entry.term;
  }
  assert(term <= message.term, 'an append holds nothing newer than its term');
}

function assertCommittedAgree(state: State, message: AppendRequest): void {
  const { log, commitIndex } = state;
  const agrees = (index: LogIndex, term: Term): boolean =>
    index < log.baseIndex || index > commitIndex || log.termAt(index) === term;
  assert(agrees(message.prevLogIndex, message.prevLogTerm), `I11: committed entry ${message.prevLogIndex} differs`);
  for (const entry of message.entries) {
    if (entry.index > commitIndex) break;
    assert(agrees(entry.index, entry.term), `I11: committed entry ${entry.index} differs`);
  }
}

/** Skips what the log holds already, cuts it where terms differ and nowhere else (known bugs R6, R11), adds the rest. */
function store(state: State, entries: readonly Entry[]): void {
  const { log } = state;
  const at = entries.findIndex((entry) => log.termAt(entry.index) !== entry.term);
  const first = entries[at];
  if (first === undefined) return;
  const { lastIndex } = log;
  if (first.index <= lastIndex) {
    assert(first.index > state.commitIndex, `I11: conflict at ${first.index}, committed up to ${state.commitIndex}`);
    state.trace?.({ kind: 'truncate', term: state.term, from: first.index, to: lastIndex });
    log.truncateFrom(first.index);
    state.membership.truncateFrom(first.index);
    state.durability.truncatedFrom(first.index);
  }
  const added = at === 0 ? entries : entries.slice(at);
  log.append(added);
  state.membership.append(added);
  state.output.appended(added);
  state.trace?.({
    kind: 'append',
    term: state.term,
    from: first.index,
    to: log.lastIndex,
    prevTerm: log.termAt(logIndex(first.index - 1)) as Term,
    spans: spansOf(added),
  });
}

/** Names the last place at which the logs may still agree; whole terms are skipped (section 5.3). */
function reject(state: State, message: AppendRequest): void {
  const hintIndex = state.log.lastIndexOfTermAtMost(message.prevLogIndex, message.prevLogTerm);
  const hintTerm = state.log.termAt(hintIndex) as Term;
  state.output.send({
    kind: 'appendResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    outcome: { kind: 'rejected', prevLogIndex: message.prevLogIndex, hintIndex, hintTerm },
  });
}
