/** What the tests of detection and recovery share: a loop at feature level 3, and short ways to break its phases and mend them. */

import type { ReplicatedMachine } from '../../src/machine/api.ts';
import type { InterruptCause } from '../../src/machine/detection/types.ts';
import { sha256Hex } from '../../src/machine/document/snapshot.ts';
import { hashRow, StateHash } from '../../src/machine/hash.ts';
import { TOTAL_HASH_KEY, TOTAL_TABLE } from '../../src/machine/loader.ts';
import { startLoading } from '../../src/machine/machine.ts';
import type { OverrideAction } from '../../src/machine/override/types.ts';
import type { RecoveryState, RecoveryStep } from '../../src/machine/recovery/transitions.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { recoveryOf } from '../../src/machine/recovery/view.ts';
import type { RunRow } from '../../src/machine/rows.ts';
import type { MachineLimits } from '../../src/machine/state.ts';
import { Tables } from '../../src/machine/tables.ts';
import type { CommandBody, CommandValue, Rejection } from '../../src/machine/types.ts';
import { must } from '../../src/types/assert.ts';
import { at, Bench, type Given, Mirror, progressBody, ref, token } from './kit.ts';

type Body<K extends CommandBody['kind']> = Extract<CommandBody, { kind: K }>;
type Advanced = Extract<CommandValue, { kind: 'recoveryAdvanced' }>;

export class Ward extends Bench {
  readonly #mirror = new Mirror();

  constructor(some: Partial<MachineLimits> = {}, phases: readonly string[] = ['A', 'B']) {
    super(some);
    for (const level of [2, 3]) this.done('featureLevelSet', { kind: 'setFeatureLevel', level, pinned: false });
    this.registerPlan('p', ...phases);
    this.createLoop('loop', 'p');
  }

  run(phase = 'A', g = 1): RunRow {
    return must(this.machine.run('loop', g, phase), 'a run');
  }

  recovery(phase = 'A', g = 1): RecoveryRow {
    return must(recoveryOf(this.machine, ref(phase, g)), 'a recovery');
  }

  interruptBody(cause: InterruptCause = 'OPERATOR', phase = 'A', g = 1): Body<'interruptPhase'> {
    const { attempt } = this.run(phase, g);
    return {
      kind: 'interruptPhase',
      ref: ref(phase, g),
      attempt,
      cause,
      detail: 'why',
      faultAtMs: at(this.timeMs - 5),
    };
  }

  interrupt(cause: InterruptCause = 'OPERATOR', phase = 'A', g = 1): RecoveryRow {
    this.done('phaseInterrupted', this.interruptBody(cause, phase, g));
    return this.recovery(phase, g);
  }

  /** Begins the phase and interrupts it. */
  broken(phase = 'A', g = 1, given: Given = {}): RecoveryRow {
    this.begin(phase, { g, ...given });
    return this.interrupt('OPERATOR', phase, g);
  }

  startBody(phase = 'A', g = 1): Body<'startRecovery'> {
    return { kind: 'startRecovery', ref: ref(phase, g), token: this.recovery(phase, g).token };
  }

  takeOverBody(phase = 'A', g = 1): Body<'takeOverRecovery'> {
    return { kind: 'takeOverRecovery', ref: ref(phase, g), token: this.recovery(phase, g).token };
  }

  stepBody(step: RecoveryStep, ok = true, phase = 'A', g = 1): Body<'completeStep'> {
    const fence = this.recovery(phase, g).token;
    return { kind: 'completeStep', ref: ref(phase, g), token: fence, step, ok, detail: 'seen' };
  }

  settleBody(more: Partial<Body<'settleCompensation'>> = {}, phase = 'A', g = 1): Body<'settleCompensation'> {
    const { token: fence, seq } = this.recovery(phase, g);
    const failed = { done: false, error: 'down', nextTryAtMs: at(this.timeMs + 10), circuitOpen: false };
    return { kind: 'settleCompensation', ref: ref(phase, g), token: fence, seq: seq || 1, ...failed, ...more };
  }

  start(phase = 'A', g = 1): Advanced {
    return this.done('recoveryAdvanced', this.startBody(phase, g));
  }

  step(step: RecoveryStep, ok = true, phase = 'A', g = 1): Advanced {
    return this.done('recoveryAdvanced', this.stepBody(step, ok, phase, g));
  }

  settle(more: Partial<Body<'settleCompensation'>> = {}, phase = 'A', g = 1): Advanced {
    return this.done('recoveryAdvanced', this.settleBody(more, phase, g));
  }

