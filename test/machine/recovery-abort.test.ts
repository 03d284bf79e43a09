/** Nothing stays half done: what becomes of a run whose attempt commits or aborts while effects are open. */
import { describe, expect, it } from 'vitest';
import { abortBody, beginBody, commitBody, ref, token } from './kit.ts';
import { BLOCKED_MS, Ward } from './recovery-kit.ts';

function withEffects(...confirmed: readonly boolean[]): Ward {
  const ward = new Ward({}, ['A', 'B']);
  ward.begin('A');
  for (const [i, one] of confirmed.entries()) ward.effect(`e${i + 1}`, one);
  return ward;
}

const fence = (ward: Ward): number => ward.run().token;

function undo(ward: Ward): void {
  while (ward.recovery().seq > 0) ward.settle({ done: true });
  ward.step('sel_compensate');
  ward.step('snapshot_apply');
}

describe('a commit', () => {
  it('is refused while an effect is open, with its keys; confirmed or withdrawn, it is taken', () => {
    const ward = withEffects(true, false, false);
    const refused = ward.rejected(commitBody('A', fence(ward)));
    expect(refused).toMatchObject({ reason: 'EFFECTS_OPEN', details: { keys: '["e2","e3"]', open: '2' } });
    expect(ward.run().state).toBe('RUNNING');
    const where = { ref: ref('A'), token: token(fence(ward)) };
    ward.done('effectConfirmed', { kind: 'confirmEffect', ...where, key: 'e2', result: '' });
    ward.done('effectWithdrawn', { kind: 'withdrawEffect', ...where, key: 'e3', reason: '' });
    ward.commit('A', fence(ward));
    expect(ward.run().state).toBe('CLEAN_EXIT');
  });

  it('names ten keys at most, and says how many there are', () => {
    const ward = withEffects(...Array.from({ length: 12 }, () => false));
    const { details } = ward.rejected(commitBody('A', fence(ward)));
    expect(JSON.parse(details.keys ?? '')).toHaveLength(10);
    expect(details.open).toBe('12');
  });

  it('of the next attempt is held up by the intent of the one before', () => {
    const ward = withEffects(false);
    const next = ward.done('phaseBegun', beginBody('A', { supersede: 1 }));
    expect(ward.rejected(commitBody('A', next.token)).reason).toBe('EFFECTS_OPEN');
  });
});

