import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { durationOf, formatDuration, formatMicros, roughDuration } from '../../src/cli/units.ts';
import { AlertState, IssueKind, IssueState } from '../../src/gen/quorate/v1/issue_pb.ts';
import { PhaseState } from '../../src/gen/quorate/v1/phase_pb.ts';
import {
  InterruptCause,
  RecoveryEffectState,
  RecoveryResult,
  RecoveryState,
} from '../../src/gen/quorate/v1/recovery_pb.ts';
import { FakeMember, message, refusal } from '../client/fake-member.ts';
import { cli } from './run-cli.ts';

const ref = { loop: 'nightly', g: 3n, phase: 'CONSTRUCT' };
const T = 1_750_000_000_000n;
let member: FakeMember;

beforeEach(async () => {
  member = await FakeMember.start();
  member.leads(member.address);
});

afterEach(() => member.crash());

const ask = (...args: string[]) => cli([...args, '--endpoints', member.address]);

const recovery = {
  ref,
  attempt: 2n,
  traceId: 'trace-1',
  state: RecoveryState.ROLLBACK,
  step: 'sel_compensate',
  cause: InterruptCause.TIMEOUT,
  detail: 'no commit within 3.2s',
  fencingToken: 61n,
  effectSeq: 2n,
  tries: 1,
  nextTryAtMs: T + 4_000n,
  lastError: 'connection refused',
  faultAtMs: T - 3_200n,
  detectedAtMs: T,
  stepStartedAtMs: T + 100n,
  steps: [{ step: 'wal_fsync', startedAtMs: T, finishedAtMs: T + 12n }],
  issue: 30n,
};
const effects = [
  {
    seq: 1n,
    key: 'vm-1',
    state: RecoveryEffectState.CONFIRMED,
    compensatorKind: 'http',
    compensatorTarget: 'http://h/undo',
    costMicros: '1500000',
    description: 'a server',
  },
  {
    seq: 2n,
    key: 'vm-2',
    state: RecoveryEffectState.COMPENSATED,
    compensatorKind: 'worker',
    compensatorTarget: 'undo',
    costMicros: '0',
    settledAtMs: T + 50n,
  },
];
const details = (fields: object = {}, more: object = {}) =>
  message({
    recovery: { ...recovery, ...fields },
    effects,
    cost: { spentMicros: '1500000', effects: 2n },
    autoAttempts: 1,
    autoAttemptsMax: 2,
    timeMs: T + 1_000n,
    ...more,
  });

describe('V1: quorate recovery list', () => {
  test('a table for people, an object for each with --json', async () => {
    const over = {
      ...recovery,
      ref: { ...ref, g: 2n },
      state: RecoveryState.CLEAN_EXIT,
      step: '',
      result: RecoveryResult.ROLLED_BACK,
    };
    member.script('listRecoveries', message({ recoveries: [over, recovery] }));
    const { code, stdout } = await ask('recovery', 'list', '--open', '--loop', 'nightly');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^nightly +2 +CONSTRUCT +CLEAN_EXIT +TIMEOUT +ROLLED_BACK /m);
    expect(stdout).toMatch(/^nightly +3 +CONSTRUCT +ROLLBACK +sel_compensate +TIMEOUT .*trace-1$/m);
    expect(member.requests('listRecoveries')[0]?.request).toMatchObject({ loop: 'nightly', openOnly: true });
    const lines = (await ask('recovery', 'list', '--json')).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).state)).toEqual(['CLEAN_EXIT', 'ROLLBACK']);
  });

  test('says so when there is none', async () => {
    expect((await ask('recovery', 'list')).stdout).toBe('no run was interrupted\n');
  });
});

