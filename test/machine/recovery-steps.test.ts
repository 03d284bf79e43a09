import { describe, expect, it } from 'vitest';
import { STEPS } from '../../src/machine/recovery/transitions.ts';
import { openRecoveries } from '../../src/machine/recovery/view.ts';
import { beginBody, token } from './kit.ts';
import { BLOCKED_MS, complete, STANDING, Ward } from './recovery-kit.ts';

describe('V2: rolling forward', () => {
  it('ends the run like a commit, without its duration, and opens the barrier', () => {
    const ward = new Ward({}, ['A']);
    ward.begin('A');
    ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result: 'x' }] });
    ward.interrupt();
    ward.start();
    for (const step of STEPS.RECONCILE) ward.step(step);
    expect(ward.recovery()).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_FORWARD' });
    expect(ward.recovery().steps.map(({ step }) => step)).toEqual([...STEPS.RECONCILE]);
    expect(ward.run().state).toBe('CLEAN_EXIT');
    expect(ward.machine.loop('loop')?.g).toBe(2);
    expect(ward.events.at(-1)).toMatchObject({ kind: 'phase_ready', g: 2 });
    expect(ward.machine.rows.durations.size).toBe(0);
    const issue = ward.machine.rows.issue.range('', '~', 10)[0]?.[1];
    expect(issue).toMatchObject({ kind: 'RECOVERY', state: 'CLOSED', remediated: ['ROLLED_FORWARD: seen'] });
  });

  const participants = ['x', 'y'];
  it.each<[string, string | null, (ward: Ward) => void]>([
    ['all sub-steps', null, (ward) => ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result: 'x' }] })],
    [
      'too few sub-steps',
      'the work is not complete: 1 of 2 sub-steps, 0 of 2 participants',
      (ward) => ward.report({ completed: 2, total: 2, subSteps: [{ id: 's', result: 'x' }] }),
    ],
    ['no word of any work', 'the work is not complete: 0 of 0 sub-steps, 0 of 2 participants', () => undefined],
    ['all participants', null, (ward) => finish(ward, 'x', 'y')],
    ['one participant', 'the work is not complete: 0 of 0 sub-steps, 1 of 2 participants', (ward) => finish(ward, 'y')],
    [
      'an effect that may have happened',
      'effect 1 is not confirmed',
      (ward) => {
        finish(ward, 'x', 'y');
        ward.effect('e', false);
      },
    ],
    [
      'a document as it was written',
      null,
      (ward) => {
        finish(ward, 'x', 'y');
        ward.put('doc', '{}', 0);
      },
    ],
  ])('%s: %s', (_, mismatch, work) => {
    const ward = new Ward();
    ward.done('phaseBegun', { ...beginBody('A'), participants });
    work(ward);
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync');
    ward.step('checkpoint_flush');
    const { state } = ward.step('vc_merge');
    expect(state).toBe(mismatch === null ? 'CLEAN_EXIT' : 'ROLLBACK');
    const issue = ward.machine.rows.issue.range('', '~', 10)[0]?.[1];
    expect(issue?.isolated.join()).toContain(mismatch ?? '');
  });

  it.each(STEPS.RECONCILE)('a mismatch that the leader found in %s leads to ROLLBACK', (step) => {
    const ward = complete();
    for (const before of STEPS.RECONCILE.slice(0, STEPS.RECONCILE.indexOf(step))) ward.step(before);
    expect(ward.step(step, false)).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
    expect(ward.recovery().seq).toBe(1);
  });
});

function finish(ward: Ward, ...names: readonly string[]): void {
  for (const participant of names) {
    const body = { kind: 'reportFinished', ref: { loop: 'loop', g: 1, phase: 'A' }, participant } as const;
    ward.done('finishedReported', { ...body, token: token(ward.run().token) });
  }
}

describe('V3: rolling back', () => {
  it('compensates newest first, intents too, then restores documents; what others wrote survives; the phase may begin again', () => {
    const ward = new Ward();
    ward.put('kept', 'before', 0, false);
    ward.put('both', 'before', 0, false);
    ward.begin('A');
    for (const key of ['e1', 'e2', 'e3']) ward.effect(key);
    ward.effect('e4', false);
    ward.put('kept', 'inside', 1);
    ward.put('made', 'inside', 0);
    ward.put('both', 'inside', 1);
    ward.put('both', 'outside', 2, false);
    ward.report({ completed: 1, total: 3, checkpoint: 'cp', note: 'n', subSteps: [{ id: 's', result: 'x' }] });
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync', false);
    for (const seq of [4, 3, 2, 1]) {
      expect(ward.recovery()).toMatchObject({ step: 'sel_compensate', seq });
      expect(ward.rejected(ward.stepBody('sel_compensate'))).toMatchObject({ reason: 'RECOVERY_STATE' });
      expect(ward.rejected(ward.settleBody({ done: true, seq: seq + 1 })).reason).toBe('RECOVERY_STATE');
      ward.settle({ done: true });
    }
    expect(ward.recovery().seq).toBe(0);
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    const text = (name: string): unknown => ward.machine.rows.document.get(`loop ${name}`)?.content;
    expect([text('kept'), text('both'), text('made')]).toEqual(['before', 'outside', '']);
    expect(ward.machine.rows.document.get('loop made')?.deleted).toBe(true);
    expect(ward.run()).toMatchObject({
      state: 'ABORTED',
      completed: 0,
      total: 0,
      note: '',
      checkpoint: '',
      subStepsDone: 0,
    });
    expect(ward.machine.subSteps('loop', 1, 'A', null, 10).rows).toEqual([]);
    expect(ward.recovery()).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK' });
    expect(ward.begin('A')).toMatchObject({ attempt: 2, subStepsDone: 0, checkpoint: '' });
  });

  it('takes many sub-steps back a bounded number at a time', () => {
    const ward = new Ward();
    ward.begin('A');
    const subSteps = Array.from({ length: 300 }, (_, i) => ({ id: `s${i}`, result: 'x' }));
    ward.report({ subSteps, vectorClock: [['a', 1]] });
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync', false);
    ward.step('sel_compensate');
    expect(ward.step('snapshot_apply')).toMatchObject({ state: 'ROLLBACK', step: 'snapshot_apply' });
    expect(ward.run().subStepsDone).toBe(44);
    expect(ward.step('snapshot_apply').state).toBe('CLEAN_EXIT');
    expect(ward.machine.rows.rival.size).toBe(0);
  });
});

