import { describe, expect, it } from 'vitest';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { openRecoveries, recoveriesOfTraceId, recoveriesPage } from '../../src/machine/recovery/view.ts';
import { fencingToken } from '../../src/types/ids.ts';
import {
  HARD_FAILED_KEPT_MS,
  HARD_FAILED_RETRY_MS,
  OVERRIDE_RECOVERIES_MAX,
  ROUND_RETRY_MS,
} from '../../src/types/limits.ts';
import { BLOCKED_MS, STANDING, Ward } from './recovery-kit.ts';

describe('V4: the lock and its token', () => {
  it('a new leader takes over: the token rises and stays odd, the older one is stale from then on', () => {
    const ward = STANDING.ROLLBACK();
    const old = ward.settleBody({ done: true });
    const { token: taken } = ward.done('recoveryAdvanced', ward.takeOverBody());
    expect(taken % 2).toBe(1);
    expect(taken).toBeGreaterThan(old.token);
    expect(ward.rejected(old)).toMatchObject({ reason: 'STALE_FENCE', details: { token: String(taken) } });
    expect(ward.settle({ done: true }).state).toBe('ROLLBACK');
  });

  it('one recovery of a phase is active, whatever the round: the other waits', () => {
    const ward = new Ward({}, ['A']);
    ward.broken();
    ward.override('abort');
    ward.broken('A', 2, { traceId: 'second' });
    ward.override('resume');
    expect(openRecoveries(ward.machine, null, 10).rows.map(({ row }) => row.g)).toEqual([1]);
    expect(ward.rejected(ward.startBody('A', 2)).reason).toBe('RECOVERY_STATE');
    expect(ward.override('force-rollback', 'A', 2)?.reason).toBe('RECOVERY_STATE');
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    expect(openRecoveries(ward.machine, null, 10).rows.map(({ row }) => row.g)).toEqual([2]);
    const { token: second } = ward.start('A', 2);
    expect(second).toBeGreaterThan(ward.recovery().token);
  });

  it('a round is kept while one of its recoveries is active, and goes when it is through', () => {
    const ward = new Ward({ roundsKept: 1 }, ['A']);
    ward.broken();
    ward.override('abort');
    ward.override('resume');
    for (const _ of [1, 2, 3]) ward.round();
    expect(ward.machine.runs('loop', 1)).toHaveLength(1);
    expect(ward.machine.runs('loop', 2)).toHaveLength(0);
    ward.done('timeAdvanced', { kind: 'advanceTime' });
    expect(ward.machine.nextTimerMs()).toBe(ward.timeMs + 60_000);
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + 60_000 });
    expect(ward.machine.runs('loop', 1)).toHaveLength(0);
    expect(ward.machine.rows.recovery.size + ward.machine.rows.recoveryTrace.size).toBe(0);
    expect(ward.machine.rows.watch.range('loop 0000000000000001 ', 'loop 0000000000000001!', 9)).toEqual([]);
  });

  it('V6: a round is kept while a compensator blocks its recovery, and while one that has failed for good may be resumed', () => {
    const ward = new Ward({ roundsKept: 1 }, ['A']);
    ward.begin('A');
    ward.effect('e1');
    ward.interrupt();
    ward.override('abort');
    for (const _ of [1, 2, 3]) ward.round();
    const later = (ms: number): void => {
      ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + ms });
    };
    later(0);
    // Its round is out of turn, and what it left behind can still be undone.
    expect(ward.override('resume')).toBeNull();
    expect(ward.settle({ circuitOpen: true }).state).toBe('BLOCKED_COMPENSATOR');
    later(ROUND_RETRY_MS);
    expect(ward.recovery().state).toBe('BLOCKED_COMPENSATOR');
    later(BLOCKED_MS);
    expect(ward.recovery().state).toBe('HARD_FAILED');
    later(HARD_FAILED_KEPT_MS - HARD_FAILED_RETRY_MS);
    expect(ward.machine.runs('loop', 1)).toHaveLength(1);
    expect(ward.machine.rows.effectKey.size).toBe(1);
    later(2 * HARD_FAILED_RETRY_MS);
    later(0);
    expect(ward.machine.runs('loop', 1)).toHaveLength(0);
    const { recovery, recoveryTrace, effect, effectKey, watch } = ward.machine.rows;
    expect([recovery, recoveryTrace, effect, effectKey].map(({ size }) => size)).toEqual([0, 0, 0, 0]);
    expect(watch.range('loop 0000000000000001 ', 'loop 0000000000000001!', 9)).toEqual([]);
  });

  it('an override finds what it can move behind more recoveries of the trace than it moves at a time', () => {
    const ward = new Ward({}, ['A']);
    const traceId = 'one for all';
    const breakIn = (loop: string): void => {
      ward.createLoop(loop, 'p');
      ward.begin('A', { loop, traceId });
      ward.done('phaseInterrupted', { ...ward.interruptBody(), ref: { loop, g: 1, phase: 'A' }, attempt: 1 });
    };
    ward.broken('A', 1, { traceId });
    for (let i = 0; i < OVERRIDE_RECOVERIES_MAX; i++) breakIn(`loop-${String(i).padStart(5, '0')}`);
    // The first of them are moved, and the one that is left then stands behind them.
    expect(ward.override('abort')).toBeNull();
    const left = () => recoveriesOfTraceId(ward.machine, traceId, 2_000).filter(({ state }) => state === 'INTERRUPTED');
    expect(left()).toHaveLength(1);
    expect(ward.override('abort')).toBeNull();
    expect(left()).toHaveLength(0);
    expect(ward.override('abort')?.reason).toBe('RECOVERY_STATE');
  });

  it('no key is relied on by another round while the recovery that it belongs to may still undo it', () => {
    const ward = new Ward({}, ['A']);
    ward.begin('A');
    ward.effect('e1');
    ward.interrupt();
    ward.override('abort');
    const { token } = ward.begin('A', { g: 2 });
    const intent = {
      kind: 'recordIntent',
      ref: { loop: 'loop', g: 2, phase: 'A' },
      token: fencingToken(token),
      key: 'e1',
      description: 'e1',
      compensator: { kind: 'http', target: 'http://localhost/undo', payload: 'e1' },
      costMicros: '1',
      limitMicros: '500000000',
      resource: '',
      operation: '',
    } as const;
    expect(ward.rejected(intent)).toMatchObject({
      reason: 'EFFECT_EXISTS',
      message: expect.stringContaining('may yet be undone'),
    });
    ward.override('resume');
    ward.settle({ done: true });
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    expect(ward.rejected(intent).reason).toBe('EFFECT_SETTLED');
  });
});

