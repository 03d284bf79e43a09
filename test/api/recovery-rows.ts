/** Rows of recoveries as the state has them, and an API whose loop `l` has a phase that runs. */
import type { WatchRow } from '../../src/machine/detection/types.ts';
import type { EffectRow } from '../../src/machine/ledger/types.ts';
import type { RecoveryRow } from '../../src/machine/recovery/types.ts';
import { clusterTimeMs, fencingToken, revision } from '../../src/types/ids.ts';
import { loopRow, runRow, TestApi } from './support.ts';

export const at = clusterTimeMs;
export const ref = { loop: 'l', g: 3n, phase: 'p' };

export async function startApi(): Promise<TestApi> {
  const api = await new TestApi().start();
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
  return api;
}

export function recoveryRow(loop: string, g: number, fields: Partial<RecoveryRow> = {}): RecoveryRow {
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

export function effectRow(seq: number, fields: Partial<EffectRow> = {}): EffectRow {
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

export function watchRow(fields: Partial<WatchRow> = {}): WatchRow {
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
