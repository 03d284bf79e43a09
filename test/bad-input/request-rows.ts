/** The table of requests that are refused before anything is asked of the cluster: what is sent, and what is said. */
import * as limits from '../../src/types/limits.ts';
import { DOCUMENT_ROWS, documentBases } from './document-rows.ts';
import { clock, consistency, header, label, name, numbers, page, ref, text, token } from './field-rows.ts';
import { changesOfEachKind, memberChanges, memberName, type Row } from './member-rows.ts';
import { OVERRIDE_ROWS, overrideBases } from './override-rows.ts';
import { participants, RECOVERY_ROWS, recoveryBases } from './recovery-rows.ts';

/** What the base requests need to be accepted. */
export interface Prepared {
  readonly session: bigint;
  readonly token: bigint;
  /** The next request number of the session. */
  sequence(): bigint;
}

/** A request of each method that is in order; rows replace one field of it. All of them are of loop `bad-input`. */
export function baseRequest(method: string, prepared: Prepared): object {
  const sequence = prepared.sequence();
  const names = { caller: 'table', traceId: 'trace' };
  const header = { sessionId: prepared.session, sequence, ackedThrough: sequence - 1n, ...names };
  const ref = { loop: 'bad-input', g: 1n, phase: 'ANALYZE' };
  const vectorClock = { entries: [{ node: 'n', counter: 1n }] };
  const page = { pageSize: 1, pageToken: '', consistency: 1 };
  const fencingToken = prepared.token;
  const bases: Readonly<Record<string, object>> = {
    RegisterPlan: { header, plan: { name: 'two', phases: [{ name: 'A', priorMs: 1n, slaMs: 0n }] } },
    ListPlans: page,
    CreateLoop: { header, loop: 'other', plan: '' },
    ListLoops: page,
    GetLoop: { loop: ref.loop, consistency: 1 },
    BeginPhase: { header, ref, supersedeAttempt: 1n, vectorClock, participants: ['table', 'other'] },
    ReportProgress: {
      header,
      ref,
      fencingToken,
      completed: 1n,
      total: 2n,
      note: 'n',
      subSteps: [{ id: 's', result: 'r' }],
      checkpoint: 'c',
      checkpointCrc: 0,
      vectorClock,
      participant: 'table',
    },
    CommitPhase: { header, ref, fencingToken, result: 'r', vectorClock },
    AbortPhase: { header, ref, fencingToken, reason: 'r', hardFail: false, vectorClock },
    GetPhaseRun: { ref, consistency: 1 },
    ListSubSteps: { ref, ...page },
    // One that expired while the rest is sent would be an entry of the log.
    OpenSession: { header, ttlMs: BigInt(limits.SESSION_TTL_MAX_MS) },
    KeepAlive: { header },
    CloseSession: { header },
    Watch: { fromRevision: 1n, loop: ref.loop },
    GetStatus: {},
    ListMembers: { consistency: 1 },
    ChangeMembers: { header, changes: changesOfEachKind(), force: false },
    TransferLeadership: { to: 'm1' },
    Backup: {},
    GetFeatureLevel: { consistency: 1 },
    SetFeatureLevel: { header, level: 3, pinned: true },
    ...recoveryBases({ header, ref, fencingToken, page }),
    ...documentBases({ header, ref, fencingToken, vectorClock, page }),
    ...overrideBases({ header }),
  };
  const base = bases[method];
  if (base === undefined) throw new Error(`no base request for ${method}: add one, and rows for its fields`);
  return base;
}

export interface RequestRow extends Row {
  readonly method: string;
}

function planRows(): Row[] {
  const phases = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      $typeName: 'quorate.v1.PlanPhase',
      name: `P${i}`,
      priorMs: 1n,
      slaMs: 0n,
    }));
  const max = BigInt(limits.PHASE_DURATION_MAX_MS);
  const count = { field: 'plan.phases', says: new RegExp(`send 1 to ${limits.PLAN_PHASES_MAX}`) };
  return [
    { name: 'plan missing', field: 'plan', set: { plan: undefined }, says: /send a plan with a name and phases/ },
    ...name('plan.name'),
    { name: 'no phases', set: { 'plan.phases': [] }, ...count },
    { name: 'too many phases', set: { 'plan.phases': phases(limits.PLAN_PHASES_MAX + 1) }, ...count },
    ...name('plan.phases[0].name'),
    ...numbers('plan.phases[0].prior_ms', 1n, max),
    ...numbers('plan.phases[0].sla_ms', 0n, max),
  ];
}

