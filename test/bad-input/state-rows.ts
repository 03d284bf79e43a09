/** The table of requests that are in order by themselves and that the state of the cluster refuses. */
import { changeTo } from './member-rows.ts';
import type { Prepared } from './request-rows.ts';

export interface StateRow {
  readonly method: string;
  readonly name: string;
  readonly set: (prepared: Prepared) => Readonly<Record<string, unknown>>;
  readonly reason: string;
  readonly says: RegExp;
}

const MAX = 2n ** 53n - 1n;
/** In the form of `SubStepReport`; 600 KiB of results, more than a command may have, less than a message. */
const LARGE = Array.from({ length: 40 }, (_, i) => {
  return { $typeName: 'quorate.v1.SubStepReport', id: `large-${i}`, result: 'x'.repeat(15 * 1024) };
});
const TWICE = ['A', 'A'].map((name) => ({ $typeName: 'quorate.v1.PlanPhase', name, priorMs: 1n, slaMs: 0n }));

function row(method: string, name: string, set: Record<string, unknown>, reason: string, says: RegExp): StateRow {
  return { method, name, set: () => set, reason, says };
}

/** The same for every call that works on a run. */
function onRun(method: string): StateRow[] {
  return [
    row(method, 'a loop that is not there', { 'ref.loop': 'nowhere' }, 'LOOP_NOT_FOUND', /Create loop nowhere first/),
    row(
      method,
      'a phase that the plan has not',
      { 'ref.phase': 'DREAM' },
      'PHASE_UNKNOWN',
      /Name a phase of plan default/,
    ),
    row(method, 'a round to come', { 'ref.g': 2n }, 'BARRIER_CLOSED', /Wait for phase_ready of round 2/),
    row(method, 'the last round there could be', { 'ref.g': MAX }, 'BARRIER_CLOSED', /Wait for phase_ready/),
  ];
}

function withToken(method: string): StateRow[] {
  const wrong = (name: string, token: (prepared: Prepared) => bigint): StateRow => ({
    method,
    name,
    set: (prepared) => ({ fencing_token: token(prepared) }),
    reason: 'STALE_FENCE',
    says: /Stop this work: the token is not that of the newest attempt/,
  });
  return [
    wrong('a token of before', ({ token }) => token - 1n),
    wrong('a token that nobody has yet', ({ token }) => token + 1n),
    wrong('the last token there could be', () => MAX),
    row(
      method,
      'a phase that has not begun',
      { 'ref.phase': 'BLUEPRINT' },
      'STALE_FENCE',
      /newest attempt at BLUEPRINT, which is 0/,
    ),
  ];
}

function inSession(method: string): StateRow[] {
  const gone = { 'header.session_id': MAX, 'header.sequence': 1n, 'header.acked_through': 0n };
  const far = { 'header.sequence': MAX, 'header.acked_through': 0n };
  const rows = [row(method, 'a session that is not there', gone, 'SESSION_EXPIRED', /Open a new session/)];
  if (method === 'KeepAlive' || method === 'CloseSession') return rows;
  return [...rows, row(method, 'a number far ahead', far, 'LIMIT_EXCEEDED', /Wait for answers and acknowledge them/)];
}

/** In the form of `MemberChange`: to be added as voter. */
function added(memberId: string, peerAddress: string): object {
  const value = {
    $typeName: 'quorate.v1.AddMember',
    memberId,
    peerAddress,
    clientAddress: '127.0.0.1:2',
    learner: false,
    replaces: '',
  };
  return { $typeName: 'quorate.v1.MemberChange', change: { case: 'add', value } };
}

