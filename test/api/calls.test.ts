import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ApiReason, ERRORS } from '../../src/api/errors.ts';
import { timeLeft } from '../../src/api/unary.ts';
import { ClusterService } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { ReadConsistency } from '../../src/gen/quorate/v1/common_pb.ts';
import { PhaseService, PhaseState } from '../../src/gen/quorate/v1/phase_pb.ts';
import { SessionService } from '../../src/gen/quorate/v1/session_pb.ts';
import type { RejectReason } from '../../src/machine/types.ts';
import type { MutationOutcome } from '../../src/node/types.ts';
import { methodPath } from '../../src/rpc/service.ts';
import { statusError } from '../../src/rpc/status.ts';
import { logIndex, memberId, revision, type SessionId, term } from '../../src/types/ids.ts';
import { FakeMember, loopRow, runRow, TestApi } from './support.ts';

const phase = PhaseService.method;
const session = SessionService.method;
const ref = { loop: 'l', g: 3n, phase: 'p' };
const api = new TestApi();
const { member } = api;

beforeAll(() => api.start());
afterAll(() => api.stop());
beforeEach(() => {
  const fresh = new FakeMember();
  Object.assign(member, { outcome: null, readRefusal: null, statusFields: {}, reads: 0, watchesFull: false });
  Object.assign(member.view, fresh.view);
  member.mutations.length = 0;
  api.log.length = 0;
});

const header = { clusterId: 'test', memberId: 'a', revision: 30n, term: 5n, replayed: false };

describe('mutations', () => {
  it('answer with what the state machine said', async () => {
    member.applies({
      kind: 'phaseBegun',
      attempt: 2,
      token: 30 as never,
      subStepsDone: 4,
      checkpoint: 'c',
      vectorClock: [['n', 3]],
    });
    expect(await api.call(phase.beginPhase, { ref })).toMatchObject({
      ok: true,
      value: { header, attempt: 2n, fencingToken: 30n, subStepsDone: 4n, checkpoint: 'c' },
    });
    member.applies({ kind: 'planRegistered', plan: 'p' });
    const plan = { name: 'p', phases: [{ name: 'a', priorMs: 1n, slaMs: 2n }] };
    expect(await api.call(phase.registerPlan, { plan })).toMatchObject({ ok: true, value: { header } });
    expect(member.mutations.at(-1)?.request.body).toEqual({
      kind: 'registerPlan',
      plan: 'p',
      phases: [{ name: 'a', priorMs: 1, slaMs: 2 }],
    });
    member.applies({ kind: 'loopCreated', loop: 'l', g: 1 });
    expect(await api.call(phase.createLoop, { loop: 'l' })).toMatchObject({ ok: true, value: { header, g: 1n } });
    member.applies({ kind: 'phaseCommitted', g: 3, nextG: 4, vectorClock: [] });
    const commit = { ref, fencingToken: 9n, result: 'r' };
    expect(await api.call(phase.commitPhase, commit)).toMatchObject({ ok: true, value: { header, nextG: 4n } });
    member.applies({ kind: 'phaseAborted', nextG: 4, vectorClock: [] });
    const abort = { ref, fencingToken: 9n, reason: 'r', hardFail: true };
    expect(await api.call(phase.abortPhase, abort)).toMatchObject({ ok: true, value: { header, nextG: 4n } });
    expect(member.mutations.at(-1)?.request.body).toMatchObject({ kind: 'abortPhase', token: 9, hardFail: true });
  });

  it('say when the answer is a repeated one', async () => {
    member.applies({ kind: 'loopCreated', loop: 'l', g: 1 }, true);
    const answer = await api.call(phase.createLoop, { loop: 'l' });
    expect(answer).toMatchObject({ ok: true, value: { header: { ...header, replayed: true } } });
  });

  it('open, keep and close sessions', async () => {
    member.applies({ kind: 'sessionOpened', sessionId: 30 as SessionId, ttlMs: 60_000 });
    const opened = await api.call(session.openSession, { header: { sessionId: 9n, sequence: 9n, caller: 'me' } });
    expect(opened).toMatchObject({ ok: true, value: { sessionId: 30n, ttlMs: 60_000n } });
    expect(member.mutations.at(-1)?.request).toEqual({
      session: null,
      caller: 'me',
      traceId: '',
      body: { kind: 'openSession', ttlMs: 60_000 },
      // The connection: whose share of the member's room it takes (A5).
      client: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    });
    member.applies({ kind: 'sessionKept' });
    expect((await api.call(session.keepAlive, { header: { sessionId: 30n } })).ok).toBe(true);
    expect(member.mutations.at(-1)?.request).toMatchObject({ session: { id: 30, sequence: 0, ackedThrough: 0 } });
    member.applies({ kind: 'sessionClosed' });
    expect((await api.call(session.closeSession, { header: { sessionId: 30n, sequence: 2n } })).ok).toBe(true);
    expect(member.mutations.at(-1)?.request).toMatchObject({ session: { id: 30, sequence: 2 } });
  });
});

