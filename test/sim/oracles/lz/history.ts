/** Reads recorded histories: one event to a line, `{"p": process, "t": "invoke|ok|fail|info", "f": operation, "k": key, "v": value}`. */
import type { Call } from './checker.ts';
import type { RegisterOp, TextOp } from './models.ts';

interface RecordedEvent {
  readonly p: number | string;
  readonly t: 'invoke' | 'ok' | 'fail' | 'info';
  readonly f: string;
  readonly k?: string;
  readonly v: unknown;
}

/** How to read what the recorder left open. */
export interface Reading {
  /** A `cas` that failed saw another value; false: it was never carried out. */
  readonly failedCasIsRead: boolean;
  /** A read that says null does not know. */
  readonly nullReadIsUnknown: boolean;
}

interface Span {
  readonly invoked: RecordedEvent;
  readonly calledAt: number;
  /** null: the process never said. */
  readonly ended: RecordedEvent | null;
  readonly endedAt: number;
}

export function readRegisterHistory(text: string, reading: Reading): Call<RegisterOp>[] {
  const calls: Call<RegisterOp>[] = [];
  for (const span of spansOf(text)) {
    const { calledAt } = span;
    const returnedAt = span.ended?.t === 'ok' || span.ended?.t === 'fail' ? span.endedAt : null;
    const ok = span.ended?.t === 'ok' ? true : span.ended?.t === 'fail' ? false : null;
    const op = registerOpOf(span, ok, reading);
    if (op !== null) calls.push({ op, calledAt, returnedAt });
  }
  return calls;
}

function registerOpOf({ invoked, ended }: Span, ok: boolean | null, reading: Reading): RegisterOp | null {
  switch (invoked.f) {
    case 'read': {
      if (ok !== true) return null;
      const value = textOf(ended?.v);
      return { kind: 'read', value: value === null && reading.nullReadIsUnknown ? undefined : value };
    }
    case 'write':
      return ok === false ? null : { kind: 'write', value: textOf(invoked.v) };
    case 'cas': {
      if (ok === false && !reading.failedCasIsRead) return null;
      const [from, to] = invoked.v as readonly [unknown, unknown];
      return { kind: 'cas', from: textOf(from), to: textOf(to), ok };
    }
    default:
      throw new Error(`operation ${invoked.f}`);
  }
}

export function readTextHistory(text: string): Call<TextOp>[] {
  const calls: Call<TextOp>[] = [];
  for (const { invoked, ended, calledAt, endedAt } of spansOf(text)) {
    const done = ended?.t === 'ok';
    const kind = invoked.f as TextOp['kind'];
    if (ended?.t === 'fail' || (kind === 'get' && !done)) continue;
    const value = String((kind === 'get' ? ended?.v : invoked.v) ?? '');
    calls.push({ op: { kind, key: invoked.k ?? '', value }, calledAt, returnedAt: done ? endedAt : null });
  }
  return calls;
}

function* spansOf(text: string): Generator<Span> {
  const events = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RecordedEvent);
  const open = new Map<number | string, { readonly event: RecordedEvent; readonly at: number }>();
  for (const [at, event] of events.entries()) {
    if (event.t === 'invoke') {
      open.set(event.p, { event, at });
      continue;
    }
    const begun = open.get(event.p);
    if (begun === undefined) throw new Error(`line ${at + 1}: process ${event.p} ends what it did not begin`);
    open.delete(event.p);
    yield { invoked: begun.event, calledAt: begun.at, ended: event, endedAt: at };
  }
  for (const { event, at } of open.values()) yield { invoked: event, calledAt: at, ended: null, endedAt: at };
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}
