import { describe, expect, it } from 'vitest';
import { cutLine } from '../../src/machine/issue/issue.ts';
import { alertOf, issueOf, issuesPage, pendingAlerts } from '../../src/machine/issue/view.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { ISSUE_LINES_MAX } from '../../src/types/limits.ts';
import { at, Bench } from './kit.ts';
import { Ward } from './recovery-kit.ts';

const mark = (agent: string, healthy: boolean): CommandBody => ({
  kind: 'markAgent',
  agent,
  healthy,
  left: false,
  seenAtMs: at(0),
});
const acknowledge = (issue: number, note = ''): CommandBody => ({ kind: 'acknowledgeIssue', issue, note });
const settle = (alert: number, delivered = true, error = ''): CommandBody => ({
  kind: 'settleAlert',
  alert,
  delivered,
  error,
});

/** Each agent that goes down opens an issue and raises an alert. */
function withIssues(
  count: number,
  some: ConstructorParameters<typeof Ward>[0] = {},
): { ward: Ward; numbers: number[] } {
  const ward = new Ward(some);
  const numbers = Array.from({ length: count }, (_, i) => {
    ward.done('agentMarked', mark(`a${i}`, false));
    return ward.machine.appliedIndex as number;
  });
  return { ward, numbers };
}

describe('V8: issues', () => {
  it('are opened under the number of their entry, listed oldest first, and seen by somebody', () => {
    const { ward, numbers } = withIssues(3);
    const [first = 0, second = 0, third = 0] = numbers;
    const page = issuesPage(ward.machine, 0, 2);
    expect(page.rows.map(({ issue }) => issue)).toEqual([first, second]);
    expect(issuesPage(ward.machine, Number(page.next), 2)).toMatchObject({ rows: [{ issue: third }], next: null });
    ward.done('issueAcknowledged', acknowledge(second, 'on it'));
    expect(issueOf(ward.machine, second)).toMatchObject({ state: 'ACKNOWLEDGED', note: 'on it' });
    ward.done('issueAcknowledged', acknowledge(second));
    expect(issueOf(ward.machine, second)?.note).toBe('on it');
    ward.done('agentMarked', mark('a1', true));
    ward.done('issueAcknowledged', acknowledge(second, 'fine now'));
    expect(issueOf(ward.machine, second)).toMatchObject({ state: 'CLOSED', note: 'fine now' });
  });

  it('of an agent is closed when it says farewell; then nobody knows it any more', () => {
    const { ward, numbers } = withIssues(1);
    const leave = { ...mark('a0', false), left: true } as CommandBody;
    ward.done('agentMarked', leave);
    expect(issueOf(ward.machine, numbers[0] ?? 0)).toMatchObject({ state: 'CLOSED', remediated: ['a0 said farewell'] });
    expect(ward.machine.rows.agent.size).toBe(0);
    expect(ward.events.at(-1)).toMatchObject({ kind: 'agent.left', outcome: 'a0' });
    const told = ward.events.length;
    ward.done('agentMarked', leave);
    expect(ward.events.length).toBe(told);
    expect(ward.rejected({ ...leave, healthy: true } as CommandBody).reason).toBe('INVALID_ARGUMENT');
  });

  it.each([
    [acknowledge(0), 'INVALID_ARGUMENT'],
    [acknowledge(1.5), 'INVALID_ARGUMENT'],
    [acknowledge(1, 'x'.repeat(1_025)), 'INVALID_ARGUMENT'],
    [acknowledge(999), 'ISSUE_NOT_FOUND'],
    [settle(0), 'INVALID_ARGUMENT'],
    [settle(999), 'ISSUE_NOT_FOUND'],
    [settle(1, false, 'x'.repeat(5_000)), 'INVALID_ARGUMENT'],
  ])('refuses %j with %s', (body, reason) => {
    expect(new Ward().rejected(body).reason).toBe(reason);
    expect(new Bench().rejected(body).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });

  it('are bounded: the oldest go, alerts and what is pending with them', () => {
    const { ward, numbers } = withIssues(5, { issuesMax: 3, alertsMax: 2 });
    expect(issuesPage(ward.machine, 0, 9).rows.map(({ issue }) => issue)).toEqual(numbers.slice(2));
    expect(pendingAlerts(ward.machine, 0, 9).map(({ alert }) => alert)).toEqual(numbers.slice(3));
    expect(ward.machine.rows.alertPending.size).toBe(2);
    // The issue of the first agent is gone: nothing more is written to it.
    ward.done('agentMarked', mark('a0', true));
    expect(issueOf(ward.machine, numbers[0] ?? 0)).toBeNull();
  });

  it('keep their newest lines', () => {
    const ward = new Ward();
    ward.begin('A');
    for (let i = 0; i < ISSUE_LINES_MAX + 6; i++) ward.effect(`e${i}`);
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync', false);
    for (let i = 0; i < ISSUE_LINES_MAX + 6; i++) ward.settle({ done: true });
    const lines = issueOf(ward.machine, ward.recovery().issue)?.remediated ?? [];
    expect([lines.length, lines.at(-1)]).toEqual([ISSUE_LINES_MAX, 'effect 1 is compensated']);
  });

  it('a line is cut between characters', () => {
    expect(cutLine('x'.repeat(1_024))).toHaveLength(1_024);
    expect(cutLine('x'.repeat(1_025))).toHaveLength(1_024);
    expect(cutLine(`${'x'.repeat(1_023)}😀`)).toBe('x'.repeat(1_023));
  });
});

describe('alerts', () => {
  it('are pending until they are taken or given up, once', () => {
    const { ward, numbers } = withIssues(3);
    const [first = 0, second = 0, third = 0] = numbers;
    ward.done('alertSettled', settle(first));
    ward.done('alertSettled', settle(second, false, 'no route'));
    expect(pendingAlerts(ward.machine, 0, 9).map(({ alert }) => alert)).toEqual([third]);
    expect(pendingAlerts(ward.machine, third, 9)).toEqual([]);
    expect(alertOf(ward.machine, first)).toMatchObject({ name: 'agent_down', state: 'DELIVERED', issue: first });
    expect(alertOf(ward.machine, second)).toMatchObject({ state: 'GIVEN_UP', lastError: 'no route' });
    ward.done('alertSettled', settle(first, false, 'late'));
    expect(alertOf(ward.machine, first)?.state).toBe('DELIVERED');
    expect(alertOf(ward.machine, 0)).toBeNull();
  });
});