  /** Records an effect of the running attempt, and confirms it unless told otherwise. */
  effect(key: string, confirm = true, phase = 'A', g = 1): void {
    const where = { ref: ref(phase, g), token: token(this.run(phase, g).token), key };
    this.done('intentRecorded', {
      kind: 'recordIntent',
      ...where,
      description: key,
      compensator: { kind: 'http', target: 'http://localhost/undo', payload: key },
      costMicros: '1',
      limitMicros: '500000000',
      resource: '',
      operation: '',
    });
    if (confirm) this.done('effectConfirmed', { kind: 'confirmEffect', ...where, result: 'ok' });
  }

  put(name: string, content: string, expectedVersion: number, inside = true): void {
    this.done('documentPut', {
      kind: 'putDocument',
      loop: 'loop',
      name,
      expectedVersion,
      content,
      sha256: sha256Hex(content),
      schema: null,
      causalFields: null,
      causalChanged: [],
      ref: inside ? ref('A') : null,
      token: inside ? token(this.run().token) : 0,
      vectorClock: [],
    });
  }

  report(more: Partial<Body<'reportProgress'>>, phase = 'A'): Extract<CommandValue, { kind: 'progressReported' }> {
    return this.done('progressReported', progressBody(phase, this.run(phase).token, more));
  }

  /** An override of the recovery's trace, signed by the one supervisor of the roster; null: carried out. */
  override(action: OverrideAction, phase = 'A', g = 1): Rejection | null {
    const publicKey = 'a'.repeat(64);
    const signed = { expiresAtMs: at(this.timeMs + 60_000), signatures: [] };
    if (this.machine.rows.supervisor.size === 0) {
      const changes = [{ name: 'sue', publicKey }];
      this.done('supervisorsChanged', {
        kind: 'changeSupervisors',
        changes,
        signaturesNeeded: null,
        ...signed,
        nonce: this.#nonce(),
      });
    }
    const signatures = [{ supervisor: 'sue', publicKey, signature: 'b'.repeat(128) }];
    const target = this.recovery(phase, g).traceId;
    const { result } = this.apply({ kind: 'override', target, action, ...signed, signatures, nonce: this.#nonce() });
    return result === null || result.ok ? null : result.rejection;
  }

  /** Goes on from the stored rows, with the recovery row changed by a fault that the state hash does not show. */
  damage(change: (row: RecoveryRow) => RecoveryRow): void {
    const { machine } = this;
    this.#mirror.take(machine);
    const hash = new StateHash();
    const { recovery } = new Tables().domain;
    const rows = [...this.#mirror.rows.values()].map((row) =>
      row.table === 'recovery' ? { ...row, value: recovery.encode(change(recovery.decode(row.value))) } : row,
    );
    for (const { table, key, value } of rows) if (table !== TOTAL_TABLE) hash.add(hashRow(table, key, value));
    for (const row of rows) this.#mirror.rows.set(`${row.table}\n${row.key}`, row);
    const loader = startLoading();
    loader.add(rows.map((row) => (row.key === TOTAL_HASH_KEY ? { ...row, value: hash.toHex() } : row)));
    (this as { machine: ReplicatedMachine }).machine = loader.finish(machine.appliedIndex);
  }

  #nonce(): string {
    return String(this.machine.appliedIndex).padStart(32, '0');
  }
}

export const BLOCKED_MS = 60 * 60_000;

/** A ward whose phase A stands in the state, with one effect to compensate where that matters. */
export const STANDING: { readonly [State in RecoveryState]: () => Ward } = {
  INTERRUPTED: () => {
    const ward = new Ward();
    ward.begin('A');
    ward.effect('e1');
    ward.interrupt();
    return ward;
  },
  RECONCILE: () => {
    const ward = STANDING.INTERRUPTED();
    ward.start();
    return ward;
  },
  ROLLBACK: () => {
    const ward = STANDING.RECONCILE();
    ward.step('wal_fsync', false);
    return ward;
  },
  BLOCKED_COMPENSATOR: () => {
    const ward = STANDING.ROLLBACK();
    ward.settle({ circuitOpen: true });
    return ward;
  },
  HARD_FAILED: () => {
    const ward = STANDING.BLOCKED_COMPENSATOR();
    ward.done('timeAdvanced', { kind: 'advanceTime' }, { timeMs: ward.timeMs + BLOCKED_MS });
    return ward;
  },
  CLEAN_EXIT: () => {
    const ward = STANDING.ROLLBACK();
    ward.settle({ done: true });
    ward.step('sel_compensate');
    ward.step('snapshot_apply');
    return ward;
  },
};

/** A run whose work is all done: RECONCILE rolls it forward. */
export function complete(): Ward {
  const ward = new Ward();
  ward.begin('A');
  ward.effect('e1');
  ward.report({
    completed: 2,
    total: 2,
    subSteps: [
      { id: 's1', result: 'x' },
      { id: 's2', result: 'y' },
    ],
  });
  ward.interrupt();
  ward.start();
  return ward;
}
