import { status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReadConsistency } from '../../src/gen/quorate/v1/common_pb.ts';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import {
  InterruptCause,
  RecoveryEffectState,
  RecoveryResult,
  RecoveryService,
  RecoveryState,
} from '../../src/gen/quorate/v1/recovery_pb.ts';
import { agentKey } from '../../src/machine/detection/agent.ts';
import type { WatchRow } from '../../src/machine/detection/types.ts';
import { runKey } from '../../src/machine/keys.ts';
import { effectRowKey, spendingKey } from '../../src/machine/ledger/effects.ts';
import type { EffectRow } from '../../src/machine/ledger/types.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { clusterTimeMs, fencingToken, memberId, revision } from '../../src/types/ids.ts';
import { DETAIL_LENGTH_MAX, HEARTBEAT_AGENTS_MAX, PARTICIPANTS_MAX } from '../../src/types/limits.ts';
import { loopRow, runRow, TestApi } from './support.ts';

const { method } = RecoveryService;
const at = clusterTimeMs;
const ref = { loop: 'l', g: 3n, phase: 'p' };
const header = { caller: 'builder', traceId: 'trace' };
let api: TestApi;

beforeEach(async () => {
  api = await new TestApi().start();
  const { view } = api.member;
  view.feature = { level: 3, used: 3, pinned: false };
  view.loopRows = [loopRow('l', { plan: 'default' })];
  view.planRows = [
    {
      plan: 'default',
      phases: [
        { name: 'p', priorMs: 1_000, slaMs: 0 },
        { name: 'q', priorMs: 2_000, slaMs: 500 },
      ],
      createdRevision: revision(1),
    },
  ];
  view.runRows = [runRow('l', 3, 'p'), runRow('l', 3, 'q', { position: 1, state: 'PENDING' })];
});

afterEach(() => api.stop());

const tables = () => api.member.view.state.tables.domain;

function recoveryRow(loop: string, g: number, fields: Partial<RecoveryRow> = {}): RecoveryRow {
  return {
    loop,
    g,
    phase: 'p',
    position: 0,
    attempt: 2,
    traceId: 'trace',
    state: 'ROLLBACK',
    step: 'sel_compensate',
    cause: 'TIMEOUT',
    detail: 'no commit within 1 s',
    waiting: '',
    token: fencingToken(61),
    seq: 2,
    tries: 1,
    nextTryAtMs: at(1_500),
    lastError: 'refused',
    restoredThrough: '',
    crc: 7,
    faultAtMs: at(900),
    detectedAtMs: at(1_000),
    stepStartedAtMs: at(1_200),
    finishedAtMs: 0,
    blockedAtMs: 0,
    blockedUntilMs: 0,
    steps: [{ step: 'wal_fsync', startedAtMs: at(1_000), finishedAtMs: at(1_010) }],
    result: '',
    issue: 30,
    changedRevision: revision(31),
    ...fields,
  };
}

function putRecovery(row: RecoveryRow): void {
  tables().recovery.put(runKey(row.loop, row.g, row.position), row);
}

function effectRow(seq: number, fields: Partial<EffectRow> = {}): EffectRow {
  return {
    loop: 'l',
    g: 3,
    phase: 'p',
    seq,
    attempt: 2,
    key: `key-${seq}`,
    description: 'a server',
    compensator: { kind: 'http', target: 'http://hook/undo', payload: 'secret' },
    costMicros: '1500000',
    resource: '',
    operation: '',
    state: 'CONFIRMED',
    result: '',
    traceId: 'trace',
    caller: 'builder',
    intentAtMs: at(950),
    settledAtMs: 0,
    changedRevision: revision(20),
    ...fields,
  };
}

