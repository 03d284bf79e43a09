/** Issues and alerts: what went wrong and what was done about it, for people. */
import {
  type Alert as AlertMessage,
  AlertState,
  IssueKind,
  type Issue as IssueMessage,
  IssueService,
  IssueState,
} from '../gen/quorate/v1/issue_pb.ts';
import { must } from '../types/assert.ts';
import { fromConsistency, toName, toNumber, toRef } from './convert.ts';
import type { Reader } from './reader.ts';
import type { PhaseRef, ReadOptions } from './types.ts';

/** UNKNOWN, here and below: of a newer cluster. */
export type IssueKindName = Exclude<keyof typeof IssueKind, 'UNSPECIFIED'> | 'UNKNOWN';
export type IssueStateName = Exclude<keyof typeof IssueState, 'UNSPECIFIED'> | 'UNKNOWN';
export type AlertStateName = Exclude<keyof typeof AlertState, 'UNSPECIFIED'> | 'UNKNOWN';

export interface Issue {
  readonly issue: number;
  readonly kind: IssueKindName;
  readonly state: IssueStateName;
  /** null: it is about no run. */
  readonly ref: PhaseRef | null;
  readonly traceId: string;
  /** What was seen, isolated and remediated; a line each. */
  readonly seen: readonly string[];
  readonly isolated: readonly string[];
  readonly remediated: readonly string[];
  readonly note: string;
  readonly openedAtMs: number;
  readonly changedAtMs: number;
  readonly changedRevision: number;
}

export interface Alert {
  readonly alert: number;
  readonly name: string;
  /** null: it belongs to no issue. */
  readonly issue: number | null;
  readonly text: string;
  readonly raisedAtMs: number;
  readonly state: AlertStateName;
  readonly lastError: string;
}

export interface ListIssuesOptions extends ReadOptions {
  /** Leaves out those that are closed. */
  readonly openOnly?: boolean;
}

const { method } = IssueService;

export class Issues {
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** Oldest first; the newest 10,000 are kept. */
  list(options?: ListIssuesOptions): AsyncGenerator<Issue, void, undefined> {
    return this.#reader.pages(async (page) => {
      const request = { ...page, openOnly: options?.openOnly ?? false, ...fromConsistency(options) };
      const response = await this.#reader.read(method.listIssues, request, options);
      return { rows: response.issues.map(toIssue), next: response.nextPageToken };
    });
  }

  async get(issue: number, options?: ReadOptions): Promise<Issue> {
    const request = { issue: BigInt(issue), ...fromConsistency(options) };
    const response = await this.#reader.read(method.getIssue, request, options);
    return toIssue(must(response.issue, 'GetIssue answered without an issue'));
  }

  /** Oldest first; the newest 10,000 are kept. */
  alerts(options?: ReadOptions): AsyncGenerator<Alert, void, undefined> {
    return this.#reader.pages(async (page) => {
      const response = await this.#reader.read(method.listAlerts, { ...page, ...fromConsistency(options) }, options);
      return { rows: response.alerts.map(toAlert), next: response.nextPageToken };
    });
  }
}

function toIssue(message: IssueMessage): Issue {
  const { traceId, seen, isolated, remediated, note } = message;
  return {
    issue: toNumber(message.issue),
    kind: toName(IssueKind, message.kind) ?? 'UNKNOWN',
    state: toName(IssueState, message.state) ?? 'UNKNOWN',
    ref: message.ref === undefined ? null : toRef(message.ref),
    traceId,
    seen,
    isolated,
    remediated,
    note,
    openedAtMs: toNumber(message.openedAtMs),
    changedAtMs: toNumber(message.changedAtMs),
    changedRevision: toNumber(message.changedRevision),
  };
}

function toAlert(message: AlertMessage): Alert {
  const { name, text, lastError } = message;
  return {
    alert: toNumber(message.alert),
    name,
    issue: message.issue === 0n ? null : toNumber(message.issue),
    text,
    raisedAtMs: toNumber(message.raisedAtMs),
    state: toName(AlertState, message.state) ?? 'UNKNOWN',
    lastError,
  };
}
