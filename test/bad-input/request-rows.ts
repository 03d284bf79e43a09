/** The table of requests that are refused before anything is asked of the cluster: what is sent, and what is said. */
import * as limits from '../../src/types/limits.ts';
import { changesOfEachKind, memberChanges, memberName, type Row } from './member-rows.ts';

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
    BeginPhase: { header, ref, supersedeAttempt: 1n, vectorClock },
    ReportProgress: {
      header,
      ref,
      fencingToken,
      completed: 1n,
      total: 2n,
      note: 'n',
      subSteps: [{ id: 's', result: 'r' }],
      checkpoint: 'c',
    },
    CommitPhase: { header, ref, fencingToken, result: 'r', vectorClock },
    AbortPhase: { header, ref, fencingToken, reason: 'r', hardFail: false, vectorClock },
    GetPhaseRun: { ref, consistency: 1 },
    ListSubSteps: { ref, ...page },
    OpenSession: { header, ttlMs: 60_000n },
    KeepAlive: { header },
    CloseSession: { header },
    Watch: { fromRevision: 1n, loop: ref.loop },
    GetStatus: {},
    ListMembers: { consistency: 1 },
    ChangeMembers: { header, changes: changesOfEachKind(), force: false },
    TransferLeadership: { to: 'm1' },
    Backup: {},
    GetFeatureLevel: { consistency: 1 },
    SetFeatureLevel: { header, level: 2, pinned: true },
  };
  const base = bases[method];
  if (base === undefined) throw new Error(`no base request for ${method}: add one, and rows for its fields`);
  return base;
}

export interface RequestRow extends Row {
  readonly method: string;
}

const ABOVE_SAFE = 2n ** 53n;
/** What −1 is on the wire. */
const NEGATIVE = 2n ** 64n - 1n;
const BAD_NAMES: readonly (readonly [string, string])[] = [
  ['too long', 'x'.repeat(limits.NAME_LENGTH_MAX + 1)],
  ['far too long', 'x'.repeat(100_000)],
  ['a space in it', 'a b'],
  ['letters beyond ASCII', 'schlüssel'],
  ['a zero byte', 'a\u0000b'],
  ['a colon', 'a:b'],
];

function numbers(field: string, min: bigint, max: bigint = ABOVE_SAFE - 1n, also: Row['set'] = {}): Row[] {
  const wrong: [string, bigint][] = [
    ['above 2^53 - 1', ABOVE_SAFE],
    ['negative', NEGATIVE],
  ];
  if (min > 0n) wrong.push(['below the minimum', min - 1n]);
  if (max < ABOVE_SAFE - 1n) wrong.push(['above the maximum', max + 1n]);
  const says = new RegExp(`send a whole number from ${min} to ${max}|send at most`);
  return wrong.map(([name, value]) => ({ name: `${field} ${name}`, field, set: { [field]: value, ...also }, says }));
}

function name(field: string, empty: 'allowed' | 'refused' = 'refused'): Row[] {
  const says = /send 1 to 128 (characters|letters, digits, '\.', '_', '-' or '\/')/;
  const rows = BAD_NAMES.map(([what, value]) => ({
    name: `${field} with ${what}`,
    field,
    set: { [field]: value },
    says,
  }));
  return empty === 'allowed' ? rows : [...rows, { name: `${field} empty`, field, set: { [field]: '' }, says }];
}

function text(field: string, lengthMax: number): Row[] {
  const says = new RegExp(`send at most ${lengthMax}|send 1 to ${lengthMax}`);
  return ['x', 'ü'].map((letter) => {
    const set = { [field]: letter.repeat(lengthMax + 1) };
    return { name: `${field} of ${lengthMax + 1} times ${letter}`, field, set, says };
  });
}

function label(field: string): Row[] {
  const says = /send one line of plain text/;
  const controls = ['a\nb', '\u001b[31mred', '\u0000', '\u009b0m'];
  return [
    ...text(field, limits.NAME_LENGTH_MAX),
    ...controls.map((value) => ({ name: `${field} ${JSON.stringify(value)}`, field, set: { [field]: value }, says })),
  ];
}

