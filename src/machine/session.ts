/**
 * Client sessions: a retried request is carried out once and gets the first answer (R6; Raft thesis, section 6.3).
 *
 * S1. Every request of a session renews it, a repeated or refused one too: whoever retries is alive.
 * S2. The answer to (session, sequence) is remembered until the client says that it has it (`ackedThrough`), rejections
 *     included. A sequence at or below `ackedThrough` without an answer is never carried out.
 * S3. A request more than `sessionAnswersMax` ahead of its own `ackedThrough` is refused. This depends on the request
 *     alone, so another copy of it in the log is refused as well: the answer is definite although it is not
 *     remembered. It also bounds the answers: they lie in (ackedThrough, ackedThrough + sessionAnswersMax].
 * S4. A session ends `ttlMs` after its last request or after the first command of the current term, whichever is later:
 *     a new leader gives everybody the full time again (architecture, decision 4).
 * S5. The timer of a session is not moved by a renewal; when it is due, it is set again to the deadline of that moment.
 *     So a request costs no timer rows, and `nextTimerMs` may be early, never late.
 * S6. Closing or expiry removes every row of the session. Its id is the index of the entry that opened it: never used again.
 */
import { assert, must } from '../types/assert.ts';
import { type ClusterTimeMs, clusterTimeMs, type SessionId, sessionId } from '../types/ids.ts';
import { SESSION_TTL_DEFAULT_MS, SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../types/limits.ts';
import { err, ok } from '../types/result.ts';
import { type ApplyContext, type Outcome, reject, rejection } from './context.ts';
import { after, answerKey, padded, under } from './keys.ts';
import type { MachineState } from './state.ts';
import type { StoredSessionRow } from './tables.ts';
import type { CommandKind, CommandResult, Rejection, SessionRef } from './types.ts';
import { checkInteger } from './validate.ts';

/** What the session says to a request before it is carried out. */
export type Entrance =
  | { readonly kind: 'replay'; readonly result: CommandResult }
  | { readonly kind: 'refuse'; readonly rejection: Rejection }
  /** `remember`: the answer is to be kept. */
  | { readonly kind: 'enter'; readonly remember: boolean };

export function enterSession(state: MachineState, ref: SessionRef, kind: CommandKind): Entrance {
  const { session, answer } = state.tables;
  const row = session.get(padded(ref.id));
  if (row === null) return { kind: 'refuse', rejection: expired(ref.id) };
  const known = ref.sequence === 0 ? null : answer.get(answerKey(ref.id, ref.sequence));
  const renewed = renew(state, row, ref.ackedThrough);
  if (known !== null) return { kind: 'replay', result: known.result };
  // Keeping and closing do no harm when done twice, so they may go without a sequence.
  if (ref.sequence === 0) return { kind: 'enter', remember: false };
  if (ref.sequence <= renewed.ackedThrough) return { kind: 'refuse', rejection: forgotten(ref, renewed.ackedThrough) };
  if (ref.sequence - ref.ackedThrough > state.limits.sessionAnswersMax) {
    return { kind: 'refuse', rejection: tooFarAhead(ref, state.limits.sessionAnswersMax) };
  }
  return { kind: 'enter', remember: kind !== 'closeSession' };
}

/** S1 and the forgetting of S2. */
function renew(state: MachineState, row: StoredSessionRow, ackedThrough: number): StoredSessionRow {
  const { session, answer } = state.tables;
  let { answers } = row;
  if (ackedThrough > row.ackedThrough && answers > 0) {
    const from = answerKey(row.id, row.ackedThrough);
    const to = ackedThrough === Number.MAX_SAFE_INTEGER ? after(padded(row.id)) : answerKey(row.id, ackedThrough + 1);
    answers -= answer.deleteRange(from, to, answers);
  }
  const renewed: StoredSessionRow = {
    ...row,
    lastSeenMs: state.timeMs,
    ackedThrough: Math.max(row.ackedThrough, ackedThrough),
    answers,
  };
  session.put(padded(row.id), renewed);
  return renewed;
}

/** Keeps the answer for retries. The command was let in with `remember`. */
export function rememberAnswer(state: MachineState, ref: SessionRef, result: CommandResult): void {
  const { session, answer } = state.tables;
  const row = must(session.get(padded(ref.id)), 'the session that asked');
  const key = answerKey(ref.id, ref.sequence);
  assert(!answer.has(key), 'a request is carried out once');
  assert(row.answers < state.limits.sessionAnswersMax, 'answers of a session are bounded (S3)');
  answer.put(key, { session: ref.id, sequence: ref.sequence, result });
  session.put(padded(ref.id), { ...row, answers: row.answers + 1 });
}

export function openSession(context: ApplyContext, body: { readonly ttlMs: number }): Outcome {
  const { state, timeMs } = context;
  const ttlMs = body.ttlMs === 0 ? SESSION_TTL_DEFAULT_MS : body.ttlMs;
  const bad = checkInteger('ttlMs', ttlMs, SESSION_TTL_MIN_MS, SESSION_TTL_MAX_MS);
  if (bad !== null) return err(bad);
  const { session } = state.tables;
  if (session.size >= state.limits.sessionsMax) {
    return reject('LIMIT_EXCEEDED', 'Close sessions that are no longer used, or try again when some have expired.', {
      limit: state.limits.sessionsMax,
    });
  }
  const id = sessionId(context.revision);
  const timerAtMs = clusterTimeMs(timeMs + ttlMs);
  session.put(padded(id), { id, ttlMs, lastSeenMs: timeMs, ackedThrough: 0, answers: 0, timerAtMs });
  setTimer(state, id, timerAtMs);
  return ok({ kind: 'sessionOpened', sessionId: id, ttlMs });
}

/** The renewal itself was done on the way in (S1). */
export function keepAliveSession(): Outcome {
  return ok({ kind: 'sessionKept' });
}

export function closeSession(context: ApplyContext): Outcome {
  const ref = must(context.session, 'closeSession names a session (checkEnvelope)');
  const row = must(context.state.tables.session.get(padded(ref.id)), 'the session let the command in');
  removeSession(context.state, row);
  return ok({ kind: 'sessionClosed' });
}

/** The timer of a session is due: sets it again (S5) or ends the session. Returns how many rows it changed. */
export function sessionDue(state: MachineState, timerKey: string, id: SessionId): number {
  const row = must(state.tables.session.get(padded(id)), 'a session timer without a session');
  assert(timerKey === keyOfTimer(id, row.timerAtMs), 'a session knows its timer');
  const deadlineMs = Math.max(row.lastSeenMs, state.meta.termStartMs) + row.ttlMs;
  if (deadlineMs <= state.timeMs) return removeSession(state, row);
  const timerAtMs = clusterTimeMs(deadlineMs);
  state.tables.timer.delete(timerKey);
  setTimer(state, id, timerAtMs);
  state.tables.session.put(padded(id), { ...row, timerAtMs });
  return 1;
}

function removeSession(state: MachineState, row: StoredSessionRow): number {
  const { session, answer, timer } = state.tables;
  const id = padded(row.id);
  const answers = answer.deleteRange(under(id), after(id), state.limits.sessionAnswersMax);
  assert(answers === row.answers, 'a session counts its answers');
  timer.delete(keyOfTimer(row.id, row.timerAtMs));
  session.delete(id);
  return answers + 1;
}

function keyOfTimer(id: SessionId, atMs: ClusterTimeMs): string {
  return `${padded(atMs)} session ${padded(id)}`;
}

function setTimer(state: MachineState, id: SessionId, dueMs: ClusterTimeMs): void {
  state.tables.timer.put(keyOfTimer(id, dueMs), { kind: 'session', dueMs, session: id });
}

function expired(id: SessionId): Rejection {
  return rejection('SESSION_EXPIRED', 'Open a new session: this one has expired, was closed, or never was.', {
    session: id,
  });
}

function forgotten(ref: SessionRef, ackedThrough: number): Rejection {
  return rejection(
    'SESSION_SEQUENCE_FORGOTTEN',
    `Use a new sequence: the session has acknowledged all up to ${ackedThrough}, and their answers are gone.`,
    { ackedThrough, sequence: ref.sequence, session: ref.id },
  );
}

function tooFarAhead(ref: SessionRef, limit: number): Rejection {
  return rejection(
    'LIMIT_EXCEEDED',
    `Wait for answers and acknowledge them: a sequence may be at most ${limit} past ackedThrough.`,
    { ackedThrough: ref.ackedThrough, limit, sequence: ref.sequence, session: ref.id },
  );
}