describe('V5: quorate recovery show', () => {
  test('steps with their times, effects with their compensation, what it waits for, the cost so far', async () => {
    member.script('getRecovery', details());
    const { code, stdout } = await ask('recovery', 'show', 'nightly', '3', 'CONSTRUCT');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^nightly 3 CONSTRUCT {2}ROLLBACK$/m);
    expect(stdout).toContain('TIMEOUT: no commit within 3.2s');
    expect(stdout).toMatch(/detected +\S+, 3.2s after the fault/);
    expect(stdout).toMatch(/waits for +try 2 of the compensator of effect 2, in 3s \(connection refused\)/);
    expect(stdout).toMatch(/automatic +1 of 2 recoveries/);
    expect(stdout).toMatch(/cost so far +1\.50 by 2 effects$/m);
    expect(stdout).toMatch(/^wal_fsync +\S+ +\S+ +12ms$/m);
    expect(stdout).toMatch(/^sel_compensate +\S+ +– +900ms$/m);
    expect(stdout).toMatch(/^ *1 +vm-1 +CONFIRMED +http http:\/\/h\/undo +– +1\.50 +a server$/m);
    expect(stdout).toMatch(/^ *2 +vm-2 +COMPENSATED +worker undo +2025-/m);
    expect(stdout).toContain('quorate issue show 30');
    expect(member.requests('getRecovery')[0]?.request).toMatchObject({ ref });
  });

  test('--json is one object, without loss', async () => {
    member.script('getRecovery', details());
    const json = JSON.parse((await ask('recovery', 'show', 'nightly', '3', 'CONSTRUCT', '--json')).stdout);
    expect(json).toMatchObject({
      recovery: { state: 'ROLLBACK', token: 61 },
      effects: [{ seq: 1, costMicros: '1500000' }, { seq: 2 }],
      cost: { spentMicros: '1500000' },
    });
  });

  test.each<[string, object, object, RegExp]>([
    [
      'a supervisor, after two automatic attempts',
      { state: RecoveryState.INTERRUPTED, waiting: 'AUTO_ATTEMPTS' },
      { autoAttempts: 2 },
      /waits for +a supervisor: 2 of 2 automatic recoveries are used up; quorate override resume\|abort\|force-rollback trace-1/,
    ],
    [
      'a supervisor, because it costs too much',
      { state: RecoveryState.INTERRUPTED, waiting: 'COST_CAP_EXCEEDED' },
      { cost: { spentMicros: '600000000', effects: 2n, capped: 'COST', limitMicros: '500000000' } },
      /waits for +a supervisor: COST_CAP_EXCEEDED stopped automation of the trace[\s\S]*cost so far +600\.00 by 2 effects; automation stopped: COST, the limit is 500\.00/,
    ],
    [
      'a compensator that is blocked',
      { state: RecoveryState.BLOCKED_COMPENSATOR, tries: 5, blockedAtMs: T },
      { blockedUntilMs: T + 3_601_000n },
      /the compensator of effect 2, which failed 5 times \(connection refused\); HARD_FAILED in 1h; mend it, then quorate override resume trace-1/,
    ],
    [
      'nothing, once it has failed',
      { state: RecoveryState.HARD_FAILED, result: RecoveryResult.HARD_FAILED },
      {},
      /waits for +nothing: the barrier has passed it/,
    ],
    ['the leader', { state: RecoveryState.RECONCILE, step: 'vc_merge' }, {}, /waits for +the leader: vc_merge/],
    [
      'nobody, when it is over',
      { state: RecoveryState.CLEAN_EXIT, step: '', result: RecoveryResult.ROLLED_FORWARD },
      {},
      /CLEAN_EXIT ROLLED_FORWARD[\s\S]*waits for +–$/m,
    ],
  ])('waits for %s', async (_, fields, more, says) => {
    member.script('getRecovery', details(fields, more));
    expect((await ask('recovery', 'show', 'nightly', '3', 'CONSTRUCT')).stdout).toMatch(says);
  });

  test('3: a run that was never interrupted; 2: a round that is no number', async () => {
    const message = 'phase CONSTRUCT of round 3 of loop nightly was never interrupted';
    member.script('getRecovery', refusal({ code: Code.NOT_FOUND, reason: 'RECOVERY_NOT_FOUND', message }));
    const refused = await ask('recovery', 'show', 'nightly', '3', 'CONSTRUCT');
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('RECOVERY_NOT_FOUND: phase CONSTRUCT')]);
    expect((await ask('recovery', 'show', 'nightly', 'x', 'CONSTRUCT')).code).toBe(2);
  });
});