describe('V1: ListRecoveries', () => {
  it('gives what the state has, by loop and round', async () => {
    putRecovery(recoveryRow('l', 3));
    putRecovery(recoveryRow('l', 2, { state: 'CLEAN_EXIT', step: '', result: 'ROLLED_BACK', finishedAtMs: at(1_300) }));
    const answer = await api.call(method.listRecoveries, {});
    expect(answer).toMatchObject({
      ok: true,
      value: {
        recoveries: [
          { ref: { loop: 'l', g: 2n }, state: RecoveryState.CLEAN_EXIT, result: RecoveryResult.ROLLED_BACK },
          {
            ref,
            state: RecoveryState.ROLLBACK,
            cause: InterruptCause.TIMEOUT,
            result: RecoveryResult.UNSPECIFIED,
            fencingToken: 61n,
            effectSeq: 2n,
            tries: 1,
            steps: [{ step: 'wal_fsync', startedAtMs: 1_000n, finishedAtMs: 1_010n }],
            issue: 30n,
          },
        ],
        nextPageToken: '',
      },
    });
  });

  it('of one loop, and only those that are open, page by page', async () => {
    for (const loop of ['a', 'l', 'l-2', 'm']) {
      for (let g = 1; g <= 5; g++) {
        const over = { result: 'ROLLED_BACK', state: 'CLEAN_EXIT', step: '' } as const;
        putRecovery(recoveryRow(loop, g, g % 2 === 0 ? {} : over));
      }
    }
    const found: string[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const answer = await api.call(method.listRecoveries, { loop: 'l', openOnly: true, pageSize: 1, pageToken });
      if (!answer.ok) throw new Error(answer.error.message);
      for (const one of answer.value.recoveries) found.push(`${one.ref?.loop} ${one.ref?.g}`);
      pageToken = answer.value.nextPageToken;
      pages += 1;
    } while (pageToken !== '');
    expect(found).toEqual(['l 2', 'l 4']);
    expect(pages).toBeLessThanOrEqual(3);
  });

  it('a token of another listing does not lead out of the loop', async () => {
    putRecovery(recoveryRow('a', 1));
    putRecovery(recoveryRow('l', 1));
    const pageToken = Buffer.from('a').toString('base64url');
    const answer = await api.call(method.listRecoveries, { loop: 'l', pageToken });
    expect(answer.ok && answer.value.recoveries.map((one) => one.ref?.loop)).toEqual(['l']);
  });

  it('looks at a bounded number of rows for one page', async () => {
    for (let g = 1; g <= 10_300; g++) putRecovery(recoveryRow('l', g, { result: 'ROLLED_BACK' }));
    putRecovery(recoveryRow('l', 10_301));
    const first = await api.call(method.listRecoveries, { openOnly: true });
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.recoveries).toEqual([]);
    expect(first.value.nextPageToken).not.toBe('');
    const next = await api.call(method.listRecoveries, { openOnly: true, pageToken: first.value.nextPageToken });
    expect(next.ok && next.value.recoveries.map((one) => one.ref?.g)).toEqual([10_301n]);
    expect(next.ok && next.value.nextPageToken).toBe('');
  });
});

