/**
 * Range and length checks of command fields. The API checks the same, but the log is the last gate: whatever is in it is
 * applied on every replica. Each check gives null when the value is good, and a rejection otherwise.
 */
import { CLUSTER_TIME_MAX_MS, NAME_LENGTH_MAX } from '../types/limits.ts';
import { rejection } from './context.ts';
import type { Command, PhaseRef, Rejection } from './types.ts';

const NAME = /^[A-Za-z0-9._\-/]+$/;
/** Part of the language since ES2024, and of every engine that runs this; the library types configured here are older. */
interface WellFormedText {
  isWellFormed(): boolean;
}

export function invalid(field: string, message: string): Rejection {
  return rejection('INVALID_ARGUMENT', message, { field });
}

/** First rejection of several checks. */
export function firstOf(...checks: readonly (Rejection | null)[]): Rejection | null {
  for (const check of checks) if (check !== null) return check;
  return null;
}

/** Names of loops, plans and phases. They stand in keys, which is why the alphabet is small. */
export function checkName(field: string, value: string): Rejection | null {
  if (value.length <= NAME_LENGTH_MAX && NAME.test(value)) return null;
  return invalid(field, `Give ${field} 1 to ${NAME_LENGTH_MAX} characters of letters, digits, '.', '_', '-' and '/'.`);
}

export function checkText(field: string, value: string, lengthMin: number, lengthMax: number): Rejection | null {
  if (value.length < lengthMin) return invalid(field, `Give ${field} at least ${lengthMin} character.`);
  if (value.length > lengthMax) {
    return invalid(field, `Shorten ${field} to ${lengthMax} characters; it has ${value.length}.`);
  }
  // A surrogate that stands alone has no UTF-8 form.
  if (!(value as unknown as WellFormedText).isWellFormed())
    return invalid(field, `Send ${field} as well-formed Unicode; it holds half a character.`);
  return null;
}

export function checkInteger(field: string, value: number, min: number, max: number): Rejection | null {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return null;
  return invalid(field, `Give ${field} as a whole number from ${min} to ${max}.`);
}

export function checkRef(ref: PhaseRef): Rejection | null {
  return (
    checkName('loop', ref.loop) ?? checkInteger('g', ref.g, 1, Number.MAX_SAFE_INTEGER) ?? checkName('phase', ref.phase)
  );
}

export function checkToken(token: number): Rejection | null {
  if (Number.isSafeInteger(token) && token >= 1) return null;
  return invalid('token', 'Send the fencing token that beginPhase answered with.');
}

/** What every command carries. `keepAliveSession` and `closeSession` may go without a sequence (0). */
export function checkEnvelope(command: Command): Rejection | null {
  const { session, body } = command;
  const kind = body.kind;
  const common =
    checkInteger('timeMs', command.timeMs, 0, CLUSTER_TIME_MAX_MS) ??
    checkText('caller', command.caller, 0, NAME_LENGTH_MAX) ??
    checkText('traceId', command.traceId, 0, NAME_LENGTH_MAX);
  if (common !== null) return common;
  // A session cannot be opened within one: what the command says of a session is not looked at.
  if (kind === 'openSession') return null;
  const ofSession = kind === 'keepAliveSession' || kind === 'closeSession';
  if (session === null) return ofSession ? invalid('session', `Name the session that ${kind} is about.`) : null;
  return (
    checkInteger('session', session.id, 1, Number.MAX_SAFE_INTEGER) ??
    checkInteger('sequence', session.sequence, ofSession ? 0 : 1, Number.MAX_SAFE_INTEGER) ??
    checkInteger('ackedThrough', session.ackedThrough, 0, Number.MAX_SAFE_INTEGER)
  );
}