describe('D1–D4: quorate detection, quorate agent, quorate phase', () => {
  test('detection: what is known of durations, and what is overdue', async () => {
    const phases = [
      {
        phase: 'CONSTRUCT',
        samples: 12,
        meanMs: 1_000,
        deviationMs: 50,
        p95Ms: 1_082.2,
        timeoutMs: 1_732n,
        slaMs: 500n,
      },
    ];
    const running = [
      {
        ref,
        attempt: 2n,
        caller: 'builder',
        startedAtMs: T,
        dueAtMs: T + 1_732n,
        phi: 4.25,
        participants: ['a', 'b'],
        finished: ['a'],
      },
      { ref: { ...ref, phase: 'VALIDATE' }, attempt: 1n, caller: 'x', startedAtMs: T },
    ];
    member.script('getDetection', message({ phases, kMilli: 1_600, running, timeMs: T + 2_000n }));
    const { stdout } = await ask('detection', 'nightly');
    expect(stdout).toContain('timeout = 1.6 × P95');
    expect(stdout).toMatch(/^CONSTRUCT +12 +1s +50ms +1\.1s +1\.7s +500ms$/m);
    expect(stdout).toMatch(/^CONSTRUCT +2 +builder +2s +268ms ago +4\.25 +1\/2 finished$/m);
    expect(stdout).toMatch(/^VALIDATE +1 +x +2s +– +0\.00$/m);
    expect(JSON.parse((await ask('detection', 'nightly', '--json')).stdout)).toMatchObject({ kMilli: 1_600 });
  });

  test('agent list', async () => {
    const agents = [
      { name: 'a', healthy: true, seenAtMs: T, changedAtMs: T },
      { name: 'b', healthy: false, seenAtMs: T, changedAtMs: T + 60_000n },
    ];
    member.script('listAgents', message({ agents }), message({ agents }), message({}));
    expect((await ask('agent', 'list')).stdout).toMatch(/^a +healthy +2025-\S+[\s\S]*^b +UNHEALTHY +2025-/m);
    const lines = (await ask('agent', 'list', '--json')).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).healthy)).toEqual([true, false]);
    expect((await ask('agent', 'list')).stdout).toBe('no agent has sent a heartbeat yet\n');
  });

  test('phase interrupt takes the attempt that runs, unless one is named', async () => {
    member.script('getLoop', message({ loop: { name: 'nightly', g: 3n }, plan: { name: 'default' } }));
    member.script('getPhaseRun', message({ run: { ref, state: PhaseState.RUNNING, attempt: 4n } }));
    member.script('interruptPhase', message({ header: { revision: 9n }, waiting: true }));
    const { code, stdout } = await ask('phase', 'interrupt', 'nightly', 'CONSTRUCT', '--detail', 'hangs');
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/interrupted attempt 4 .*waits for a supervisor.*recovery show nightly 3 CONSTRUCT/),
    ]);
    expect(member.requests('interruptPhase')[0]?.request).toMatchObject({ ref, attempt: 4n, detail: 'hangs' });
    await ask('phase', 'interrupt', 'nightly', 'CONSTRUCT', '--g', '3', '--attempt', '2');
    expect(member.requests('interruptPhase')[1]?.request).toMatchObject({ attempt: 2n });
    member.script('getPhaseRun', message({ run: { ref, state: PhaseState.PENDING } }));
    const never = await ask('phase', 'interrupt', 'nightly', 'CONSTRUCT');
    expect([never.code, never.stderr]).toEqual([2, expect.stringContaining('was never begun')]);
  });

  test('phase begin and finished with participants; show knows FAILED_PARTIAL', async () => {
    await ask('phase', 'begin', 'nightly', 'CONSTRUCT', '--g', '3', '--participant', 'a', '--participant', 'b');
    expect(member.requests('beginPhase')[0]?.request).toMatchObject({ participants: ['a', 'b'] });
    member.script('reportFinished', message({ header: { revision: 9n }, finished: 1, participants: 2 }));
    const at = ['nightly', 'CONSTRUCT', '--g', '3', '--token', '9'];
    const { stdout } = await ask('phase', 'finished', ...at, '--participant', 'b');
    expect(stdout).toBe('1 of 2 have finished nightly CONSTRUCT\n');
    expect(member.requests('reportFinished')[0]?.request).toMatchObject({ fencingToken: 9n, participant: 'b' });
    await ask('phase', 'progress', ...at, '--participant', 'b', '--note', 'n');
    expect(member.requests('reportProgress')[0]?.request).toMatchObject({ participant: 'b', note: 'n' });
    member.script('getPhaseRun', message({ run: { ref, state: PhaseState.FAILED_PARTIAL, attempt: 4n } }));
    expect((await ask('phase', 'show', 'nightly', 'CONSTRUCT', '--g', '3')).stdout).toContain('FAILED_PARTIAL');
  });
});

