import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AlertState, IssueKind, IssueService, IssueState } from '../../src/gen/quorate/v1/issue_pb.ts';
import { PolicyService } from '../../src/gen/quorate/v1/policy_pb.ts';
import { POLICY_NAMES } from '../../src/machine/detection/policy.ts';
import { POLICY } from '../../src/machine/detection/types.ts';
import type { AlertRow, IssueRow } from '../../src/machine/issue/types.ts';
import { padded } from '../../src/machine/keys.ts';
import { clusterTimeMs, revision } from '../../src/types/ids.ts';
import { NOTE_LENGTH_MAX } from '../../src/types/limits.ts';
import { TestApi } from './support.ts';

const issues = IssueService.method;
const policy = PolicyService.method;
const time = clusterTimeMs(1_000);
let api: TestApi;

beforeEach(async () => {
  api = await new TestApi().start();
});

afterEach(() => api.stop());

const tables = () => api.member.view.state.tables.domain;

function putIssue(issue: number, fields: Partial<IssueRow> = {}): void {
  tables().issue.put(padded(issue), {
    issue,
    kind: 'RECOVERY',
    state: 'OPEN',
    loop: 'l',
    g: 3,
    phase: 'p',
    traceId: 'trace',
    seen: ['no commit within 1 s'],
    isolated: ['attempt 2 lost its token'],
    remediated: [],
    note: '',
    openedAtMs: time,
    changedAtMs: time,
    changedRevision: revision(30),
    ...fields,
  });
}

function putAlert(alert: number, fields: Partial<AlertRow> = {}): void {
  const row = { name: 'recovery_waits', issue: 30, text: 'p waits', state: 'PENDING', lastError: '' } as const;
  tables().alert.put(padded(alert), { alert, raisedAtMs: time, ...row, ...fields });
}

describe('V8: issues', () => {
  it('are listed oldest first, page by page, the closed ones left out on request', async () => {
    putIssue(30);
    putIssue(31, { state: 'CLOSED', kind: 'AGENT_DOWN', loop: '', g: 0, phase: '' });
    putIssue(200, { state: 'ACKNOWLEDGED' });
    const all = await api.call(issues.listIssues, { pageSize: 2 });
    if (!all.ok) throw new Error(all.error.message);
    expect(all.value.issues).toMatchObject([
      {
        issue: 30n,
        kind: IssueKind.RECOVERY,
        state: IssueState.OPEN,
        ref: { loop: 'l', g: 3n, phase: 'p' },
        seen: ['no commit within 1 s'],
        isolated: ['attempt 2 lost its token'],
      },
      { issue: 31n, kind: IssueKind.AGENT_DOWN, state: IssueState.CLOSED },
    ]);
    expect(all.value.issues[1]?.ref).toBeUndefined();
    const rest = await api.call(issues.listIssues, { pageSize: 2, pageToken: all.value.nextPageToken });
    expect(rest.ok && rest.value.issues.map(({ issue }) => issue)).toEqual([200n]);
    const open = await api.call(issues.listIssues, { openOnly: true });
    expect(open.ok && open.value.issues.map(({ issue }) => issue)).toEqual([30n, 200n]);
  });

  it('a page of long ones ends early and goes on', async () => {
    const seen = Array.from({ length: 100 }, () => 'x'.repeat(1_000));
    for (let issue = 1; issue <= 30; issue++) putIssue(issue, { seen });
    const found: bigint[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const answer = await api.call(issues.listIssues, { pageToken });
      if (!answer.ok) throw new Error(answer.error.message);
      found.push(...answer.value.issues.map(({ issue }) => issue));
      pageToken = answer.value.nextPageToken;
      pages += 1;
    } while (pageToken !== '');
    expect(found).toEqual(Array.from({ length: 30 }, (_, i) => BigInt(i + 1)));
    expect(pages).toBeGreaterThan(1);
  });

  it('one is found by its number', async () => {
    putIssue(30);
    expect(await api.call(issues.getIssue, { issue: 30n })).toMatchObject({
      ok: true,
      value: { issue: { issue: 30n } },
    });
    expect(await api.call(issues.getIssue, { issue: 29n })).toMatchObject({
      error: { reason: 'ISSUE_NOT_FOUND', code: Code.NOT_FOUND, metadata: { issue: '29' } },
    });
    expect(await api.call(issues.getIssue, {})).toMatchObject({ error: { reason: 'INVALID_ARGUMENT' } });
  });

  it('are acknowledged with a note', async () => {
    api.member.applies({ kind: 'issueAcknowledged' });
    expect(await api.call(issues.acknowledgeIssue, { issue: 30n, note: 'seen' })).toMatchObject({ ok: true });
    expect(api.member.mutations[0]?.request.body).toEqual({ kind: 'acknowledgeIssue', issue: 30, note: 'seen' });
    const long = await api.call(issues.acknowledgeIssue, { issue: 30n, note: 'x'.repeat(NOTE_LENGTH_MAX + 1) });
    expect(long.ok ? '' : long.error.message).toMatch(/note: has 1025 characters/);
  });

  it('alerts say whether anybody was told', async () => {
    putAlert(31);
    putAlert(32, { state: 'GIVEN_UP', lastError: 'no answer', issue: 0 });
    expect(await api.call(issues.listAlerts, {})).toMatchObject({
      ok: true,
      value: {
        alerts: [
          { alert: 31n, name: 'recovery_waits', issue: 30n, state: AlertState.PENDING },
          { alert: 32n, issue: 0n, state: AlertState.GIVEN_UP, lastError: 'no answer' },
        ],
      },
    });
  });
});