/** Of the members: m1 is the only one, and b was one and was removed. */
function members(): StateRow[] {
  const change = (name: string, changes: readonly object[], reason: string, says: RegExp): StateRow =>
    row('ChangeMembers', name, { changes }, reason, says);
  const eight = Array.from({ length: 7 }, (_, i) => added(`more-${i}`, '127.0.0.1:1'));
  return [
    change(
      'remove a stranger',
      [changeTo('remove', 'nobody')],
      'MEMBER_NOT_FOUND',
      /there is no member nobody; `quorate/,
    ),
    change(
      'promote a stranger',
      [changeTo('promote', 'nobody')],
      'MEMBER_NOT_FOUND',
      /there is no member nobody; `quorate/,
    ),
    change('promote a voter', [changeTo('promote', 'm1')], 'MEMBER_NOT_LEARNER', /m1 is a voter already/),
    change(
      'remove the last voter',
      [changeTo('remove', 'm1')],
      'QUORUM_AT_RISK',
      /would leave no voter; add members first/,
    ),
    change('add a member that is there', [added('m1', '127.0.0.1:1')], 'MEMBER_EXISTS', /choose another id/),
    change(
      'add a member that nobody started',
      [added('c', '127.0.0.1:1')],
      'MEMBER_UNREACHABLE',
      /start c there with `quorate server --join`, and check that member m1 reaches 127\.0\.0\.1:1/,
    ),
    change(
      'more members than a cluster has',
      eight,
      'LIMIT_EXCEEDED',
      /8 members; a cluster has at most 7: remove some first/,
    ),
    // By a name that no resolver knows (RFC 6761): not an address that happens to be free.
    change(
      'add a member at a name that is none',
      [added('c', 'nowhere.invalid:7501')],
      'MEMBER_UNREACHABLE',
      /start c there/,
    ),
    row(
      'TransferLeadership',
      'to a stranger',
      { to: 'nobody' },
      'MEMBER_NOT_VOTER',
      /nobody is no voter; one of m1 can lead/,
    ),
    row(
      'TransferLeadership',
      'to whom it may be',
      { to: '' },
      'TRANSFER_FAILED',
      /leadership stays: there is no other voter/,
    ),
    row('SetFeatureLevel', 'a level to come', { level: 4 }, 'FEATURE_LEVEL_UNSUPPORTED', /only 3; upgrade them first/),
    row(
      'SetFeatureLevel',
      'the last level there could be',
      { level: 2 ** 32 - 1 },
      'FEATURE_LEVEL_UNSUPPORTED',
      /only 3/,
    ),
    row('SetFeatureLevel', 'below what was used', { level: 1 }, 'FEATURE_LEVEL_IN_USE', /Keep the feature level at 3/),
  ];
}

/** ANALYZE of loop bad-input runs, and was never interrupted; what was, is of loop in-order. */
function recoveries(): StateRow[] {
  const far = { issue: MAX };
  return [
    row('GetRecovery', 'a run that was never interrupted', {}, 'RECOVERY_NOT_FOUND', /was never interrupted/),
    row('GetRecovery', 'a round to come', { 'ref.g': MAX }, 'ROUND_NOT_FOUND', /the open round is 1/),
    row(
      'InterruptPhase',
      'an attempt that is not the newest',
      { attempt: MAX },
      'ATTEMPT_MISMATCH',
      /the newest attempt/,
    ),
    ...['InterruptPhase', 'ReportFinished'].flatMap(onRun),
    ...withToken('ReportFinished'),
    row('ReportFinished', 'somebody else', { participant: 'stranger' }, 'PARTICIPANT_UNKNOWN', /stranger/),
    row('GetDetection', 'a loop that is not there', { loop: 'nowhere' }, 'LOOP_NOT_FOUND', /create it with CreateLoop/),
    row('GetIssue', 'an issue that is not there', far, 'ISSUE_NOT_FOUND', /ListIssues shows those there are/),
    row('AcknowledgeIssue', 'an issue that is not there', far, 'ISSUE_NOT_FOUND', /issue/),
    ...['InterruptPhase', 'ReportFinished', 'AcknowledgeIssue', 'SetPolicy'].flatMap(inSession),
  ];
}

