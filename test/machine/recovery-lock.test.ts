import { describe, expect, it } from 'vitest';
import { openRecoveries, recoveriesOfTraceId, recoveriesPage } from '../../src/machine/recovery/view.ts';
import { STANDING, Ward } from './recovery-kit.ts';

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
