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
import { runKey } from '../../src/machine/keys.ts';
import { effectRowKey, spendingKey } from '../../src/machine/ledger/effects.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { fencingToken } from '../../src/types/ids.ts';
import { DETAIL_LENGTH_MAX, PARTICIPANTS_MAX } from '../../src/types/limits.ts';
import { at, effectRow, recoveryRow, ref, startApi, watchRow } from './recovery-rows.ts';
import type { TestApi } from './support.ts';

const { method } = RecoveryService;
const header = { caller: 'builder', traceId: 'trace' };
let api: TestApi;

beforeEach(async () => {
  api = await startApi();
});

afterEach(() => api.stop());

const tables = () => api.member.view.state.tables.domain;

function putRecovery(row: RecoveryRow): void {
  tables().recovery.put(runKey(row.loop, row.g, row.position), row);
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
