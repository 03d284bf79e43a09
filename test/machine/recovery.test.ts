import { describe, expect, it } from 'vitest';
import { ARCS, type ArcOf, type RecoveryState, STEPS } from '../../src/machine/recovery/transitions.ts';
import { lockOf, openRecoveries } from '../../src/machine/recovery/view.ts';
import type { CommandBody, MachineEvent, RejectReason } from '../../src/machine/types.ts';
import { Bench, beginBody, commitBody, progressBody } from './kit.ts';
import { BLOCKED_MS, complete, STANDING, Ward } from './recovery-kit.ts';

const moved = (ward: Ward, events = ward.events): readonly string[] =>
  events
    .filter(({ kind, outcome }: MachineEvent) => kind.startsWith('phase_recovery.') && outcome.includes('>'))
    .map(({ kind, outcome }) => `${kind.replace('phase_recovery.', '')} ${outcome}`);

/** What takes the recovery along each arc, and the event that says so. Does not compile while an arc is missing. */
const WALKS: {
  readonly [State in RecoveryState]: { readonly [Arc in ArcOf<State>]: [(ward: Ward) => unknown, string] };
} = {
  INTERRUPTED: {
    start: [(ward) => ward.start(), 'reconcile INTERRUPTED>RECONCILE OPERATOR'],
    forceRollback: [(ward) => ward.override('force-rollback'), 'rollback INTERRUPTED>ROLLBACK OPERATOR'],
    giveUp: [(ward) => ward.override('abort'), 'finished INTERRUPTED>HARD_FAILED OPERATOR'],
  },
  RECONCILE: {
    rolledForward: [
      (ward) => {
        ward.step('wal_fsync');
        ward.step('checkpoint_flush');
        ward.step('vc_merge');
      },
      'finished RECONCILE>CLEAN_EXIT vc_merge',
    ],
    mismatch: [(ward) => ward.step('wal_fsync', false), 'rollback RECONCILE>ROLLBACK wal_fsync'],
    forceRollback: [(ward) => ward.override('force-rollback'), 'rollback RECONCILE>ROLLBACK wal_fsync'],
  },
  ROLLBACK: {
    rolledBack: [
      (ward) => {
        ward.settle({ done: true });
        ward.step('sel_compensate');
        ward.step('snapshot_apply');
      },
      'finished ROLLBACK>CLEAN_EXIT snapshot_apply',
    ],
    exhausted: [(ward) => ward.settle({ circuitOpen: true }), 'blocked ROLLBACK>BLOCKED_COMPENSATOR sel_compensate'],
  },
  BLOCKED_COMPENSATOR: {
    timedOut: [
      (ward) => ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + BLOCKED_MS }),
      'finished BLOCKED_COMPENSATOR>HARD_FAILED',
    ],
    giveUp: [(ward) => ward.override('abort'), 'finished BLOCKED_COMPENSATOR>HARD_FAILED'],
    resume: [(ward) => ward.override('resume'), 'rollback BLOCKED_COMPENSATOR>ROLLBACK'],
  },
  HARD_FAILED: { resume: [(ward) => ward.override('resume'), 'rollback HARD_FAILED>ROLLBACK'] },
  CLEAN_EXIT: {},
};

const arcs = Object.entries(ARCS).flatMap(([from, out]) =>
  Object.entries(out).map(([arc, to]) => [from, arc, to] as const),
);