describe('errors', () => {
  const CODES: Readonly<Record<RejectReason, Code>> = {
    INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
    LIMIT_EXCEEDED: Code.RESOURCE_EXHAUSTED,
    SESSION_EXPIRED: Code.FAILED_PRECONDITION,
    SESSION_SEQUENCE_FORGOTTEN: Code.FAILED_PRECONDITION,
    PLAN_NOT_FOUND: Code.NOT_FOUND,
    PLAN_EXISTS: Code.ALREADY_EXISTS,
    LOOP_NOT_FOUND: Code.NOT_FOUND,
    LOOP_EXISTS: Code.ALREADY_EXISTS,
    PHASE_UNKNOWN: Code.NOT_FOUND,
    BARRIER_CLOSED: Code.FAILED_PRECONDITION,
    ROUND_CLOSED: Code.FAILED_PRECONDITION,
    PHASE_OUT_OF_ORDER: Code.FAILED_PRECONDITION,
    PHASE_FINAL: Code.FAILED_PRECONDITION,
    PHASE_RUNNING: Code.ABORTED,
    PHASE_NOT_RUNNING: Code.FAILED_PRECONDITION,
    ATTEMPT_MISMATCH: Code.ABORTED,
    STALE_FENCE: Code.ABORTED,
    MEMBER_EXISTS: Code.ALREADY_EXISTS,
    MEMBER_NOT_FOUND: Code.NOT_FOUND,
    FEATURE_LEVEL_TOO_LOW: Code.FAILED_PRECONDITION,
    FEATURE_LEVEL_IN_USE: Code.FAILED_PRECONDITION,
    DOCUMENT_NOT_FOUND: Code.NOT_FOUND,
    VERSION_MISMATCH: Code.ABORTED,
    FORENSIC_MISMATCH: Code.FAILED_PRECONDITION,
    PHASE_INTERRUPTED: Code.FAILED_PRECONDITION,
    PARTICIPANT_UNKNOWN: Code.FAILED_PRECONDITION,
    RECOVERY_NOT_FOUND: Code.NOT_FOUND,
    RECOVERY_STATE: Code.FAILED_PRECONDITION,
    EFFECT_NOT_FOUND: Code.NOT_FOUND,
    EFFECT_EXISTS: Code.ALREADY_EXISTS,
    EFFECT_SETTLED: Code.FAILED_PRECONDITION,
    EFFECTS_OPEN: Code.FAILED_PRECONDITION,
    COST_CAP_EXCEEDED: Code.RESOURCE_EXHAUSTED,
    SUPERVISOR_UNKNOWN: Code.PERMISSION_DENIED,
    SIGNATURE_INVALID: Code.PERMISSION_DENIED,
    SIGNATURES_TOO_FEW: Code.PERMISSION_DENIED,
    OVERRIDE_EXPIRED: Code.FAILED_PRECONDITION,
    OVERRIDE_REPLAYED: Code.FAILED_PRECONDITION,
    OVERRIDE_NO_TARGET: Code.NOT_FOUND,
    ISSUE_NOT_FOUND: Code.NOT_FOUND,
    AVAILABILITY_LIMIT: Code.FAILED_PRECONDITION,
  };

  it.each(Object.entries(CODES) as [RejectReason, Code][])('%s comes with its details', async (reason, code) => {
    const rejection = { reason, message: 'what to do', details: { attempt: '2', g: '3' } };
    const result = { ok: false, revision: revision(30), rejection } as const;
    member.outcome = { kind: 'applied', index: logIndex(30), term: term(5), replayed: false, result };
    const answer = await api.call(phase.beginPhase, { ref });
    expect(answer.ok ? null : answer.error).toEqual({
      code,
      message: 'what to do',
      reason,
      metadata: { attempt: '2', g: '3' },
      retryAfterMs: null,
      violations: [],
    });
  });

  it('of a field that the state machine names come as a violation', async () => {
    const rejection = { reason: 'INVALID_ARGUMENT', message: 'Shorten it.', details: { field: 'note' } } as const;
    const result = { ok: false, revision: revision(30), rejection } as const;
    member.outcome = { kind: 'applied', index: logIndex(30), term: term(5), replayed: false, result };
    const answer = await api.call(phase.beginPhase, { ref });
    expect(answer.ok ? [] : answer.error.violations).toEqual([{ field: 'note', description: 'Shorten it.' }]);
  });

  type Refusal = Extract<MutationOutcome, { kind: 'refused' }>;
  const refusal = (fields: Partial<Refusal>): Refusal => ({
    kind: 'refused',
    reason: 'NOT_LEADER',
    leader: null,
    retryAfterMs: null,
    message: 'not me',
    ...fields,
  });

  it.each<readonly [Partial<Refusal>, object]>([
    [
      { leader: memberId('b') },
      { code: Code.UNAVAILABLE, metadata: { leader: 'b', leader_address: 'b.test:7100' }, retryAfterMs: 50 },
    ],
    [{ leader: memberId('z') }, { code: Code.UNAVAILABLE, metadata: { leader: 'z', leader_address: '' } }],
    [
      { reason: 'NO_QUORUM', retryAfterMs: 1234 },
      { code: Code.UNAVAILABLE, metadata: {}, retryAfterMs: 1234 },
    ],
    [{ reason: 'SHUTTING_DOWN' }, { code: Code.UNAVAILABLE, retryAfterMs: 500 }],
    [
      { reason: 'OVERLOADED', retryAfterMs: 20 },
      { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 20 },
    ],
    [{ reason: 'OVERLOADED' }, { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 100 }],
    [{ reason: 'TOO_LARGE' }, { code: Code.RESOURCE_EXHAUSTED, retryAfterMs: null }],
    [{ reason: 'FEATURE_LEVEL_TOO_LOW' }, { code: Code.FAILED_PRECONDITION, retryAfterMs: null }],
  ])('of the member: %j', async (fields, expected) => {
    const outcome = refusal(fields);
    member.outcome = outcome;
    member.readRefusal = outcome;
    for (const answer of [
      await api.call(phase.createLoop, { loop: 'l' }),
      await api.call(phase.getLoop, { loop: 'l' }),
    ]) {
      expect(answer.ok ? null : answer.error).toMatchObject({ reason: outcome.reason, message: 'not me', ...expected });
    }
  });

  it('never mistake an unknown outcome for a failure', async () => {
    member.outcome = { kind: 'indeterminate', message: 'leadership changed' };
    const answer = await api.call(phase.beginPhase, { ref });
    expect(answer.ok ? null : answer.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'INDETERMINATE' });
    const definite = (Object.keys(ERRORS) as ApiReason[]).filter(
      (reason) => ERRORS[reason].code === Code.DEADLINE_EXCEEDED,
    );
    expect(definite).toEqual(['INDETERMINATE', 'DEADLINE_EXPIRED']);
  });

  it('of a bug leave the outcome of a mutation open, and are logged', async () => {
    member.outcome = new Error('boom');
    const answer = await api.call(phase.beginPhase, { ref });
    expect(answer.ok ? null : answer.error).toMatchObject({ reason: 'INDETERMINATE' });
    expect(api.log.map((line) => line.msg)).toEqual(['a handler failed: this is a bug']);
    // An answer to another command than the one that was sent.
    member.applies({ kind: 'sessionKept' });
    const mixed = await api.call(phase.beginPhase, { ref });
    expect(mixed.ok ? null : mixed.error).toMatchObject({ reason: 'INDETERMINATE' });
  });

  it('of a bug in a read are INTERNAL', async () => {
    member.view.loopRows = [loopRow('l', { plan: 'gone' })];
    const answer = await api.call(phase.getLoop, { loop: 'l' });
    expect(answer.ok ? null : answer.error).toMatchObject({ code: Code.INTERNAL, reason: 'INTERNAL' });
  });

  it('fit the trailers that clients accept, and are well-formed, whatever is in them', () => {
    const wild = `${'→'.repeat(5000)}\ud800`;
    const { details, metadata } = statusError({
      code: Code.ABORTED,
      message: wild,
      reason: 'STALE_FENCE',
      metadata: { a: wild },
      violations: Array.from({ length: 50 }, () => ({ field: wild, description: wild })),
    });
    const trailer = metadata.get('grpc-status-details-bin')[0] as Buffer;
    expect(encodeURI(details).length).toBeLessThan(5_000);
    expect(trailer.length).toBeLessThan(16_000);
    expect(() => encodeURI(statusError({ code: 10, message: 'a\udc00b', reason: 'X' }).details)).not.toThrow();
  });
});