describe('an abort', () => {
  it('that leaves nothing behind ends the run at once, and keeps what was reported', () => {
    const ward = withEffects();
    ward.put('doc', 'inside', 0);
    ward.report({ completed: 1, total: 2, subSteps: [{ id: 's', result: '' }] });
    ward.done('phaseAborted', abortBody('A', fence(ward), false));
    expect(ward.run()).toMatchObject({ state: 'ABORTED', subStepsDone: 1 });
    expect(ward.machine.rows.recovery.size).toBe(0);
  });

  it.each([
    ['confirmed', true],
    ['announced', false],
  ])(
    'that leaves an effect behind that was %s is undone without looking at the work; the run may be begun again',
    (_, confirm) => {
      const ward = withEffects(true, confirm);
      ward.put('doc', 'inside', 0);
      ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result: '' }] });
      const answer = ward.done('phaseRollingBack', abortBody('A', fence(ward), false));
      expect(answer.nextG).toBe(1);
      expect(ward.run()).toMatchObject({ state: 'FAILED_PARTIAL', abortReason: 'why' });
      expect(ward.recovery()).toMatchObject({ state: 'INTERRUPTED', cause: 'ABORTED', waiting: '' });
      expect(ward.rejected(beginBody('A')).reason).toBe('PHASE_INTERRUPTED');
      expect(ward.start()).toMatchObject({ state: 'ROLLBACK', step: 'sel_compensate' });
      undo(ward);
      expect(ward.run()).toMatchObject({ state: 'ABORTED', abortReason: 'why', subStepsDone: 0 });
      expect(ward.machine.rows.document.get('loop doc')?.deleted).toBe(true);
      expect(ward.begin('A').attempt).toBe(2);
    },
  );

  it('with an effect that was withdrawn leaves nothing behind', () => {
    const ward = withEffects(false);
    const where = { ref: ref('A'), token: token(fence(ward)), key: 'e1' };
    ward.done('effectWithdrawn', { kind: 'withdrawEffect', ...where, reason: '' });
    ward.done('phaseAborted', abortBody('A', fence(ward), true));
    expect(ward.run().state).toBe('HARD_FAILED');
  });

  it.each([
    ['an effect', (ward: Ward) => ward.effect('e1')],
    ['a document', (ward: Ward) => ward.put('doc', 'inside', 0)],
  ])('for good that leaves %s behind is undone first: then the run is HARD_FAILED, and the loop goes on', (_, act) => {
    const ward = withEffects();
    act(ward);
    ward.done('phaseRollingBack', abortBody('A', fence(ward), true));
    expect(ward.rejected(beginBody('B')).reason).toBe('PHASE_OUT_OF_ORDER');
    ward.start();
    undo(ward);
    expect(ward.run()).toMatchObject({ state: 'HARD_FAILED', abortReason: 'why' });
    expect(ward.recovery()).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK', cause: 'GIVEN_UP' });
    expect(ward.rejected(beginBody('A')).reason).toBe('PHASE_FINAL');
    ward.begin('B');
  });

  it('for good of the last phase opens the next round only when it is undone', () => {
    const ward = new Ward({}, ['A']);
    ward.begin('A');
    ward.effect('e1');
    ward.done('phaseRollingBack', abortBody('A', fence(ward), true));
    ward.start();
    expect(ward.machine.loop('loop')?.g).toBe(1);
    undo(ward);
    expect(ward.machine.loop('loop')?.g).toBe(2);
  });

  it('whose compensator fails is blocked, and failed after T_blocked, like any other', () => {
    const ward = withEffects(true);
    ward.done('phaseRollingBack', abortBody('A', fence(ward), true));
    ward.start();
    ward.settle({ circuitOpen: true });
    ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + BLOCKED_MS });
    expect(ward.run().state).toBe('HARD_FAILED');
    expect(ward.recovery().state).toBe('HARD_FAILED');
  });

  it('is not given up by time while automation is paused', () => {
    const ward = withEffects(true);
    ward.done('phaseRollingBack', abortBody('A', fence(ward), true));
    ward.start();
    ward.settle({ circuitOpen: true });
    const pause = (value: number) =>
      ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'automationPaused', value }] });
    pause(1);
    const wait = (ms: number) => ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + ms });
    wait(3 * BLOCKED_MS);
    expect(ward.recovery()).toMatchObject({ state: 'BLOCKED_COMPENSATOR', blockedUntilMs: ward.timeMs + BLOCKED_MS });
    pause(0);
    wait(BLOCKED_MS);
    expect(ward.recovery().state).toBe('HARD_FAILED');
  });

  it('counts as an automatic recovery (V5): the third one waits, and resumed by a supervisor it is undone', () => {
    const ward = new Ward();
    for (const round of [1, 2]) {
      ward.begin('A');
      ward.effect(`e${round}`);
      ward.done('phaseRollingBack', abortBody('A', fence(ward), false));
      ward.start();
      undo(ward);
    }
    ward.begin('A');
    ward.effect('e3');
    ward.done('phaseRollingBack', abortBody('A', fence(ward), false));
    expect(ward.recovery()).toMatchObject({ state: 'INTERRUPTED', waiting: 'AUTO_ATTEMPTS' });
    ward.override('resume');
    expect(ward.recovery().state).toBe('ROLLBACK');
  });

  it('says what was aborted, and why, in the issue and in the events', () => {
    const ward = withEffects(true);
    ward.done('phaseRollingBack', abortBody('A', fence(ward), true));
    const issue = ward.machine.rows.issue.range('', '~', 10)[0]?.[1];
    expect(issue?.seen).toEqual(['attempt 1 was interrupted: GIVEN_UP: why']);
    const outcomes = ward.events.slice(-3).map(({ kind, outcome }) => `${kind} ${outcome}`);
    expect(outcomes).toEqual([
      'phase_transition.finished FAILED_PARTIAL',
      expect.stringContaining('issue.opened RECOVERY'),
      'phase_recovery.interrupted RUNNING>INTERRUPTED GIVEN_UP',
    ]);
  });

  it('is no cause that a caller may give to interruptPhase', () => {
    const ward = withEffects();
    const body = { ...ward.interruptBody(), cause: 'GIVEN_UP' as never };
    expect(ward.rejected(body).reason).toBe('INVALID_ARGUMENT');
  });
});