const DAMAGES: Record<string, (row: RecoveryRow) => RecoveryRow> = {
  crc: (row) => ({ ...row, crc: row.crc ^ 1 }),
  step: (row) => ({ ...row, step: row.step === 'vc_merge' ? 'wal_fsync' : 'vc_merge' }),
  seq: (row) => ({ ...row, seq: row.seq + 1 }),
  tries: (row) => ({ ...row, tries: row.tries + 1 }),
  restoredThrough: (row) => ({ ...row, restoredThrough: 'z' }),
  attempt: (row) => ({ ...row, attempt: row.attempt + 1 }),
};

describe('V4: a damaged checkpoint', () => {
  it.each(Object.keys(DAMAGES))('%s: RECONCILE goes to ROLLBACK when a leader takes over', (field) => {
    const ward = STANDING.RECONCILE();
    ward.damage(DAMAGES[field] as (row: RecoveryRow) => RecoveryRow);
    const taken = ward.done('recoveryAdvanced', ward.takeOverBody());
    expect(taken).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
    expect(ward.recovery()).toMatchObject({ seq: 1, tries: 0, restoredThrough: '' });
    expect(ward.settle({ done: true }).state).toBe('ROLLBACK');
  });

  it('is found by the leader that is at it, too: the command is not carried out', () => {
    const ward = STANDING.RECONCILE();
    ward.damage((row) => ({ ...row, crc: 0 }));
    expect(ward.step('wal_fsync')).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
  });

  it('in ROLLBACK begins the rollback again; what is compensated stays so', () => {
    const ward = new Ward();
    ward.begin('A');
    for (const key of ['e1', 'e2']) ward.effect(key);
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync', false);
    ward.settle({ done: true });
    ward.damage((row) => ({ ...row, seq: 0 }));
    expect(ward.done('recoveryAdvanced', ward.takeOverBody())).toMatchObject({ step: 'sel_compensate' });
    expect(ward.recovery()).toMatchObject({ seq: 1, state: 'ROLLBACK' });
    ward.damage((row) => row);
    ward.settle({ done: true });
    expect(ward.step('sel_compensate').step).toBe('snapshot_apply');
  });

  it('before the start forces ROLLBACK; one of the compensator forces it again', () => {
    const ward = STANDING.INTERRUPTED();
    ward.damage((row) => ({ ...row, crc: row.crc + 1 }));
    expect(ward.start()).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
    ward.damage((row) => ({ ...row, tries: 4 }));
    expect(ward.settle()).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
    expect(ward.recovery().tries).toBe(0);
  });

  it.each([
    [0x29b1, 'ROLLBACK'],
    [0xcbf43926, 'RECONCILE'],
    [undefined, 'RECONCILE'],
  ])("the agent's own checksum %s of its checkpoint: %s", (checkpointCrc, state) => {
    const ward = new Ward();
    ward.begin('A');
    // The check value of CRC-32/ISO-HDLC.
    ward.report({ checkpoint: '123456789', ...(checkpointCrc === undefined ? {} : { checkpointCrc }) });
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync');
    expect(ward.step('checkpoint_flush').state).toBe(state);
  });
});

describe('views', () => {
  it('lists recoveries by key, and by trace id', () => {
    const ward = new Ward();
    for (const loop of ['x', 'y']) {
      ward.createLoop(loop, 'p');
      ward.begin('A', { loop, traceId: `trace ${loop}` });
      const where = { loop, g: 1, phase: 'A' };
      ward.done('phaseInterrupted', { ...ward.interruptBody(), ref: where, attempt: 1 });
    }
    const first = recoveriesPage(ward.machine, null, 1);
    expect(first.rows.map(({ loop }) => loop)).toEqual(['x']);
    expect(recoveriesPage(ward.machine, first.next, 1)).toMatchObject({ rows: [{ loop: 'y' }], next: null });
    expect(recoveriesOfTraceId(ward.machine, 'trace x', 5).map(({ loop }) => loop)).toEqual(['x']);
    expect(recoveriesOfTraceId(ward.machine, 'trace', 5)).toEqual([]);
    const page = openRecoveries(ward.machine, null, 1);
    expect(openRecoveries(ward.machine, page.next, 1).rows.map(({ row }) => row.loop)).toEqual(['y']);
  });
});