describe('deadlines', () => {
  it('leave the member a little less than the caller has, never more than the maximum', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 });
    try {
      expect(timeLeft(Number.POSITIVE_INFINITY)).toBe(10_000);
      expect(timeLeft(1_001_000)).toBe(950);
      expect(timeLeft(new Date(1_000_100))).toBe(90);
      expect(timeLeft(1_000_000 + 3_600_000)).toBe(60_000);
      for (const passed of [1_000_000, 999_999, 0, Number.NaN, Number.NEGATIVE_INFINITY]) {
        expect(timeLeft(passed)).toBeNull();
      }
    } finally {
      vi.useRealTimers();
    }
  });

  it('reach the member', async () => {
    member.applies({ kind: 'loopCreated', loop: 'l', g: 1 });
    await api.call(phase.createLoop, { loop: 'l' }, { deadline: Date.now() + 5_000 });
    await api.call(phase.createLoop, { loop: 'l' });
    const [with5s, without] = member.mutations.map(({ deadlineMs }) => deadlineMs);
    expect(with5s).toBeGreaterThan(3_000);
    expect(with5s).toBeLessThanOrEqual(4_950);
    expect(without).toBe(10_000);
  });

  it('end a call that the member does not answer', async () => {
    const answer = await api.call(phase.createLoop, { loop: 'l' }, { deadline: Date.now() + 100 });
    expect(answer.ok ? null : answer.error).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: '' });
  });
});