describe('V5: GetRecovery', () => {
  it('shows effects, cost so far, automatic attempts and what it waits for', async () => {
    const key = runKey('l', 3, 0);
    const blocked = { state: 'BLOCKED_COMPENSATOR', blockedAtMs: at(2_000), blockedUntilMs: at(9_000) } as const;
    putRecovery(recoveryRow('l', 3, blocked));
    tables().effect.put(effectRowKey(key, 1), effectRow(1));
    tables().effect.put(effectRowKey(key, 2), effectRow(2, { state: 'COMPENSATED', settledAtMs: at(1_400) }));
    tables().effect.put(effectRowKey(runKey('l', 3, 1), 1), effectRow(1, { phase: 'q', key: 'other' }));
    const spending = {
      traceId: 'trace',
      spentMicros: '3000000',
      effects: 2,
      capped: 'COST',
      cappedLimitMicros: '2000000',
      changedAtMs: at(950),
    } as const;
    tables().spending.put(spendingKey('trace', key), spending);
    tables().watch.put(key, watchRow({ autoAttempts: 2 }));
    expect(await api.call(method.getRecovery, { ref, consistency: ReadConsistency.STALE })).toMatchObject({
      ok: true,
      value: {
        recovery: { ref, state: RecoveryState.BLOCKED_COMPENSATOR },
        effects: [
          { seq: 1n, key: 'key-1', state: RecoveryEffectState.CONFIRMED, compensatorTarget: 'http://hook/undo' },
          { seq: 2n, key: 'key-2', state: RecoveryEffectState.COMPENSATED, settledAtMs: 1_400n },
        ],
        cost: { spentMicros: '3000000', effects: 2n, capped: 'COST', limitMicros: '2000000' },
        autoAttempts: 2,
        autoAttemptsMax: 2,
        blockedUntilMs: 9_000n,
      },
    });
  });

  it('gives effects page by page', async () => {
    putRecovery(recoveryRow('l', 3));
    for (let seq = 1; seq <= 3; seq++) tables().effect.put(effectRowKey(runKey('l', 3, 0), seq), effectRow(seq));
    const first = await api.call(method.getRecovery, { ref, pageSize: 2 });
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.effects.map(({ seq }) => seq)).toEqual([1n, 2n]);
    const second = await api.call(method.getRecovery, { ref, pageSize: 2, pageToken: first.value.nextPageToken });
    expect(second.ok && second.value.effects.map(({ seq }) => seq)).toEqual([3n]);
    expect(second.ok && second.value.nextPageToken).toBe('');
  });

  it('says of a run that was never interrupted, of a phase and a round that are none, what they are', async () => {
    const reasonOf = async (wanted: object) => {
      const answer = await api.call(method.getRecovery, { ref: { ...ref, ...wanted } });
      return answer.ok ? 'ok' : [answer.error.reason, answer.error.code];
    };
    expect(await reasonOf({})).toEqual(['RECOVERY_NOT_FOUND', Code.NOT_FOUND]);
    expect(await reasonOf({ phase: 'x' })).toEqual(['PHASE_UNKNOWN', Code.NOT_FOUND]);
    expect(await reasonOf({ g: 9n })).toEqual(['ROUND_NOT_FOUND', Code.NOT_FOUND]);
  });
});

describe('D6: InterruptPhase', () => {
  it('is a command of an operator; the fault is no later than the state knows', async () => {
    api.member.applies({ kind: 'phaseInterrupted', waiting: true });
    const answer = await api.call(method.interruptPhase, { header, ref, attempt: 2n, detail: 'hangs' });
    expect(answer).toMatchObject({ ok: true, value: { waiting: true, header: { revision: 30n } } });
    expect(api.member.mutations[0]?.request).toMatchObject({
      caller: 'builder',
      body: {
        kind: 'interruptPhase',
        ref: { loop: 'l', g: 3, phase: 'p' },
        attempt: 2,
        cause: 'OPERATOR',
        detail: 'hangs',
        faultAtMs: 1_000,
      },
    });
  });

  it('wants an attempt, and a detail that is not too long', async () => {
    const detail = 'x'.repeat(DETAIL_LENGTH_MAX + 1);
    const answer = await api.call(method.interruptPhase, { ref, detail });
    expect(answer.ok ? [] : answer.error.violations.map(({ field }) => field)).toEqual(['attempt', 'detail']);
    expect(api.member.mutations).toEqual([]);
  });
});

describe('D4: participants', () => {
  it('BeginPhase hands them on sorted, and leaves the field out where there are none', async () => {
    const begun = { attempt: 1, token: fencingToken(30), subStepsDone: 0, checkpoint: '', vectorClock: [] };
    api.member.applies({ kind: 'phaseBegun', ...begun });
    await api.call(PhaseService.method.beginPhase, { ref, participants: ['b', 'a'] });
    await api.call(PhaseService.method.beginPhase, { ref });
    const bodies = api.member.mutations.map(({ request }) => request.body);
    expect(bodies[0]).toMatchObject({ participants: ['a', 'b'] });
    expect(Object.keys(bodies[1] ?? {})).not.toContain('participants');
  });

  it('refuses one twice, one without a name, and too many', async () => {
    const refused = async (participants: string[]) => {
      const answer = await api.call(PhaseService.method.beginPhase, { ref, participants });
      return answer.ok ? '' : answer.error.message;
    };
    expect(await refused(['a', 'a'])).toMatch(/participants: name one twice; send each once/);
    expect(await refused(['a', ''])).toMatch(/participants\[1\]: is empty/);
    expect(await refused(Array.from({ length: PARTICIPANTS_MAX + 1 }, (_, i) => `p${i}`))).toMatch(/send at most 64/);
    expect(api.member.mutations).toEqual([]);
  });

  it('ReportFinished is of the caller unless it names somebody', async () => {
    api.member.applies({ kind: 'finishedReported', finished: 1, participants: 2 });
    const answer = await api.call(method.reportFinished, { header, ref, fencingToken: 9n });
    expect(answer).toMatchObject({ ok: true, value: { finished: 1, participants: 2 } });
    await api.call(method.reportFinished, { header, ref, fencingToken: 9n, participant: 'b' });
    const bodies = api.member.mutations.map(({ request }) => request.body);
    expect(bodies).toMatchObject([{ participant: 'builder', token: 9 }, { participant: 'b' }]);
  });
});

