/** What a command handler gets, and how it answers. */
import type { ClusterTimeMs, Revision } from '../types/ids.ts';
import { err, type Result } from '../types/result.ts';
import type { MachineState } from './state.ts';
import type {
  CommandBody,
  CommandKind,
  CommandValue,
  MachineEvent,
  Rejection,
  RejectReason,
  SessionRef,
} from './types.ts';

/** A rejected command has changed nothing (asserted by the dispatcher). */
export type Outcome = Result<CommandValue, Rejection>;

/** An event as a handler says it; revision, ordinal, time, caller and trace id are those of the command. */
export type EventBody = Omit<MachineEvent, 'revision' | 'ordinal' | 'timeMs' | 'caller' | 'traceId'>;

export interface ApplyContext {
  readonly state: MachineState;
  /** Index of the entry; also the token of an attempt or the id of a session that it opens (architecture, decision 6). */
  readonly revision: Revision;
  readonly timeMs: ClusterTimeMs;
  readonly caller: string;
  readonly traceId: string;
  readonly session: SessionRef | null;
  emit(event: EventBody): void;
}

export type BodyOf<K extends CommandKind> = Extract<CommandBody, { kind: K }>;
export type Handler<K extends CommandKind> = (context: ApplyContext, body: BodyOf<K>) => Outcome;

/** `message` is one sentence that says what to do. Details are sorted by key. */
export function rejection(
  reason: RejectReason,
  message: string,
  details: Readonly<Record<string, string | number>> = {},
): Rejection {
  const sorted: Record<string, string> = {};
  for (const key of Object.keys(details).sort()) sorted[key] = String(details[key]);
  return { reason, message, details: sorted };
}

export function reject(
  reason: RejectReason,
  message: string,
  details: Readonly<Record<string, string | number>> = {},
): { readonly ok: false; readonly error: Rejection } {
  return err(rejection(reason, message, details));
}