/** Documents and effects of loop bad-input: `kept` is there. */
function documents(): StateRow[] {
  const causal = { 'causal_fields.pointers': ['a'] };
  const target = (kind: string, to: string) => ({ 'compensator.kind': kind, 'compensator.target': to });
  return [
    row('PutDocument', 'a document that is there', { name: 'kept' }, 'VERSION_MISMATCH', /Read kept again and redo/),
    row(
      'PutDocument',
      'the last version there could be',
      { expected_version: MAX },
      'INVALID_ARGUMENT',
      /expectedVersion/,
    ),
    row(
      'PutDocument',
      'a content that its schema forbids',
      { schema: '{"type":"array"}' },
      'DOCUMENT_INVALID',
      /array/,
    ),
    row('PutDocument', 'a causal field that is no pointer', causal, 'INVALID_ARGUMENT', /JSON pointers such as \/spec/),
    row('PutDocument', 'a run of another loop', { loop: 'in-order' }, 'INVALID_ARGUMENT', /phase run of loop in-order/),
    row('DeleteDocument', 'a document that is not there', {}, 'VERSION_MISMATCH', /there is none/),
    row('GetDocument', 'a document that is not there', { name: 'none' }, 'DOCUMENT_NOT_FOUND', /has no document none/),
    row(
      'GetDocument',
      'a phase that has not begun',
      { 'of_run.phase': 'IDLE' },
      'PHASE_NOT_RUNNING',
      /leave of_run out/,
    ),
    row('ListDocumentVersions', 'none of that name', { name: 'none' }, 'DOCUMENT_NOT_FOUND', /no document none/),
    ...['GetDocument', 'ListDocuments', 'ListDocumentVersions'].map((method) => {
      const set = method === 'GetDocument' ? { of_run: undefined } : {};
      return row(method, 'a loop that is not there', { ...set, loop: 'nowhere' }, 'LOOP_NOT_FOUND', /create it with/);
    }),
    row('RecordIntent', 'a key of another effect', { key: 'kept' }, 'EFFECT_EXISTS', /kept/),
    row('RecordIntent', 'a file as hook', target('http', 'file:///a'), 'INVALID_ARGUMENT', /http or https URL/),
    row('RecordIntent', 'a URL with no such port', target('http', 'http://a:99999/'), 'INVALID_ARGUMENT', /be called/),
    row('RecordIntent', 'an address with no such port', target('grpc', 'a:0'), 'INVALID_ARGUMENT', /host:port/),
    row('RecordIntent', 'a socket as address', target('grpc', 'unix:80'), 'INVALID_ARGUMENT', /host:port/),
    row('RecordIntent', 'a URL as address', target('grpc', 'http://a:1'), 'INVALID_ARGUMENT', /host:port/),
    row('RecordIntent', 'a queue that is no name', target('worker', 'a b'), 'INVALID_ARGUMENT', /compensator.target/),
    row('RecordIntent', 'a resource and no operation', { operation: '' }, 'INVALID_ARGUMENT', /together, or neither/),
    ...['ConfirmEffect', 'WithdrawEffect'].map((method) => {
      return row(method, 'a key that nobody recorded', { key: 'none' }, 'EFFECT_NOT_FOUND', /none/);
    }),
    ...['RecordIntent', 'ConfirmEffect', 'WithdrawEffect'].flatMap((method) => [
      ...onRun(method),
      ...withToken(method),
    ]),
    ...['PutDocument', 'RecordIntent', 'DecommissionNode'].flatMap(inSession),
  ];
}