describe('reads', () => {
  beforeEach(() => {
    member.view.planRows = [
      { plan: 'default', phases: [{ name: 'p', priorMs: 5, slaMs: 0 }], createdRevision: revision(1) },
    ];
    member.view.loopRows = [loopRow('l')];
    member.view.runRows = [runRow('l', 3, 'p')];
  });

  it('show a loop with its plan and the runs of its open round, without what may be long', async () => {
    const answer = await api.call(phase.getLoop, { loop: 'l' });
    if (!answer.ok) throw new Error(answer.error.message);
    expect(answer.value.loop).toMatchObject({ name: 'l', g: 3n, createdRevision: 7n, createdAtMs: 1000n });
    expect(answer.value.loop?.runs).toMatchObject([
      {
        ref: { loop: 'l', g: 3n, phase: 'p' },
        state: PhaseState.RUNNING,
        checkpoint: '',
        result: '',
        subStepsDone: 4n,
      },
    ]);
    expect(answer.value.plan).toMatchObject({ name: 'default', phases: [{ name: 'p', priorMs: 5n }] });
  });

  it('show a run in full, with its attempts', async () => {
    const row = runRow('l', 3, 'p');
    member.view.attemptRows = [
      { ...row, attempt: 1, token: 4 as never, state: 'SUPERSEDED', startedAtMs: 1 as never, finishedAtMs: 2 as never },
    ];
    expect(await api.call(phase.getPhaseRun, { ref })).toMatchObject({
      ok: true,
      value: {
        run: { checkpoint: 'checkpoint', result: 'result', attempt: 2n },
        attempts: [{ attempt: 1n, state: 2 }],
      },
    });
  });

  it.each<readonly [string, object, string, string]>([
    ['a loop', { loop: 'x', g: 1n, phase: 'p' }, 'LOOP_NOT_FOUND', 'no loop x'],
    ['a phase', { loop: 'l', g: 3n, phase: 'q' }, 'PHASE_UNKNOWN', 'it has p'],
    ['a round that has not begun', { loop: 'l', g: 9n, phase: 'p' }, 'ROUND_NOT_FOUND', 'has not begun'],
    ['a round that is gone', { loop: 'l', g: 1n, phase: 'p' }, 'ROUND_NOT_FOUND', 'no longer kept'],
  ])('say that there is no such thing: %s', async (_, wanted, reason, text) => {
    for (const answer of [
      await api.call(phase.getPhaseRun, { ref: wanted }),
      await api.call(phase.listSubSteps, { ref: wanted }),
    ]) {
      expect(answer.ok ? null : answer.error).toMatchObject({ code: Code.NOT_FOUND, reason });
      expect(answer.ok ? '' : answer.error.message).toContain(text);
    }
  });

  it('ask the cluster unless the caller takes what is old', async () => {
    for (const consistency of [ReadConsistency.UNSPECIFIED, ReadConsistency.LINEARIZABLE])
      await api.call(phase.getLoop, { loop: 'l', consistency });
    expect(member.reads).toBe(2);
    expect((await api.call(phase.getLoop, { loop: 'l', consistency: ReadConsistency.STALE })).ok).toBe(true);
    expect(member.reads).toBe(2);
  });

  it('R3: say how fresh the answer must be', async () => {
    member.consistencies.length = 0;
    await api.call(phase.getLoop, { loop: 'l' });
    await api.call(phase.getLoop, { loop: 'l', consistency: ReadConsistency.LEASE });
    await api.call(phase.getLoop, { loop: 'l', consistency: ReadConsistency.STALE, maxStalenessMs: 250n });
    expect(member.consistencies).toEqual([
      { kind: 'linearizable' },
      { kind: 'lease' },
      { kind: 'bounded', maxStalenessMs: 250 },
    ]);
  });

  it('R2: are not answered from the state of a member that was removed', async () => {
    member.statusFields = { removed: true };
    const answer = await api.call(phase.getLoop, { loop: 'l', consistency: ReadConsistency.STALE });
    expect(answer).toMatchObject({ ok: false, error: { code: Code.UNAVAILABLE, reason: 'MEMBER_REMOVED' } });
    member.statusFields = {};
  });
});

it('every method of every service has a handler', async () => {
  const methods = [...Object.values(phase), ...Object.values(session), ClusterService.method.getStatus];
  member.outcome = { kind: 'indeterminate', message: 'no' };
  const codes = await Promise.all(methods.map((method) => api.raw(methodPath(method), Buffer.alloc(0))));
  expect(codes.filter((status) => status?.code === Code.UNIMPLEMENTED)).toEqual([]);
});