describe('V8: quorate issue and quorate alert', () => {
  const issue = {
    issue: 30n,
    kind: IssueKind.RECOVERY,
    state: IssueState.OPEN,
    ref,
    traceId: 'trace-1',
    openedAtMs: T,
    changedAtMs: T,
  };
  const lines = { seen: ['no commit'], isolated: ['token 9 is stale'], remediated: ['vm-2 undone'], note: 'on it' };

  test('list, show and ack', async () => {
    member.script('listIssues', message({ issues: [{ ...issue, ...lines }] }), message({}));
    expect((await ask('issue', 'list', '--open')).stdout).toMatch(
      /^ *30 +RECOVERY +OPEN +2025-\S+ +nightly 3 CONSTRUCT +no commit$/m,
    );
    expect(member.requests('listIssues')[0]?.request).toMatchObject({ openOnly: true });
    expect((await ask('issue', 'list')).stdout).toBe('no issues\n');
    member.script('getIssue', message({ issue: { ...issue, ...lines } }));
    const { stdout } = await ask('issue', 'show', '30');
    for (const line of [...lines.seen, ...lines.isolated, ...lines.remediated, lines.note])
      expect(stdout).toContain(`  ${line}`);
    expect(stdout).toContain('quorate recovery show nightly 3 CONSTRUCT');
    expect((await ask('issue', 'ack', '30', '--note', 'seen')).stdout).toBe('acknowledged issue 30\n');
    expect(member.requests('acknowledgeIssue')[0]?.request).toMatchObject({ issue: 30n, note: 'seen' });
  });

  test('3: an issue that there is not', async () => {
    member.script(
      'acknowledgeIssue',
      refusal({ code: Code.NOT_FOUND, reason: 'ISSUE_NOT_FOUND', message: 'there is no issue 9' }),
    );
    const { code, stdout } = await ask('issue', 'ack', '9', '--json');
    expect([code, JSON.parse(stdout).error.reason]).toEqual([3, 'ISSUE_NOT_FOUND']);
  });

  test('alerts say whether the webhook took them', async () => {
    const alert = {
      alert: 31n,
      name: 'recovery_waits',
      issue: 30n,
      text: 'CONSTRUCT waits',
      raisedAtMs: T,
      state: AlertState.GIVEN_UP,
      lastError: '503',
    };
    member.script('listAlerts', message({ alerts: [alert] }), message({ alerts: [alert] }), message({}));
    expect((await ask('alert', 'list')).stdout).toMatch(
      /^ *31 +recovery_waits +30 +GIVEN_UP +2025-\S+ +CONSTRUCT waits \(503\)$/m,
    );
    expect(JSON.parse((await ask('alert', 'list', '--json')).stdout)).toMatchObject({ alert: 31, state: 'GIVEN_UP' });
    expect((await ask('alert', 'list')).stdout).toBe('no alerts\n');
  });
});