describe('V1: every arc of the table', () => {
  it.each(arcs)('%s: %s leads to %s, with its event, its lock and its run', (from, arc, to) => {
    const ward = arc === 'rolledForward' ? complete() : STANDING[from as RecoveryState]();
    const before = ward.recovery();
    expect(before.state).toBe(from);
    const [walk, event] =
      (WALKS[from as RecoveryState] as Record<string, [(ward: Ward) => unknown, string]>)[arc] ?? [];
    const seen = ward.events.length;
    walk?.(ward);
    const now = ward.recovery();
    expect(now.state).toBe(to);
    expect(moved(ward, ward.events.slice(seen))).toEqual([event]);
    const active = to === 'RECONCILE' || to === 'ROLLBACK';
    expect(now.token % 2).toBe(active ? 1 : 0);
    expect(now.token).toBeGreaterThanOrEqual(before.token);
    expect(lockOf(ward.machine, 'loop', 'A')).toBe(now.token);
    const wasActive = from === 'RECONCILE' || from === 'ROLLBACK';
    expect(now.token > before.token).toBe(active !== wasActive);
    const runs = { CLEAN_EXIT: arc === 'rolledForward' ? 'CLEAN_EXIT' : 'ABORTED', HARD_FAILED: 'HARD_FAILED' };
    const gaveUp = from === 'HARD_FAILED' ? 'HARD_FAILED' : 'FAILED_PARTIAL';
    expect(ward.run().state).toBe((runs as Record<string, string>)[to] ?? gaveUp);
    expect(openRecoveries(ward.machine, null, 10).rows.map((open) => open.active)).toEqual(active ? [true] : []);
    expect(now.finishedAtMs === 0).toBe(to !== 'CLEAN_EXIT' && to !== 'HARD_FAILED');
    expect(now.blockedUntilMs === 0).toBe(to !== 'BLOCKED_COMPENSATOR');
  });

  it('no other command moves a recovery, whatever it stands at', () => {
    const words: readonly [string, (ward: Ward) => CommandBody][] = [
      ['start', (ward) => ward.startBody()],
      ['takeOver', (ward) => ward.takeOverBody()],
      ...[...STEPS.RECONCILE, ...STEPS.ROLLBACK].flatMap((step): [string, (ward: Ward) => CommandBody][] => [
        [step, (ward) => ward.stepBody(step)],
        [`${step} mismatch`, (ward) => ward.stepBody(step, false)],
      ]),
      ['settle', (ward) => ward.settleBody()],
    ];
    const may: Record<RecoveryState, readonly string[]> = {
      INTERRUPTED: ['start'],
      RECONCILE: ['takeOver', 'wal_fsync', 'wal_fsync mismatch'],
      ROLLBACK: ['takeOver', 'settle'],
      BLOCKED_COMPENSATOR: [],
      HARD_FAILED: [],
      CLEAN_EXIT: [],
    };
    for (const state of Object.keys(ARCS) as RecoveryState[]) {
      for (const [name, body] of words) {
        const ward = STANDING[state]();
        const before = ward.recovery();
        if (may[state].includes(name)) {
          ward.done('recoveryAdvanced', body(ward));
          continue;
        }
        expect(ward.rejected(body(ward)).reason, `${state} ${name}`).toBe('RECOVERY_STATE');
        expect(ward.recovery()).toEqual(before);
      }
      const actions = { resume: ['INTERRUPTED', 'BLOCKED_COMPENSATOR', 'HARD_FAILED'] as readonly string[] };
      const allowed: Record<string, readonly string[]> = {
        ...actions,
        abort: ['INTERRUPTED', 'BLOCKED_COMPENSATOR'],
        'force-rollback': ['INTERRUPTED', 'RECONCILE'],
      };
      for (const action of ['resume', 'abort', 'force-rollback'] as const) {
        const refused = STANDING[state]().override(action);
        expect(refused?.reason, `${state} ${action}`).toBe(
          allowed[action]?.includes(state) ? undefined : 'RECOVERY_STATE',
        );
      }
    }
  });

  it('an arc that is not in the table does not compile', () => {
    const table: Record<string, object> = ARCS;
    for (const [from, arc, to] of arcs) {
      expect(Object.keys(table)).toContain(to);
      expect(from === to, arc).toBe(false);
    }
    expect(arcs).toHaveLength(12);
  });
});

describe('D6: an interrupted run', () => {
  it('belongs to nobody until its recovery has decided', () => {
    const ward = new Ward();
    const { token: fence } = ward.begin('A');
    ward.interrupt();
    expect(ward.run().state).toBe('FAILED_PARTIAL');
    expect(ward.machine.attempts('loop', 1, 'A').map(({ state }) => state)).toEqual(['FAILED_PARTIAL']);
    const refused: readonly [CommandBody, RejectReason][] = [
      [beginBody('A'), 'PHASE_INTERRUPTED'],
      [beginBody('A', { supersede: 1 }), 'PHASE_INTERRUPTED'],
      [beginBody('B'), 'PHASE_OUT_OF_ORDER'],
      [commitBody('A', fence), 'PHASE_INTERRUPTED'],
      [progressBody('A', fence), 'PHASE_INTERRUPTED'],
      [commitBody('A', fence + 1), 'STALE_FENCE'],
      [ward.interruptBody(), 'PHASE_INTERRUPTED'],
    ];
    for (const [body, reason] of refused) expect(ward.rejected(body).reason).toBe(reason);
  });

  it.each([
    ['attempt', 0, 'INVALID_ARGUMENT'],
    ['attempt', 2, 'ATTEMPT_MISMATCH'],
    ['cause', 'BOREDOM', 'INVALID_ARGUMENT'],
    ['detail', 'x'.repeat(5_000), 'INVALID_ARGUMENT'],
    ['faultAtMs', -1, 'INVALID_ARGUMENT'],
    ['ref', { loop: 'nope', g: 1, phase: 'A' }, 'LOOP_NOT_FOUND'],
    ['ref', { loop: 'loop', g: 2, phase: 'A' }, 'BARRIER_CLOSED'],
    ['cause', 'TIMEOUT', 'PHASE_RUNNING'],
    ['cause', 'SLA', 'PHASE_RUNNING'],
    ['cause', 'PARTIAL_COMMIT', 'PHASE_RUNNING'],
  ])('refuses %s %s with %s', (field, value, reason) => {
    const ward = new Ward();
    ward.begin('A');
    expect(ward.rejected({ ...ward.interruptBody(), [field]: value } as CommandBody).reason).toBe(reason);
  });

  it('is not interrupted when it does not run', () => {
    const ward = new Ward();
    expect(ward.rejected({ ...ward.interruptBody(), attempt: 1 }).reason).toBe('ATTEMPT_MISMATCH');
    const { token: fence } = ward.begin('A');
    ward.commit('A', fence);
    expect(ward.rejected(ward.interruptBody()).reason).toBe('PHASE_FINAL');
  });

  it('nothing of it is there below feature level 3', () => {
    const ward = new Ward();
    ward.broken();
    const bodies: readonly CommandBody[] = [
      ward.interruptBody(),
      ward.startBody(),
      ward.takeOverBody(),
      ward.stepBody('wal_fsync'),
      ward.settleBody(),
    ];
    for (const body of bodies) expect(new Bench().rejected(body).reason).toBe('FEATURE_LEVEL_TOO_LOW');
  });
});