describe('V4, V2: ReportProgress', () => {
  it('hands on checksum, clock and participant, and leaves out what was not sent', async () => {
    api.member.applies({ kind: 'progressReported', subStepsRecorded: 0, subStepsKnown: [] });
    const vectorClock = {
      entries: [
        { node: 'b', counter: 2n },
        { node: 'a', counter: 1n },
      ],
    };
    const told = { checkpoint: 'c', checkpointCrc: 0, vectorClock, participant: 'b' };
    await api.call(PhaseService.method.reportProgress, { ref, fencingToken: 9n, ...told });
    await api.call(PhaseService.method.reportProgress, { ref, fencingToken: 9n });
    const bodies = api.member.mutations.map(({ request }) => request.body);
    expect(bodies[0]).toMatchObject({
      checkpoint: 'c',
      checkpointCrc: 0,
      vectorClock: [
        ['a', 1],
        ['b', 2],
      ],
      participant: 'b',
    });
    const keys = ['kind', 'ref', 'token', 'completed', 'total', 'note', 'subSteps', 'checkpoint'];
    expect(Object.keys(bodies[1] ?? {})).toEqual(keys);
  });

  it('refuses a checksum of nothing', async () => {
    const answer = await api.call(PhaseService.method.reportProgress, { ref, fencingToken: 9n, checkpointCrc: 1 });
    expect(answer.ok ? '' : answer.error.message).toMatch(/checkpoint_crc: is set without a checkpoint/);
  });
});

describe('D3: Heartbeat', () => {
  it('goes to the memory of the leader, all agents of the call, and says when the next is wanted', async () => {
    tables().policy.put('heartbeatMs', { name: 'heartbeatMs', value: 250, changedRevision: revision(5) });
    const answer = await api.call(method.heartbeat, { agents: ['b', 'a'] });
    expect(answer).toMatchObject({ ok: true, value: { heartbeatMs: 250n } });
    expect(api.beats).toEqual(['b', 'a']);
    expect(api.member.mutations).toEqual([]);
    expect(api.member.reads).toBe(0);
  });

  it('elsewhere it names the leader, so that clients go there', async () => {
    api.member.raftFields = { role: 'follower', leader: memberId('b') };
    const answer = await api.call(method.heartbeat, { agents: ['a'] });
    expect(answer.ok ? null : answer.error).toMatchObject({
      reason: 'NOT_LEADER',
      metadata: { leader: 'b', leader_address: 'b.test:7100' },
    });
    api.member.raftFields = { role: 'follower', leader: null };
    expect((await api.call(method.heartbeat, { agents: ['a'] })) as object).toMatchObject({
      error: { reason: 'NO_QUORUM' },
    });
    expect(api.beats).toEqual([]);
  });

  it('a leader that has not taken over yet says to try again', async () => {
    api.beatAnswer = 'not-leader';
    const answer = await api.call(method.heartbeat, { agents: ['a'] });
    expect(answer.ok ? null : answer.error).toMatchObject({ reason: 'NOT_LEADER', code: Code.UNAVAILABLE });
    expect(answer.ok ? null : answer.error.retryAfterMs).toBeGreaterThan(0);
  });

  it('below feature level 3 nobody is watched', async () => {
    api.member.view.feature = { level: 2, used: 2, pinned: false };
    expect(await api.call(method.heartbeat, { agents: ['a'] })).toMatchObject({
      error: { reason: 'FEATURE_LEVEL_TOO_LOW' },
    });
    expect(api.beats).toEqual([]);
  });

  it('refuses none, too many, and names that are none, before any of them counts', async () => {
    const refused = async (agents: string[]) => {
      const answer = await api.call(method.heartbeat, { agents });
      return answer.ok ? '' : answer.error.message;
    };
    expect(await refused([])).toMatch(/send 1 to 1000/);
    expect(await refused(Array.from({ length: HEARTBEAT_AGENTS_MAX + 1 }, String))).toMatch(/send 1 to 1000/);
    expect(await refused(['a', 'b\n'])).toMatch(/agents\[1\]: holds a control character/);
    expect(await refused(['a', ''])).toMatch(/agents\[1\]: is empty/);
    expect(api.beats).toEqual([]);
  });

  it('ListAgents gives them by name', async () => {
    for (const agent of ['b', 'a', 'c d']) {
      const row = { agent, healthy: agent !== 'b', seenAtMs: at(900), changedAtMs: at(950), issue: 0 };
      tables().agent.put(agentKey(agent), row);
    }
    const first = await api.call(method.listAgents, { pageSize: 2 });
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.agents).toMatchObject([
      { name: 'a', healthy: true, seenAtMs: 900n },
      { name: 'b', healthy: false, changedAtMs: 950n },
    ]);
    const second = await api.call(method.listAgents, { pageSize: 2, pageToken: first.value.nextPageToken });
    expect(second.ok && second.value.agents.map(({ name }) => name)).toEqual(['c d']);
  });
});

