import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IndeterminateError, QuorateClient } from '../../src/client/client.ts';
import { AlertState, IssueKind, IssueState } from '../../src/gen/quorate/v1/issue_pb.ts';
import {
  InterruptCause,
  RecoveryEffectState,
  RecoveryResult,
  RecoveryState,
} from '../../src/gen/quorate/v1/recovery_pb.ts';
import { CUT, FakeMember, message } from './fake-member.ts';

const ref = { loop: 'nightly', g: 3, phase: 'CONSTRUCT' };
const refMessage = { loop: 'nightly', g: 3n, phase: 'CONSTRUCT' };
let member: FakeMember;
let client: QuorateClient;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
  client = await QuorateClient.connect({ endpoints: [member.address], deadlineMs: 3_000 });
});

afterEach(async () => {
  await client.close();
  member.crash();
});

async function all<Row>(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

describe('V1: recoveries', () => {
  test('a list over all pages, with what is not there as null', async () => {
    const active = {
      ref: refMessage,
      state: RecoveryState.ROLLBACK,
      cause: InterruptCause.SLA,
      step: 'sel_compensate',
    };
    const over = {
      ref: refMessage,
      state: RecoveryState.CLEAN_EXIT,
      result: RecoveryResult.ROLLED_BACK,
      finishedAtMs: 5n,
    };
    member.script(
      'listRecoveries',
      message({ recoveries: [active], nextPageToken: 'next' }),
      message({ recoveries: [], nextPageToken: 'more' }),
      message({ recoveries: [over] }),
    );
    const found = await all(client.recoveries.list({ loop: 'nightly', openOnly: true, consistency: 'stale' }));
    expect(found).toMatchObject([
      { ref, state: 'ROLLBACK', cause: 'SLA', step: 'sel_compensate', waiting: null, result: null, finishedAtMs: null },
      { state: 'CLEAN_EXIT', result: 'ROLLED_BACK', finishedAtMs: 5, step: null, cause: 'UNKNOWN' },
    ]);
    expect(
      member.requests('listRecoveries').map(({ request }) => (request as { pageToken: string }).pageToken),
    ).toEqual(['', 'next', 'more']);
    expect(member.requests('listRecoveries')[0]?.request).toMatchObject({
      loop: 'nightly',
      openOnly: true,
      consistency: 2,
    });
  });

  test('one with its effects of all pages; money stays decimal digits', async () => {
    const effect = (seq: bigint, state: RecoveryEffectState) => ({
      seq,
      key: `k-${seq}`,
      state,
      costMicros: '1500000',
    });
    const recovery = { ref: refMessage, state: RecoveryState.BLOCKED_COMPENSATOR, waiting: 'AUTO_ATTEMPTS', tries: 5 };
    const cost = { spentMicros: '123456789012345678901234567890', effects: 2n, capped: 'COST' };
    const first = { recovery, cost, autoAttempts: 2, autoAttemptsMax: 2, blockedUntilMs: 9_000n, timeMs: 1_000n };
    member.script(
      'getRecovery',
      message({ ...first, effects: [effect(1n, RecoveryEffectState.CONFIRMED)], nextPageToken: 'next' }),
      message({ ...first, effects: [effect(2n, RecoveryEffectState.COMPENSATED)] }),
    );
    expect(await client.recoveries.get(ref)).toMatchObject({
      recovery: { state: 'BLOCKED_COMPENSATOR', waiting: 'AUTO_ATTEMPTS', tries: 5 },
      effects: [
        { seq: 1, state: 'CONFIRMED', costMicros: '1500000', settledAtMs: null },
        { seq: 2, state: 'COMPENSATED' },
      ],
      cost: { spentMicros: '123456789012345678901234567890', effects: 2, capped: 'COST' },
      autoAttempts: 2,
      blockedUntilMs: 9_000,
      timeMs: 1_000,
    });
  });

  test('agents and detection', async () => {
    member.script('listAgents', message({ agents: [{ name: 'a', healthy: true, seenAtMs: 1n, changedAtMs: 2n }] }));
    expect(await all(client.recoveries.agents())).toEqual([{ name: 'a', healthy: true, seenAtMs: 1, changedAtMs: 2 }]);
    const phase = { phase: 'A', priorMs: 15_000n, samples: 3, meanMs: 1.5, p95Ms: 2.5, timeoutMs: 4n };
    const running = { ref: refMessage, attempt: 2n, phi: 1.25, participants: ['a', 'b'], finished: ['a'] };
    member.script('getDetection', message({ phases: [phase], kMilli: 1_600, running: [running], timeMs: 9n }));
    expect(await client.recoveries.detection('nightly')).toMatchObject({
      phases: [{ phase: 'A', priorMs: 15_000, samples: 3, meanMs: 1.5, timeoutMs: 4 }],
      kMilli: 1_600,
      running: [{ ref, attempt: 2, phi: 1.25, dueAtMs: null, progressAtMs: null, participants: ['a', 'b'] }],
    });
  });

  test('D6: an interrupt goes in a session, so that a cut connection is no doubt; without one it is', async () => {
    member.script('interruptPhase', CUT, message({ header: { revision: 9n }, waiting: true }));
    const session = await client.openSession();
    expect(await session.interruptPhase(ref, 2, { detail: 'hangs' })).toMatchObject({ revision: 9, waiting: true });
    expect(member.requests('interruptPhase').map(({ header }) => header?.sequence)).toEqual([1n, 1n]);
    expect(member.requests('interruptPhase')[1]?.request).toMatchObject({
      ref: refMessage,
      attempt: 2n,
      detail: 'hangs',
    });
    member.script('interruptPhase', CUT, message({}));
    await expect(client.withoutSession.interruptPhase(ref, 2)).rejects.toBeInstanceOf(IndeterminateError);
  });
});

describe('V8: issues and policy', () => {
  test('issues, by page and by number, and alerts', async () => {
    const issue = { issue: 30n, kind: IssueKind.AGENT_DOWN, state: IssueState.OPEN, seen: ['silent'], openedAtMs: 1n };
    member.script('listIssues', message({ issues: [issue] }));
    member.script('getIssue', message({ issue: { ...issue, ref: refMessage } }));
    expect(await all(client.issues.list({ openOnly: true }))).toMatchObject([
      { issue: 30, kind: 'AGENT_DOWN', state: 'OPEN', ref: null, seen: ['silent'] },
    ]);
    expect(member.requests('listIssues')[0]?.request).toMatchObject({ openOnly: true });
    expect(await client.issues.get(30)).toMatchObject({ ref });
    const alert = { alert: 31n, name: 'agent_down', issue: 30n, state: AlertState.PENDING, text: 'a is silent' };
    member.script('listAlerts', message({ alerts: [alert, { ...alert, issue: 0n, state: 99 }] }));
    expect(await all(client.issues.alerts())).toMatchObject([
      { alert: 31, issue: 30, state: 'PENDING' },
      { issue: null, state: 'UNKNOWN' },
    ]);
  });

  test('acknowledging, and setting the policy', async () => {
    const session = await client.openSession();
    await session.acknowledgeIssue(30, { note: 'seen', caller: 'somebody' });
    expect(member.requests('acknowledgeIssue')[0]?.request).toMatchObject({ issue: 30n, note: 'seen' });
    expect(member.requests('acknowledgeIssue')[0]?.header).toMatchObject({ caller: 'somebody' });
    await session.setPolicy({ kMilli: 1_200, heartbeatMs: 5_000 });
    expect(member.requests('setPolicy')[0]?.request).toMatchObject({
      values: [
        { name: 'kMilli', value: 1_200n },
        { name: 'heartbeatMs', value: 5_000n },
      ],
    });
    const setting = {
      name: 'kMilli',
      value: 1_200n,
      defaultValue: 1_600n,
      min: 100n,
      max: 100_000n,
      changedRevision: 9n,
    };
    member.script('getPolicy', message({ settings: [setting, { ...setting, changedRevision: 0n }] }));
    expect(await client.policy.get()).toMatchObject([{ value: 1_200, changedRevision: 9 }, { changedRevision: null }]);
  });
});
