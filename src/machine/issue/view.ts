/** Reads of issues and alerts. */
import { must } from '../../types/assert.ts';
import type { MachineView, Page } from '../api.ts';
import { KEY_END, next, padded } from '../keys.ts';
import type { AlertRow, IssueRow } from './types.ts';

/** null: there is none, or it is not kept any more. */
export function issueOf(view: MachineView, issue: number): IssueRow | null {
  return isNumber(issue) ? view.rows.issue.get(padded(issue)) : null;
}

/** Issues after number `after` (0: from the first), oldest first; `next` is the number to go on from, as text. */
export function issuesPage(view: MachineView, after: number, limit: number): Page<IssueRow> {
  const found = view.rows.issue.range(next(padded(after)), KEY_END, limit + 1).map(([, row]) => row);
  const rows = found.slice(0, limit);
  return { rows, next: found.length > limit ? String(must(rows.at(-1), 'a page has rows').issue) : null };
}

export function alertOf(view: MachineView, alert: number): AlertRow | null {
  return isNumber(alert) ? view.rows.alert.get(padded(alert)) : null;
}

/** Alerts that nobody has taken yet, oldest first, after number `after` (0: from the first). */
export function pendingAlerts(view: MachineView, after: number, limit: number): readonly AlertRow[] {
  const { alert, alertPending } = view.rows;
  return alertPending
    .range(next(padded(after)), KEY_END, limit)
    .map(([key]) => must(alert.get(key), 'a pending alert is kept'));
}

function isNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
