/** IssueService: what went wrong and what was done about it, for people (V8). */
import { type Alert, AlertState, type Issue, IssueKind, IssueService, IssueState } from '../gen/quorate/v1/issue_pb.ts';
import type { AlertRow, IssueRow } from '../machine/issue/types.ts';
import { issueOf } from '../machine/issue/view.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import { NOTE_LENGTH_MAX } from '../types/limits.ts';
import { err, ok } from '../types/result.ts';
import type { ApiContext } from './context.ts';
import { refMessage } from './convert.ts';
import { failure } from './errors.ts';
import { mutation } from './mutation.ts';
import { boundedPage, read } from './read.ts';
import { tablePage } from './table-page.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = IssueService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof IssueService>>]: RawUnaryHandler };

export function issueHandlers(context: ApiContext): Handlers {
  return {
    listIssues: read(context, method.listIssues, {
      params: (request, check) => ({ page: check.page(request), openOnly: request.openOnly }),
      answer: (view, { page, openOnly }) => {
        const scan = openOnly ? { wanted: (row: IssueRow) => row.state !== 'CLOSED' } : {};
        const fetch = (rows: number) => tablePage(view.rows.issue, scan, page.after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, issueMessage, issueBytes);
        return ok({ $typeName: 'quorate.v1.ListIssuesResponse', issues: messages, nextPageToken });
      },
    }),
    getIssue: read(context, method.getIssue, {
      params: ({ issue }, check): number => check.number('issue', issue, 1),
      answer: (view, issue) => {
        const row = issueOf(view, issue);
        if (row !== null) return ok({ $typeName: 'quorate.v1.GetIssueResponse', issue: issueMessage(row) });
        const message = `there is no issue ${issue}, or it is so old that it is not kept; ListIssues shows those there are`;
        return err(failure('ISSUE_NOT_FOUND', message, { metadata: { issue: String(issue) } }));
      },
    }),
    acknowledgeIssue: mutation(context, method.acknowledgeIssue, {
      session: 'optional',
      body: ({ issue, note }, check) => ({
        kind: 'acknowledgeIssue',
        issue: check.number('issue', issue, 1),
        note: check.text('note', note, NOTE_LENGTH_MAX),
      }),
      kind: 'issueAcknowledged',
      answer: (header) => ({ $typeName: 'quorate.v1.AcknowledgeIssueResponse' as const, header }),
    }),
    listAlerts: read(context, method.listAlerts, {
      params: (request, check) => check.page(request),
      answer: (view, { after, limit }) => {
        const fetch = (rows: number) => tablePage(view.rows.alert, {}, after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, limit, alertMessage, alertBytes);
        return ok({ $typeName: 'quorate.v1.ListAlertsResponse', alerts: messages, nextPageToken });
      },
    }),
  };
}

function issueMessage(row: IssueRow): Issue {
  return {
    $typeName: 'quorate.v1.Issue',
    issue: BigInt(row.issue),
    kind: IssueKind[row.kind],
    state: IssueState[row.state],
    // About no run: an agent that fell silent, for instance.
    ...(row.phase === '' ? {} : { ref: refMessage(row) }),
    traceId: row.traceId,
    seen: [...row.seen],
    isolated: [...row.isolated],
    remediated: [...row.remediated],
    note: row.note,
    openedAtMs: BigInt(row.openedAtMs),
    changedAtMs: BigInt(row.changedAtMs),
    changedRevision: BigInt(row.changedRevision),
  };
}

function alertMessage(row: AlertRow): Alert {
  return {
    $typeName: 'quorate.v1.Alert',
    alert: BigInt(row.alert),
    name: row.name,
    issue: BigInt(row.issue),
    text: row.text,
    raisedAtMs: BigInt(row.raisedAtMs),
    state: AlertState[row.state],
    lastError: row.lastError,
  };
}

/** Estimated size of a message besides its long texts. */
const MESSAGE_BYTES = 128;

function issueBytes({ ref, traceId, seen, isolated, remediated, note }: Issue): number {
  let bytes = MESSAGE_BYTES + (ref?.loop.length ?? 0) + (ref?.phase.length ?? 0) + traceId.length + note.length;
  for (const line of [...seen, ...isolated, ...remediated]) bytes += line.length + 2;
  return bytes;
}

function alertBytes({ name, text, lastError }: Alert): number {
  return MESSAGE_BYTES + name.length + text.length + lastError.length;
}
