/**
 * Issues and alerts: what people are told of (V8, L3, L4, A3). Called while a command or a timer is carried out.
 *
 * Bounds: the newest `issuesMax` and `alertsMax` rows are kept, and of an issue the newest ISSUE_LINES_MAX lines under each head.
 * An issue that has made way for newer ones takes no more notes: nothing depends on it.
 */
import { assert, must } from '../../types/assert.ts';
import { ISSUE_LINE_LENGTH_MAX, ISSUE_LINES_MAX } from '../../types/limits.ts';
import type { ApplyContext, EventBody } from '../context.ts';
import { padded } from '../keys.ts';
import type { Table } from '../table.ts';
import type { AlertName, IssueKind, IssueRow } from './types.ts';

export interface NewIssue {
  readonly kind: IssueKind;
  /** '' and 0 where it is not about a loop. */
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly traceId: string;
  readonly seen: readonly string[];
}

/** A line to add under one of the heads; `close`: nothing is left to do. */
export interface IssueNote {
  readonly seen?: string;
  readonly isolated?: string;
  readonly remediated?: string;
  readonly close?: boolean;
}

/** Opens an issue and says so. Returns its number. */
export function openIssue(context: ApplyContext, issue: NewIssue): number {
  const { state, timeMs, revision } = context;
  const { tables, limits } = state;
  const number = freeNumber(tables.domain.issue, revision);
  const { kind, loop, g, phase, traceId } = issue;
  tables.domain.issue.put(padded(number), {
    issue: number,
    kind,
    state: 'OPEN',
    loop,
    g,
    phase,
    traceId,
    seen: issue.seen.slice(-ISSUE_LINES_MAX).map(cutLine),
    isolated: [],
    remediated: [],
    note: '',
    openedAtMs: timeMs,
    changedAtMs: timeMs,
    changedRevision: revision,
  });
  dropOldest(tables.domain.issue, limits.issuesMax);
  context.emit({ ...aboutIssue(issue), kind: 'issue.opened', outcome: `${kind} ${number}` });
  return number;
}

/** Adds to an issue. Nothing happens when it is not kept any more, or when `issue` is 0. */
export function noteIssue(context: ApplyContext, issue: number, note: IssueNote): void {
  const table = context.state.tables.domain.issue;
  const row = table.get(padded(issue));
  if (row === null) return;
  table.put(padded(issue), {
    ...row,
    seen: withLine(row.seen, note.seen),
    isolated: withLine(row.isolated, note.isolated),
    remediated: withLine(row.remediated, note.remediated),
    state: note.close === true ? 'CLOSED' : row.state,
    changedAtMs: context.timeMs,
    changedRevision: context.revision,
  });
}

/** Puts an alert on the way to the webhook. `issue`: that it belongs to, or 0. */
export function raiseAlert(context: ApplyContext, name: AlertName, issue: number, text: string): void {
  const { tables, limits } = context.state;
  const { alert, alertPending } = tables.domain;
  const number = freeNumber(alert, context.revision);
  alert.put(padded(number), {
    alert: number,
    name,
    issue,
    text: cutLine(text),
    raisedAtMs: context.timeMs,
    state: 'PENDING',
    lastError: '',
  });
  alertPending.put(padded(number), { alert: number });
  for (const dropped of dropOldest(alert, limits.alertsMax)) alertPending.delete(dropped);
  const about: IssueRow | null = tables.domain.issue.get(padded(issue));
  context.emit({ ...aboutIssue(about), kind: 'alert.raised', outcome: `${name} ${number}` });
}

/** The revision, or the next number above it: numbers rise, and those of one entry lie side by side. */
function freeNumber(table: Table<unknown>, revision: number): number {
  let number = revision;
  while (table.has(padded(number))) number++;
  return number;
}

/** Returns the keys of the rows that had to go. */
function dropOldest<Row>(table: Table<Row>, rowsMax: number): readonly string[] {
  assert(rowsMax >= 1, 'something is kept');
  const dropped: string[] = [];
  while (table.size > rowsMax) {
    const oldest = must(table.firstKey(), 'a table over its bound has rows');
    table.delete(oldest);
    dropped.push(oldest);
  }
  return dropped;
}

function withLine(lines: readonly string[], line: string | undefined): readonly string[] {
  return line === undefined ? lines : [...lines.slice(1 - ISSUE_LINES_MAX), cutLine(line)];
}

/** At most ISSUE_LINE_LENGTH_MAX code units, and never half a character at the end. */
export function cutLine(line: string): string {
  if (line.length <= ISSUE_LINE_LENGTH_MAX) return line;
  const last = line.charCodeAt(ISSUE_LINE_LENGTH_MAX - 1);
  const isHigh = last >= 0xd800 && last <= 0xdbff;
  return line.slice(0, ISSUE_LINE_LENGTH_MAX - (isHigh ? 1 : 0));
}

function aboutIssue(issue: Pick<IssueRow, 'loop' | 'g' | 'phase'> | null): Omit<EventBody, 'kind' | 'outcome'> {
  const { loop, g, phase } = issue ?? { loop: '', g: 0, phase: '' };
  return { loop, g, phase, attempt: 0, token: 0, vectorClock: [] };
}