/** Supervisors are ada and bob. */
function overrides(): StateRow[] {
  return [
    row(
      'Override',
      'another trace than was signed',
      { trace_id: 'other' },
      'SIGNATURE_INVALID',
      /sign exactly what is/,
    ),
    row(
      'Override',
      'another action than was signed',
      { action: 1 },
      'SIGNATURE_INVALID',
      /not of resume of trace trace/,
    ),
    row('Override', 'a nonce that was used', {}, 'OVERRIDE_REPLAYED', /nonce/),
    row(
      'ChangeSupervisors',
      'nobody signs',
      { signatures: [], nonce: 'f'.repeat(32) },
      'SIGNATURES_TOO_FEW',
      /signature/,
    ),
    row('ChangeSupervisors', 'another name than was signed', { 'changes[0].name': 'eve' }, 'SIGNATURE_INVALID', /sign/),
    row('PermitAsync', 'a stranger', { member_id: 'nobody', on: true }, 'MEMBER_NOT_FOUND', /no member nobody/),
    row('PermitAsync', 'the leader', { on: true }, 'AVAILABILITY_LIMIT', /m1 leads/),
  ];
}

/** Removed already, so that the session alone decides. */
const GONE = { changes: [changeTo('remove', 'b')] };

const ON_RUN = ['BeginPhase', 'ReportProgress', 'CommitPhase', 'AbortPhase'];
const IN_SESSION = ['RegisterPlan', 'CreateLoop', ...ON_RUN, 'KeepAlive', 'CloseSession'];

export const STATE_ROWS: readonly StateRow[] = [
  row(
    'RegisterPlan',
    'a phase twice',
    { 'plan.phases': TWICE },
    'INVALID_ARGUMENT',
    /a name of its own: A stands twice/,
  ),
  row(
    'RegisterPlan',
    'another plan of that name',
    { 'plan.phases[0].name': 'B' },
    'PLAN_EXISTS',
    /Choose another name/,
  ),
  row('CreateLoop', 'a loop that exists', { loop: 'bad-input' }, 'LOOP_EXISTS', /Choose another name, or go on/),
  row('CreateLoop', 'a plan that is not there', { plan: 'none' }, 'PLAN_NOT_FOUND', /Register plan none first/),
  row('GetLoop', 'a loop that is not there', { loop: 'nowhere' }, 'LOOP_NOT_FOUND', /create it with CreateLoop/),
  ...['GetPhaseRun', 'ListSubSteps'].flatMap((method) => [
    row(method, 'a loop that is not there', { 'ref.loop': 'nowhere' }, 'LOOP_NOT_FOUND', /create it with CreateLoop/),
    row(
      method,
      'a phase that the plan has not',
      { 'ref.phase': 'DREAM' },
      'PHASE_UNKNOWN',
      /it has ANALYZE, BLUEPRINT/,
    ),
    row(method, 'a round to come', { 'ref.g': MAX }, 'ROUND_NOT_FOUND', /the open round is 1/),
  ]),
  row('BeginPhase', 'a run that somebody holds', { supersede_attempt: 0n }, 'PHASE_RUNNING', /superseding attempt 1/),
  row(
    'BeginPhase',
    'an attempt that is not the newest',
    { supersede_attempt: MAX },
    'ATTEMPT_MISMATCH',
    /the newest is 1/,
  ),
  row(
    'BeginPhase',
    'before its turn',
    { 'ref.phase': 'IDLE', supersede_attempt: 0n },
    'PHASE_OUT_OF_ORDER',
    /Finish ANALYZE first/,
  ),
  row(
    'ReportProgress',
    'more than a command may hold',
    { sub_steps: LARGE },
    'TOO_LARGE',
    /at most|smaller|less|KiB|bytes/,
  ),
  ...ON_RUN.flatMap(onRun),
  ...ON_RUN.filter((method) => method !== 'BeginPhase').flatMap(withToken),
  ...IN_SESSION.flatMap(inSession),
  ...members(),
  ...recoveries(),
  ...documents(),
  ...overrides(),
  ...inSession('SetFeatureLevel'),
  ...inSession('ChangeMembers').map((one) => ({
    ...one,
    set: (prepared: Prepared) => ({ ...one.set(prepared), ...GONE }),
  })),
];