describe('V6: a compensator that does not work', () => {
  it('is tried as often as the policy says, with a bounded back-off, then the recovery is blocked and people are told', () => {
    const ward = STANDING.ROLLBACK();
    for (const tries of [1, 2, 3, 4]) {
      ward.settle({ nextTryAtMs: 9_999_999_999 as never });
      expect(ward.recovery()).toMatchObject({ state: 'ROLLBACK', tries, lastError: 'down' });
      expect(ward.recovery().nextTryAtMs).toBe(ward.timeMs + 15 * 60_000);
    }
    expect(ward.settle().state).toBe('BLOCKED_COMPENSATOR');
    expect(ward.recovery()).toMatchObject({ tries: 5, seq: 1, blockedUntilMs: ward.timeMs + BLOCKED_MS });
    expect(
      ward.events.filter(({ kind }) => kind === 'alert.raised').map(({ outcome }) => outcome.split(' ')[0]),
    ).toEqual(['sel_compensator_failed']);
    expect(ward.machine.nextTimerMs()).toBe(ward.timeMs + BLOCKED_MS);
  });

  it('after T_blocked the run is HARD_FAILED and the next round begins; healed, a resume ends in CLEAN_EXIT', () => {
    const ward = new Ward({}, ['A']);
    ward.put('doc', 'before', 0, false);
    ward.begin('A');
    ward.effect('e1');
    ward.put('doc', 'inside', 1);
    ward.interrupt();
    ward.start();
    ward.step('wal_fsync', false);
    ward.settle({ circuitOpen: true });
    ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + BLOCKED_MS - 1 });
    expect(ward.run().state).toBe('FAILED_PARTIAL');
    ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + 1 });
    expect(ward.run().state).toBe('HARD_FAILED');
    expect(ward.events.slice(-3).map(({ kind }) => kind)).toEqual([
      'phase_recovery.finished',
      'alert.raised',
      'phase_ready',
    ]);
    expect(ward.begin('A', { g: 2 }).attempt).toBe(1);
    expect(ward.override('resume')).toBeNull();
    expect(ward.recovery()).toMatchObject({ state: 'ROLLBACK', seq: 1, tries: 0, result: '' });
    ward.settle({ done: true });
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    expect(ward.recovery()).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK' });
    expect(ward.run().state).toBe('HARD_FAILED');
    expect(ward.machine.rows.document.get('loop doc')?.content).toBe('before');
  });

  it('the timer goes with the state, on every way out', () => {
    for (const action of ['resume', 'abort'] as const) {
      const ward = STANDING.BLOCKED_COMPENSATOR();
      ward.override(action);
      const timers = ward.machine.nextTimerMs();
      expect(timers === null || timers < ward.timeMs + BLOCKED_MS).toBe(true);
      const { state } = ward.recovery();
      ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + 2 * BLOCKED_MS });
      expect(ward.recovery().state).toBe(state);
    }
  });
});

describe('V5: automatic attempts', () => {
  it('two, then a supervisor: nothing but an override starts the third', () => {
    const ward = new Ward();
    for (const attempt of [1, 2]) {
      ward.broken();
      expect(ward.recovery()).toMatchObject({ attempt, waiting: '' });
      ward.start();
      ward.step('wal_fsync', false);
      ward.step('sel_compensate');
      ward.step('snapshot_apply');
    }
    ward.broken();
    expect(ward.recovery()).toMatchObject({ state: 'INTERRUPTED', waiting: 'AUTO_ATTEMPTS' });
    expect(openRecoveries(ward.machine, null, 10).rows).toEqual([]);
    expect(ward.rejected(ward.startBody())).toMatchObject({
      reason: 'RECOVERY_STATE',
      details: { waiting: 'AUTO_ATTEMPTS' },
    });
    const alert = ward.machine.rows.alert.range('', '~', 10).map(([, row]) => row);
    expect(alert).toMatchObject([{ name: 'recovery_waits', state: 'PENDING' }]);
    expect(alert[0]?.text).toContain('after 2 automatic recoveries, 0 spent on 0 effects');
    expect(ward.override('resume')).toBeNull();
    expect(ward.recovery()).toMatchObject({ state: 'RECONCILE', waiting: '' });
  });

  it('none at all when the policy says so', () => {
    const ward = new Ward();
    ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'autoAttemptsMax', value: 0 }] });
    ward.begin('A');
    expect(ward.done('phaseInterrupted', ward.interruptBody()).waiting).toBe(true);
  });
});