describe('policy', () => {
  it('shows every number with its default, its range, and what holds', async () => {
    tables().policy.put('kMilli', { name: 'kMilli', value: 1_200, changedRevision: revision(9) });
    const answer = await api.call(policy.getPolicy, {});
    if (!answer.ok) throw new Error(answer.error.message);
    expect(answer.value.settings.map(({ name }) => name)).toEqual(POLICY_NAMES);
    const byName = new Map(answer.value.settings.map((one) => [one.name, one]));
    expect(byName.get('kMilli')).toMatchObject({ value: 1_200n, defaultValue: 1_600n, changedRevision: 9n });
    expect(byName.get('heartbeatMs')).toMatchObject({ value: 15_000n, min: 10n, changedRevision: 0n });
  });

  it('sets several at once', async () => {
    api.member.applies({ kind: 'policySet' });
    const values = [
      { name: 'kMilli', value: 1_200n },
      { name: 'heartbeatMs', value: 5_000n },
    ];
    expect(await api.call(policy.setPolicy, { values })).toMatchObject({ ok: true });
    expect(api.member.mutations[0]?.request.body).toEqual({
      kind: 'setPolicy',
      values: [
        { name: 'kMilli', value: 1_200 },
        { name: 'heartbeatMs', value: 5_000 },
      ],
    });
  });

  it.each<[string, { name: string; value: bigint }[], RegExp]>([
    ['none', [], /values: has 0 elements; send 1 to/],
    [
      'one that there is not',
      [{ name: 'toString', value: 1n }],
      /values\[0\]\.name: is no name.*send one of autoAttemptsMax, /,
    ],
    [
      'below its range',
      [{ name: 'kMilli', value: 99n }],
      /values\[0\]\.value: is 99; send a whole number from 100 to 100000/,
    ],
    ['above its range', [{ name: 'heartbeatMs', value: 86_400_001n }], /send a whole number from 10 to 86400000/],
    ['one twice', Array(2).fill({ name: 'kMilli', value: 1_600n }), /set one name twice/],
  ])('refuses %s', async (_, values, says) => {
    const answer = await api.call(policy.setPolicy, { values });
    expect(answer.ok ? '' : answer.error.message).toMatch(says);
    expect(api.member.mutations).toEqual([]);
  });

  it('every default lies in its range', () => {
    for (const { normal, min, max } of Object.values(POLICY)) expect(normal >= min && normal <= max).toBe(true);
  });
});