describe('quorate policy', () => {
  const settings = [
    { name: 'heartbeatMs', value: 5_000n, defaultValue: 15_000n, min: 10n, max: 86_400_000n, changedRevision: 9n },
    { name: 'kMilli', value: 1_600n, defaultValue: 1_600n, min: 100n, max: 100_000n },
  ];

  test('get shows units, and what was changed', async () => {
    member.script('getPolicy', message({ settings }));
    const { stdout } = await ask('policy', 'get');
    expect(stdout).toMatch(/^heartbeatMs +5s +15s +10ms – 1d +set at revision 9$/m);
    expect(stdout).toMatch(/^kMilli +1600 +1600 +100 – 100000$/m);
    expect(JSON.parse((await ask('policy', 'get', 'kMilli', '--json')).stdout)).toEqual({
      settings: [{ name: 'kMilli', value: 1_600, defaultValue: 1_600, min: 100, max: 100_000, changedRevision: null }],
    });
    const wrong = await ask('policy', 'get', 'k');
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('one of heartbeatMs, kMilli')]);
  });

  test('set takes durations where they belong', async () => {
    const { code, stdout } = await ask('policy', 'set', 'heartbeatMs=1.5s', 'blockedMs=250', 'autoAttemptsMax=3');
    expect([code, stdout]).toEqual([0, 'set heartbeatMs = 1500ms, blockedMs = 250ms, autoAttemptsMax = 3\n']);
    expect(member.requests('setPolicy')[0]?.request).toMatchObject({
      values: [
        { name: 'heartbeatMs', value: 1_500n },
        { name: 'blockedMs', value: 250n },
        { name: 'autoAttemptsMax', value: 3n },
      ],
    });
  });

  test.each([
    'kMilli=15s',
    'heartbeatMs',
    '=5',
    'heartbeatMs=0.0001ms',
    'heartbeatMs=-5s',
    'kMilli=1.6',
    'heartbeatMs=5w',
  ])('2: %s', async (text) => {
    const { code, stderr } = await ask('policy', 'set', text);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Write NAME=VALUE')]);
    expect(member.requests('setPolicy')).toEqual([]);
  });

  test('2: a name twice', async () => {
    expect((await ask('policy', 'set', 'kMilli=1', 'kMilli=2')).stderr).toContain('set each name once');
  });
});

describe('units', () => {
  test.each<[string, number | null]>([
    ['15s', 15_000],
    ['1.5h', 5_400_000],
    ['90d', 7_776_000_000],
    ['250ms', 250],
    ['0s', 0],
    ['15', null],
    ['1.0005ms', null],
    ['99999999999d', null],
  ])('durationOf %s', (text, ms) => expect(durationOf(text)).toBe(ms));

  test.each<[number, string, string]>([
    [0, '0s', '0ms'],
    [250, '250ms', '250ms'],
    [15_000, '15s', '15s'],
    [5_400_000, '90m', '1h 30m'],
    [61_001, '61001ms', '1m 1s'],
    [7_776_000_000, '90d', '90d'],
    [93_600_000, '26h', '1d 2h'],
  ])('%d ms', (ms, exact, rough) => expect([formatDuration(ms), roughDuration(ms)]).toEqual([exact, rough]));

  test('exact durations are read back as what they were', () => {
    for (const ms of [1, 999, 1_000, 90_000, 3_600_000, 86_400_000, 86_400_001])
      expect(durationOf(formatDuration(ms))).toBe(ms);
  });

  test.each<[string, string]>([
    ['0', '0.00'],
    ['1', '0.000001'],
    ['1500000', '1.50'],
    ['12345678', '12.345678'],
    ['123456789012345678901234567890', '123456789012345678901234.56789'],
  ])('%s millionths', (micros, shown) => expect(formatMicros(micros)).toBe(shown));
});