function subSteps(): Row[] {
  const steps = Array.from({ length: limits.SUB_STEPS_PER_REPORT_MAX + 1 }, (_, i) => {
    return { $typeName: 'quorate.v1.SubStepReport', id: String(i), result: '' };
  });
  const id = 'sub_steps[0].id';
  return [
    { name: 'too many sub-steps', field: 'sub_steps', set: { sub_steps: steps }, says: /send at most 1000/ },
    { name: 'a sub-step without an id', field: id, set: { [id]: '' }, says: /send 1 to 1024 characters/ },
    ...text(id, limits.SUB_STEP_ID_LENGTH_MAX),
    ...text('sub_steps[0].result', limits.SUB_STEP_RESULT_LENGTH_MAX),
  ];
}

function progressRows(): Row[] {
  const more = {
    name: 'completed above total',
    field: 'completed',
    set: { completed: 3n },
    says: /send a whole number from 0 to 2/,
  };
  return [
    more,
    ...numbers('completed', 0n, 2n),
    ...numbers('total', 0n),
    ...text('note', limits.NOTE_LENGTH_MAX),
    ...subSteps(),
    ...text('checkpoint', limits.CHECKPOINT_LENGTH_MAX),
    {
      name: 'a checksum of no checkpoint',
      field: 'checkpoint_crc',
      set: { checkpoint: undefined },
      says: /send the checkpoint that it is of/,
    },
    ...clock(),
    ...label('participant'),
  ];
}

const ttl = numbers('ttl_ms', BigInt(limits.SESSION_TTL_MIN_MS), BigInt(limits.SESSION_TTL_MAX_MS));

const BY_METHOD: Readonly<Record<string, readonly Row[]>> = {
  RegisterPlan: [...header('optional'), ...planRows()],
  ListPlans: page(),
  CreateLoop: [...header('optional'), ...name('loop'), ...name('plan', 'allowed')],
  ListLoops: page(),
  GetLoop: [...name('loop'), ...consistency()],
  BeginPhase: [...header('optional'), ...ref(), ...numbers('supersede_attempt', 0n), ...clock(), ...participants()],
  ReportProgress: [...header('optional'), ...ref(), ...token, ...progressRows()],
  CommitPhase: [
    ...header('optional'),
    ...ref(),
    ...token,
    ...text('result', limits.PHASE_RESULT_LENGTH_MAX),
    ...clock(),
  ],
  AbortPhase: [
    ...header('optional'),
    ...ref(),
    ...token,
    ...text('reason', limits.ABORT_REASON_LENGTH_MAX),
    ...clock(),
  ],
  GetPhaseRun: [...ref(), ...consistency()],
  ListSubSteps: [...ref(), ...page()],
  OpenSession: [...header('ignored'), ...ttl],
  KeepAlive: header('required'),
  CloseSession: header('required'),
  Watch: [...numbers('from_revision', 0n), ...name('loop', 'allowed')],
  GetStatus: [],
  ListMembers: consistency(),
  ChangeMembers: [...header('optional'), ...memberChanges()],
  TransferLeadership: memberName('to', 'allowed'),
  Backup: [],
  GetFeatureLevel: consistency(),
  SetFeatureLevel: [
    ...header('optional'),
    { name: 'no level', field: 'level', set: { level: 0 }, says: /send a feature level from 1 on/ },
  ],
  ...RECOVERY_ROWS,
  ...DOCUMENT_ROWS,
  ...OVERRIDE_ROWS,
};

export const REQUEST_ROWS: readonly RequestRow[] = Object.entries(BY_METHOD).flatMap(([method, rows]) =>
  rows.map((row) => ({ method, ...row })),
);

/** Every value of these is in order; what may be wrong is only how they are sent, which is tried for every field. */
export const NEVER_OUT_OF_RANGE: readonly string[] = [
  'AbortPhase hard_fail',
  'ChangeMembers changes.add.learner',
  'ChangeMembers force',
  'SetFeatureLevel pinned',
  'ListRecoveries open_only',
  'ListIssues open_only',
  'PermitAsync on',
  // A session is not opened within another one: the header's is not looked at.
  'OpenSession header.session_id',
  'OpenSession header.sequence',
  'OpenSession header.acked_through',
];
