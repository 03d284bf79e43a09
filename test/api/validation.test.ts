/** Issue 2, "bad input": every request field out of range, oversized, of wrong type or unknown, and random bytes. */
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { status as Code, Metadata } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ClusterService } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { BeginPhaseRequestSchema, PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import { SessionService } from '../../src/gen/quorate/v1/session_pb.ts';
import type { CommandValue } from '../../src/machine/types.ts';
import { methodPath } from '../../src/rpc/service.ts';
import type { FencingToken } from '../../src/types/ids.ts';
import { TestApi } from './support.ts';

const OVER = 2n ** 53n;
const phase = PhaseService.method;
const session = SessionService.method;
const ref = { loop: 'l', g: 1n, phase: 'p' };

type Unary = (typeof phase)[keyof typeof phase] | (typeof session)[keyof typeof session];
/** Method, fields that are wrong in it, and the field and a part of the text that the error must name. */
type Case = readonly [method: Unary, wrong: object, field: string, text: string];

const GOOD: ReadonlyMap<Unary, object> = new Map<Unary, object>([
  [phase.registerPlan, { plan: { name: 'p', phases: [{ name: 'a', priorMs: 1n }] } }],
  [phase.listPlans, {}],
  [phase.createLoop, { loop: 'l' }],
  [phase.listLoops, {}],
  [phase.getLoop, { loop: 'l' }],
  [phase.beginPhase, { ref }],
  [phase.reportProgress, { ref, fencingToken: 1n }],
  [phase.commitPhase, { ref, fencingToken: 1n }],
  [phase.abortPhase, { ref, fencingToken: 1n }],
  [phase.getPhaseRun, { ref }],
  [phase.listSubSteps, { ref }],
  [session.openSession, {}],
  [session.keepAlive, { header: { sessionId: 1n } }],
  [session.closeSession, { header: { sessionId: 1n } }],
]);

const MUTATIONS: readonly Unary[] = [
  phase.registerPlan,
  phase.createLoop,
  phase.beginPhase,
  phase.reportProgress,
  phase.commitPhase,
  phase.abortPhase,
  session.openSession,
  session.keepAlive,
  session.closeSession,
];
const IN_SESSION = MUTATIONS.filter((method) => method.parent === PhaseService);
const WITH_REF = [
  phase.beginPhase,
  phase.reportProgress,
  phase.commitPhase,
  phase.abortPhase,
  phase.getPhaseRun,
  phase.listSubSteps,
];
const WITH_TOKEN = [phase.reportProgress, phase.commitPhase, phase.abortPhase];
const WITH_CLOCK = [phase.beginPhase, phase.commitPhase, phase.abortPhase];
const PAGED = [phase.listPlans, phase.listLoops, phase.listSubSteps];
const READS = [...PAGED, phase.getLoop, phase.getPhaseRun];

const long = (length: number): string => 'x'.repeat(length);
const clockOf = (...entries: (readonly [string, bigint])[]): object => ({
  vectorClock: { entries: entries.map(([node, counter]) => ({ node, counter })) },
});
const planOf = (fields: object): object => ({ plan: { name: 'p', phases: [{ name: 'a', priorMs: 1n, ...fields }] } });

const CASES: readonly Case[] = [
  ...MUTATIONS.flatMap((method): Case[] => {
    const good = headerOf(method);
    return [
      [method, { header: { ...good, caller: long(129) } }, 'header.caller', 'at most 128'],
      [method, { header: { ...good, caller: 'a\nb' } }, 'header.caller', 'control character'],
      [method, { header: { ...good, caller: 'a\u001b[31mb' } }, 'header.caller', 'control character'],
      [method, { header: { ...good, traceId: long(129) } }, 'header.trace_id', 'at most 128'],
      [method, { header: { ...good, traceId: '\u0000' } }, 'header.trace_id', 'control character'],
    ];
  }),
  ...IN_SESSION.flatMap((method): Case[] => [
    [method, { header: { sessionId: OVER, sequence: 1n } }, 'header.session_id', 'from 1'],
    [method, { header: { sessionId: 1n } }, 'header.sequence', 'from 1'],
    [method, { header: { sessionId: 1n, sequence: OVER } }, 'header.sequence', '9007199254740991'],
    [method, { header: { sequence: 1n } }, 'header.sequence', 'session_id too'],
    [method, { header: { sessionId: 1n, sequence: 2n, ackedThrough: 2n } }, 'header.acked_through', 'at most 1'],
    [method, { header: { sessionId: 1n, sequence: 2n, ackedThrough: OVER } }, 'header.acked_through', 'from 0'],
  ]),
  ...[session.keepAlive, session.closeSession].flatMap((method): Case[] => [
    [method, { header: {} }, 'header.session_id', 'OpenSession'],
    [method, { header: undefined }, 'header.session_id', 'OpenSession'],
    [method, { header: { sessionId: OVER } }, 'header.session_id', 'from 1'],
    [method, { header: { sessionId: 1n, sequence: OVER } }, 'header.sequence', 'from 0'],
  ]),
  ...WITH_REF.flatMap((method): Case[] => [
    [method, { ref: undefined }, 'ref', 'is missing'],
    [method, { ref: { ...ref, loop: '' } }, 'ref.loop', 'is empty'],
    [method, { ref: { ...ref, loop: 'a b' } }, 'ref.loop', 'letters, digits'],
    [method, { ref: { ...ref, loop: long(129) } }, 'ref.loop', '1 to 128'],
    [method, { ref: { ...ref, g: 0n } }, 'ref.g', 'is 0; send a whole number from 1'],
    [method, { ref: { ...ref, g: OVER } }, 'ref.g', 'to 9007199254740991'],
    [method, { ref: { ...ref, phase: '' } }, 'ref.phase', 'is empty'],
    [method, { ref: { ...ref, phase: 'é' } }, 'ref.phase', 'letters, digits'],
  ]),
  ...WITH_TOKEN.flatMap((method): Case[] => [
    [method, { fencingToken: 0n }, 'fencing_token', 'from 1'],
    [method, { fencingToken: OVER }, 'fencing_token', 'from 1'],
  ]),
  ...WITH_CLOCK.flatMap((method): Case[] => [
    [method, clockOf(['', 1n]), 'vector_clock.entries[0].node', 'is empty'],
    [method, clockOf([long(129), 1n]), 'vector_clock.entries[0].node', 'at most 128'],
    [method, clockOf(['a', 0n]), 'vector_clock.entries[0].counter', 'from 1'],
    [method, clockOf(['b', 1n], ['a', OVER]), 'vector_clock.entries[1].counter', 'from 1'],
    [method, clockOf(['a', 1n], ['b', 1n], ['a', 2n]), 'vector_clock.entries', 'twice'],
    [
      method,
      clockOf(...Array.from({ length: 65 }, (_, i) => [`n${i}`, 1n] as const)),
      'vector_clock.entries',
      'at most 64',
    ],
  ]),
  ...PAGED.flatMap((method): Case[] => [
    [method, { pageSize: 1001 }, 'page_size', '1 to 1000'],
    [method, { pageSize: 2 ** 32 - 1 }, 'page_size', '1 to 1000'],
    [method, { pageToken: 'not a token!' }, 'page_token', 'next_page_token'],
    [method, { pageToken: '/w' }, 'page_token', 'next_page_token'],
    [method, { pageToken: '_w' }, 'page_token', 'next_page_token'],
    [method, { pageToken: 'YR' }, 'page_token', 'next_page_token'],
    [method, { pageToken: 'YQ==' }, 'page_token', 'next_page_token'],
    [method, { pageToken: long(10_000) }, 'page_token', 'next_page_token'],
  ]),
  ...READS.map((method): Case => [method, { consistency: 4 }, 'consistency', 'send 1']),
  ...READS.map((method): Case => [method, { maxStalenessMs: 5n }, 'max_staleness_ms', 'stale']),
  ...READS.map((method): Case => [method, { consistency: 2, maxStalenessMs: 2n ** 60n }, 'max_staleness_ms', 'from 1']),
  [phase.registerPlan, { plan: undefined }, 'plan', 'is missing'],
  [phase.registerPlan, { plan: { name: '', phases: [{ name: 'a', priorMs: 1n }] } }, 'plan.name', 'is empty'],
  [phase.registerPlan, { plan: { name: 'p', phases: [] } }, 'plan.phases', '1 to 64'],
  [
    phase.registerPlan,
    { plan: { name: 'p', phases: Array.from({ length: 65 }, (_, i) => ({ name: `p${i}`, priorMs: 1n })) } },
    'plan.phases',
    '1 to 64',
  ],
  [phase.registerPlan, planOf({ name: 'a b' }), 'plan.phases[0].name', 'letters, digits'],
  [phase.registerPlan, planOf({ priorMs: 0n }), 'plan.phases[0].prior_ms', 'from 1'],
  [phase.registerPlan, planOf({ priorMs: 31_622_400_001n }), 'plan.phases[0].prior_ms', 'to 31622400000'],
  [phase.registerPlan, planOf({ slaMs: OVER }), 'plan.phases[0].sla_ms', 'to 31622400000'],
  [phase.createLoop, { loop: '' }, 'loop', 'is empty'],
  [phase.createLoop, { loop: 'l', plan: 'no spaces' }, 'plan', 'letters, digits'],
  [phase.getLoop, { loop: '' }, 'loop', 'is empty'],
  [phase.beginPhase, { supersedeAttempt: OVER }, 'supersede_attempt', 'from 0'],
  [phase.reportProgress, { total: OVER }, 'total', 'from 0'],
  [phase.reportProgress, { completed: 3n, total: 2n }, 'completed', 'from 0 to 2'],
  [phase.reportProgress, { note: long(1025) }, 'note', 'at most 1024'],
  [phase.reportProgress, { checkpoint: long(65_537) }, 'checkpoint', 'at most 65536'],
  [phase.reportProgress, { subSteps: [{ id: '' }] }, 'sub_steps[0].id', 'is empty'],
  [phase.reportProgress, { subSteps: [{ id: 'a' }, { id: long(1025) }] }, 'sub_steps[1].id', 'at most 1024'],
  [phase.reportProgress, { subSteps: [{ id: 'a', result: long(16_385) }] }, 'sub_steps[0].result', 'at most 16384'],
  [
    phase.reportProgress,
    { subSteps: Array.from({ length: 1001 }, (_, i) => ({ id: `${i}` })) },
    'sub_steps',
    'at most 1000',
  ],
  [phase.commitPhase, { result: long(65_537) }, 'result', 'at most 65536'],
  [phase.abortPhase, { reason: long(4097) }, 'reason', 'at most 4096'],
  [session.openSession, { ttlMs: 999n }, 'ttl_ms', 'from 1000 to 86400000'],
  [session.openSession, { ttlMs: 86_400_001n }, 'ttl_ms', 'from 1000 to 86400000'],
];

function headerOf(method: Unary): object {
  return method.parent === SessionService ? { sessionId: 1n } : {};
}

const api = new TestApi();
beforeAll(() => api.start());
afterAll(() => api.stop());
beforeEach(() => {
  api.member.mutations.length = 0;
  api.member.reads = 0;
});

describe('a field that is wrong', () => {
  it.each(CASES.map((one, i) => [`${i} ${one[0].name} ${one[2]} ${one[3]}`, one] as const))(
    'is refused with its path, its bound and what to send: %s',
    async (_, [method, wrong, field, text]) => {
      const answer = await api.call(method as typeof phase.beginPhase, { ...GOOD.get(method), ...wrong } as object);
      if (answer.ok) throw new Error('it was accepted');
      const { code, reason, message, violations } = answer.error;
      expect({ code, reason }).toEqual({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' });
      expect(violations).toEqual([{ field, description: expect.stringContaining(text) }]);
      expect(message).toContain(field);
      expect(api.member.mutations).toEqual([]);
      expect(api.member.reads).toBe(0);
    },
  );

  it('is one of several that are all named', async () => {
    const answer = await api.call(phase.beginPhase, { ref: { loop: '', g: 0n, phase: '' }, supersedeAttempt: OVER });
    const fields = answer.ok ? [] : answer.error.violations.map((violation) => violation.field);
    expect(fields).toEqual(['ref.loop', 'ref.g', 'ref.phase', 'supersede_attempt']);
  });

  it('names at most eight, whatever is sent', async () => {
    const subSteps = Array.from({ length: 100 }, () => ({ id: '' }));
    const answer = await api.call(phase.reportProgress, { ref, fencingToken: 1n, subSteps });
    expect(answer.ok ? 0 : answer.error.violations.length).toBe(8);
  });
});

describe('the edges of what is allowed', () => {
  const begun: CommandValue = {
    kind: 'phaseBegun',
    attempt: 1,
    token: 5 as FencingToken,
    subStepsDone: 0,
    checkpoint: '',
    vectorClock: [],
  };

  it('names of 128 characters of every allowed kind, numbers up to 2^53 - 1', async () => {
    api.member.applies(begun);
    const name = `Az09._-/${long(120)}`;
    const answer = await api.call(phase.beginPhase, {
      header: {
        sessionId: OVER - 1n,
        sequence: OVER - 1n,
        ackedThrough: OVER - 2n,
        caller: long(128),
        traceId: 'é→😀',
      },
      ref: { loop: name, g: OVER - 1n, phase: name },
      supersedeAttempt: OVER - 1n,
      vectorClock: {
        entries: [
          { node: 'b', counter: OVER - 2n },
          { node: 'a', counter: 1n },
        ],
      },
    });
    expect(answer.ok).toBe(true);
    expect(api.member.mutations.at(-1)?.request).toEqual({
      session: {
        id: Number.MAX_SAFE_INTEGER,
        sequence: Number.MAX_SAFE_INTEGER,
        ackedThrough: Number.MAX_SAFE_INTEGER - 1,
      },
      client: expect.any(String),
      caller: long(128),
      traceId: 'é→😀',
      body: {
        kind: 'beginPhase',
        ref: { loop: name, g: Number.MAX_SAFE_INTEGER, phase: name },
        supersedeAttempt: Number.MAX_SAFE_INTEGER,
        vectorClock: [
          ['a', 1],
          ['b', Number.MAX_SAFE_INTEGER - 1],
        ],
      },
    });
  });

  it('the largest report', async () => {
    api.member.applies({ kind: 'progressReported', subStepsRecorded: 1, subStepsKnown: ['x'] });
    const subSteps = Array.from({ length: 1000 }, (_, i) => ({ id: `${i}`, result: 'ok' }));
    const answer = await api.call(phase.reportProgress, {
      ref,
      fencingToken: OVER - 1n,
      completed: OVER - 1n,
      total: OVER - 1n,
      note: long(1024),
      checkpoint: long(65_536),
      subSteps: [...subSteps.slice(1), { id: long(1024), result: long(16_384) }],
    });
    expect(answer.ok && answer.value).toMatchObject({ subStepsRecorded: 1n, subStepsKnown: ['x'] });
  });

  it('an empty checkpoint is not an absent one', async () => {
    api.member.applies({ kind: 'progressReported', subStepsRecorded: 0, subStepsKnown: [] });
    for (const [checkpoint, expected] of [
      ['', ''],
      [undefined, null],
    ] as const) {
      await api.call(phase.reportProgress, {
        ref,
        fencingToken: 1n,
        ...(checkpoint === undefined ? {} : { checkpoint }),
      });
      expect(api.member.mutations.at(-1)?.request.body).toMatchObject({ checkpoint: expected });
    }
  });
});

describe('bytes', () => {
  const methods = [...Object.values(phase), ...Object.values(session), ClusterService.method.getStatus];

  it.each(methods.map((method) => [method.name, method] as const))(
    'that are no %s message are the mistake of the caller',
    async (_, method) => {
      // Field 1, length-delimited, longer than what follows.
      const status = await api.raw(methodPath(method), Buffer.from('0aff01', 'hex'));
      expect(status).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' });
      expect(status?.message).toContain(method.input.typeName);
    },
  );

  it('at random never do harm', async () => {
    api.member.outcome = { kind: 'indeterminate', message: 'no' };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), fc.uint8Array({ maxLength: 64 }), async (method, bytes) => {
        const status = await api.raw(methodPath(method), Buffer.from(bytes));
        expect([Code.OK, Code.INVALID_ARGUMENT, Code.DEADLINE_EXCEEDED, Code.NOT_FOUND]).toContain(
          status?.code ?? Code.OK,
        );
      }),
      { numRuns: 300 },
    );
    expect(api.log).toEqual([]);
  });

  it('that are text in no encoding are refused', async () => {
    // CreateLoopRequest.loop = ff fe
    const status = await api.raw(methodPath(phase.createLoop), Buffer.from('1202fffe', 'hex'));
    expect(status).toMatchObject({ code: Code.INVALID_ARGUMENT });
  });

  const fields = methods.flatMap((method) => method.input.fields.map((field) => [method, field] as const));
  it.each(fields.map(([method, field]) => [`${method.input.name}.${field.name}`, method, field] as const))(
    'of a wrong wire type in %s are refused',
    async (_, method, field) => {
      // 64-bit, which no field of the API has.
      const bytes = new BinaryWriter().tag(field.number, WireType.Bit64).fixed64(8).finish();
      const status = await api.raw(methodPath(method), Buffer.from(bytes));
      expect(status).toMatchObject({ code: Code.INVALID_ARGUMENT, message: expect.stringContaining(field.name) });
      expect(status?.message).toContain('came as 64-bit');
    },
  );

  it('of a wrong wire type inside a message are refused', async () => {
    // BeginPhaseRequest.ref.g, a varint, as text of one character: read blindly, it would be round 1.
    const bytes = new BinaryWriter();
    bytes.tag(2, WireType.LengthDelimited).fork();
    bytes.tag(1, WireType.LengthDelimited).string('l');
    bytes.tag(2, WireType.LengthDelimited).string('x');
    const status = await api.raw(methodPath(phase.beginPhase), Buffer.from(bytes.join().finish()));
    expect(status?.message).toContain('ref.g came as length-delimited');
  });

  it('of unknown fields are ignored', async () => {
    api.member.applies({
      kind: 'phaseBegun',
      attempt: 1,
      token: 5 as FencingToken,
      subStepsDone: 0,
      checkpoint: '',
      vectorClock: [],
    });
    const known = toBinary(BeginPhaseRequestSchema, create(BeginPhaseRequestSchema, { ref }));
    // Field 100, length-delimited.
    const bytes = Buffer.concat([known, Buffer.from('a20603010203', 'hex')]);
    expect(await api.raw(methodPath(phase.beginPhase), bytes)).toBeNull();
  });

  it('beyond the message limit are refused with the limit', async () => {
    const status = await api.raw(methodPath(phase.createLoop), Buffer.alloc(1024 * 1024 + 1));
    expect(status?.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(status?.message).toContain('1048576');
  });

  it('of metadata beyond the limit are refused with the limit', async () => {
    const metadata = new Metadata();
    for (let i = 0; i < 20; i += 1) metadata.set(`x-${i}`, long(1000));
    const answer = await api.call(phase.listPlans, {}, {}, metadata);
    expect(answer.ok ? null : answer.error).toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      reason: 'TOO_LARGE',
      message: expect.stringContaining('at most 16384'),
    });
  });

  it('for a method that does not exist are UNIMPLEMENTED', async () => {
    expect((await api.raw('/quorate.v1.PhaseService/Nothing', Buffer.alloc(0)))?.code).toBe(Code.UNIMPLEMENTED);
  });
});