function watchRow(fields: Partial<WatchRow> = {}): WatchRow {
  return {
    loop: 'l',
    g: 3,
    phase: 'p',
    snapshotRevision: 0,
    timeoutMs: 2_900,
    participants: ['a', 'b'],
    finished: ['a'],
    firstFinishedAtMs: at(1_200),
    autoAttempts: 1,
    checkpointCrc: -1,
    ...fields,
  };
}

describe('D2: GetDetection', () => {
  it('shows the estimate of each phase by the closed formula', async () => {
    tables().durations.put('default p', { plan: 'default', phase: 'p', durationsMs: Array(10).fill(100) });
    const answer = await api.call(method.getDetection, { loop: 'l' });
    if (!answer.ok) throw new Error(answer.error.message);
    const [p, q] = answer.value.phases;
    expect(p).toMatchObject({ phase: 'p', samples: 10, meanMs: 100, deviationMs: 0, p95Ms: 100, timeoutMs: 160n });
    // The prior alone: m = 2000, deviation = 1000.
    expect(q).toMatchObject({ phase: 'q', samples: 0, meanMs: 2_000, deviationMs: 1_000, slaMs: 500n });
    expect(q?.p95Ms).toBeCloseTo(3_644.8536, 6);
    expect(q?.timeoutMs).toBe(5_832n);
    expect(answer.value).toMatchObject({ kMilli: 1_600, running: [] });
  });

  it('shows what is watched of a running attempt, and how suspect it is', async () => {
    const key = runKey('l', 3, 0);
    const now = Date.now();
    api.member.view.runRows = [runRow('l', 3, 'p', { startedAtMs: at(now - 3_000), progressAtMs: at(now - 500) })];
    tables().watch.put(key, watchRow());
    tables().deadlineOf.put(`${key} TIMEOUT`, { dueMs: now + 60 });
    tables().deadlineOf.put(`${key} PARTIAL_COMMIT`, { dueMs: now + 50 });
    const answer = await api.call(method.getDetection, { loop: 'l' });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(answer.value.running).toMatchObject([
      {
        ref,
        attempt: 2n,
        timeoutMs: 2_900n,
        dueAtMs: BigInt(now + 50),
        participants: ['a', 'b'],
        finished: ['a'],
        autoAttempts: 1,
      },
    ]);
    // Three seconds where one is expected, with a deviation of half a second: four deviations.
    expect(answer.value.running[0]?.phi).toBeGreaterThan(4.4);
    expect(answer.value.running[0]?.phi).toBeLessThan(6);
  });

  it('says which loop there is not', async () => {
    expect(await api.call(method.getDetection, { loop: 'x' })).toMatchObject({ error: { reason: 'LOOP_NOT_FOUND' } });
  });
});