function header(session: 'optional' | 'required' | 'ignored'): Row[] {
  const labels = [...label('header.caller'), ...label('header.trace_id')];
  if (session === 'ignored') return labels;
  const acked: Row = {
    name: 'header.acked_through not below its own number',
    field: 'header.acked_through',
    set: { 'header.sequence': 5n, 'header.acked_through': 5n },
    says: /send at most 4/,
  };
  const missing: Row = {
    name: 'no session',
    field: 'header.session_id',
    set: { 'header.session_id': 0n },
    says: /send the session_id that OpenSession answered with/,
  };
  const alone: Row = {
    name: 'a number without a session',
    field: 'header.sequence',
    set: { 'header.session_id': 0n },
    says: /send session_id too, or 0 here/,
  };
  return [
    ...labels,
    ...numbers('header.session_id', 0n).map((row) => ({ ...row, says: /send a whole number from 1 to/ })),
    ...numbers('header.sequence', session === 'required' ? 0n : 1n),
    ...numbers('header.acked_through', 0n),
    acked,
    ...(session === 'required' ? [missing, { ...missing, name: 'no header', set: { header: undefined } }] : [alone]),
  ];
}

function ref(): Row[] {
  const missing = {
    name: 'ref missing',
    field: 'ref',
    set: { ref: undefined },
    says: /name the loop, the round and the phase/,
  };
  return [missing, ...name('ref.loop'), ...numbers('ref.g', 1n), ...name('ref.phase')];
}

function clock(): Row[] {
  const entries = 'vector_clock.entries';
  const nodes = (count: number, node: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => ({ $typeName: 'quorate.v1.VectorClockEntry', node: node(i), counter: 1n }));
  const max = limits.VECTOR_CLOCK_ENTRIES_MAX;
  return [
    {
      name: 'too many entries',
      field: entries,
      set: { [entries]: nodes(max + 1, String) },
      says: new RegExp(`send at most ${max}`),
    },
    {
      name: 'a node twice',
      field: entries,
      set: { [entries]: nodes(2, () => 'n') },
      says: /send one entry for each node/,
    },
    {
      name: 'a node without a name',
      field: `${entries}[0].node`,
      set: { [`${entries}[0].node`]: '' },
      says: /send 1 to 128/,
    },
    ...label(`${entries}[0].node`),
    ...numbers(`${entries}[0].counter`, 1n, ABOVE_SAFE - 2n),
  ];
}

function consistency(): Row[] {
  const says = /send 1 \(linearizable\), 2 \(stale\) or 3 \(lease\), or 0 for linearizable/;
  const rows = [4, -1, 2_147_483_647].map((value) => {
    return { name: `consistency ${value}`, field: 'consistency', set: { consistency: value }, says };
  });
  const field = 'max_staleness_ms';
  // A bound beside a promise that is stronger: one of the two is a mistake, and nobody can tell which.
  const beside = [0, 1, 3].map((value) => ({
    name: `a bound with consistency ${value}`,
    field,
    set: { consistency: value, [field]: 1n },
    says: /send it with consistency 2 \(stale\) only/,
  }));
  return [...rows, ...beside, ...numbers(field, 0n, ABOVE_SAFE - 1n, { consistency: 2 }).map(fromOne)];
}

/** 0 is no bound; of those that are given, the least is 1. */
function fromOne(row: Row): Row {
  return { ...row, says: /send a whole number from 1 to/ };
}

function page(): Row[] {
  const sizes = [limits.PAGE_SIZE_MAX + 1, 2 ** 32 - 1].map((size) => {
    return {
      name: `page_size ${size}`,
      field: 'page_size',
      set: { page_size: size },
      says: /send 1 to 1000, or 0 for 100/,
    };
  });
  const tokens = ['not ours!', 'Zg==', 'Zh', '_w', 'x'.repeat(5_000)].map((token) => ({
    name: `page_token ${token.slice(0, 10)}`,
    field: 'page_token',
    set: { page_token: token },
    says: /send '' or the next_page_token of the page before/,
  }));
  return [...sizes, ...tokens, ...consistency()];
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
  ];
}

const token = numbers('fencing_token', 1n);
const ttl = numbers('ttl_ms', BigInt(limits.SESSION_TTL_MIN_MS), BigInt(limits.SESSION_TTL_MAX_MS));

const BY_METHOD: Readonly<Record<string, readonly Row[]>> = {
  RegisterPlan: [...header('optional'), ...planRows()],
  ListPlans: page(),
  CreateLoop: [...header('optional'), ...name('loop'), ...name('plan', 'allowed')],
  ListLoops: page(),
  GetLoop: [...name('loop'), ...consistency()],
  BeginPhase: [...header('optional'), ...ref(), ...numbers('supersede_attempt', 0n), ...clock()],
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
  // A session is not opened within another one: the header's is not looked at.
  'OpenSession header.session_id',
  'OpenSession header.sequence',
  'OpenSession header.acked_through',
];
